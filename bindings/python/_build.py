"""The cffi module `exia._native`, declared from the public headers themselves.

Nothing of the C API is written down twice: the preprocessor reads include/exia.h with EXIA_CDEF
defined and cffi takes what comes out.  Only what C calls in Python is declared here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
# In an sdist the C sources lie in core/; in the repository this directory is bindings/python.
ROOT = HERE / "core" if (HERE / "core").is_dir() else HERE.parents[1]

CALLBACKS = """
extern "Python" {
    int on_progress(const char *, uint64_t, uint64_t, void *);
    void on_log(int, const char *, const char *, void *);
    exia_status on_task(uint32_t, void *, exia_error *);
    void on_out(const uint32_t *, size_t, int, void *);
    exia_status on_create(void **, void *const *, void *, exia_error *);
    exia_status on_activate(void *, void *, exia_error *);
    exia_status on_passivate(void *, void *, exia_error *);
    exia_status on_validate(void *, void *, exia_error *);
    void on_destroy(void *, void *);
    void on_release(void *);
}
"""

LINKED: dict[str, list[str]] = {  # what links libexia.so, which lies beside it
    "include_dirs": [str(ROOT / "include")],
    "libraries": ["exia"],
    "extra_link_args": ["-Wl,-rpath,$ORIGIN"],
}


def public_api() -> str:
    """Preprocess the public headers; line markers stay, so that errors name the header's line."""
    compiler = os.environ.get("CC", "cc").split()
    options = ["-E", "-undef", "-nostdinc", "-DEXIA_CDEF", "-I", str(ROOT / "include")]
    try:
        done = subprocess.run(
            [*compiler, *options, str(ROOT / "include" / "exia.h")], capture_output=True, text=True
        )
    except FileNotFoundError:
        raise SystemExit(
            f"exia: no C compiler ({compiler[0]}); on Debian run: apt-get install gcc make"
        ) from None
    if done.returncode:
        raise SystemExit(f"exia: the headers cannot be read: {done.stderr.strip()}")
    return done.stdout


ffi = FFI()
ffi.cdef(public_api() + CALLBACKS)
ffi.set_source("exia._native", "#include <exia.h>", **LINKED)
