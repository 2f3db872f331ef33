"""The whole C API is reachable from exia.hpp, which is installed, compiles and links as it is."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADERS = [ROOT / "include" / "exia.hpp", *(ROOT / "include" / "exia").glob("*.hpp")]

# What is called as it is, for it owns nothing.
PLAIN = {"exia_allocator_set", "exia_driver_register", "exia_log_set"}


def test_every_function_has_a_place_in_the_headers_for_cpp():
    text = "".join(path.read_text() for path in HEADERS)
    used = set(re.findall(r"\bexia_[a-z0-9_]+\b", text))
    exported = set((ROOT / "tests" / "abi" / "exia.symbols").read_text().split())
    missing = exported - used - PLAIN
    assert not missing, "give each a line in include/exia/*.hpp"


def test_an_installed_header_compiles_with_the_flags_of_pkg_config(tmp_path):
    (tmp_path / "program.cpp").write_text(
        "#include <exia.hpp>\n#include <iostream>\nint main() { std::cout << exia::version(); }\n"
    )
    environment = {**os.environ, "PKG_CONFIG_PATH": str(tmp_path / "lib" / "pkgconfig")}
    script = f"""
        make -s -C "{ROOT}" install PREFIX="{tmp_path}" >/dev/null
        {os.environ.get("CXX", "g++")} -std=c++17 -o program program.cpp $(pkg-config --cflags --libs exia)
        LD_LIBRARY_PATH="{tmp_path}/lib" ./program
    """
    done = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+", done.stdout)
