"""A driver outside the tree builds against the installed headers alone and serves a library."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = r"""
#include <exia.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    exia_error err = {0};
    exia_rows *rows = NULL;
    const char *row = NULL;
    if (argc < 2 || exia_store_check(&rows, argv[1], &err) < 0) {
        puts(err.text);
        return 1;
    }
    while (exia_rows_next(&row, rows, &err) == EXIA_OK)
        puts(row);
    exia_rows_free(rows);
    return 0;
}
"""


def test_the_example_driver_builds_on_installed_headers_and_is_loaded_where_it_lies(tmp_path):
    place = tmp_path / "a place"
    (tmp_path / "program.c").write_text(PROGRAM)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "exia_shelf.so").write_bytes(b"")  # the path is asked first
    environment = {**os.environ, "PKG_CONFIG_PATH": str(place / "lib" / "pkgconfig")}
    environment.pop("EXIA_DRIVER_PATH", None)
    script = f"""
        make -s -C "{ROOT}" install PREFIX="{place}" >/dev/null
        cp "{ROOT}/examples/driver/shelf.c" .
        strict="-Wall -Wextra -Werror"
        eval "${{CC:-cc}}" $strict -shared -fPIC -o module.so shelf.c $(pkg-config --cflags exia)
        eval "${{CC:-cc}}" $strict -o program program.c $(pkg-config --cflags --libs exia)
        export LD_LIBRARY_PATH="{place}/lib"
        if ./program "shelf:{tmp_path}/blobs"; then exit 1; fi
        mkdir -p "{place}/lib/exia" && cp module.so "{place}/lib/exia/exia_shelf.so"
        ./program "shelf:{tmp_path}/blobs"
        if EXIA_DRIVER_PATH="{tmp_path}" ./program "shelf:{tmp_path}/blobs"; then exit 1; fi
        cp module.so exia_shelf.so
        EXIA_DRIVER_PATH="{tmp_path}" ./program "shelf:{tmp_path}/blobs"
    """
    done = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    missing, *rest = done.stdout.splitlines()
    assert missing.endswith(f"exia_shelf.so is not in {place}/lib/exia")
    broken = [line for line in rest if "exia_shelf.so: cannot load" in line]
    assert len(broken) == 1
    assert rest.count('{"key":"driver","value":"shelf"}') == 2
