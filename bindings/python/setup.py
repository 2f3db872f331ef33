"""Build the package: the C library and `vedapkg`, then the modules.

The wheel carries libexia.so.0, its driver modules and vedapkg beside the modules of Python: the one
that cffi writes, and _loans and _numbers, written by hand for what must be quick.  The library and
the tool are built here, out of the tree, unless EXIA_BUILD names a directory (relative to the
repository) that holds them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _build import LINKED, ROOT

CORE = ("Makefile", "include", "libexia", "pkg")
LIBRARIES = {  # what pkg-config calls it: what Debian calls it
    "sqlite3": "libsqlite3-dev",
    "libzstd": "libzstd-dev",
    "libcrypto": "libssl-dev",
    "jansson": "libjansson-dev",
    "libarchive": "libarchive-dev",
}


def version() -> str:
    """Read the version from the header, where it is written once."""
    header = (ROOT / "include" / "exia" / "common.h").read_text()
    return ".".join(re.findall(r"#define EXIA_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))


def check_platform() -> None:
    """Refuse what would not work, in one line."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("exia: Linux only; other platforms are not supported yet")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise SystemExit("exia: free-threaded Python is not supported yet")


def check_needs() -> None:
    """Name every missing Debian package in one line."""
    missing = [tool for tool in ("make", "pkg-config") if not shutil.which(tool)]
    if "pkg-config" in missing:
        missing += LIBRARIES.values()
    else:
        for library, package in LIBRARIES.items():
            if subprocess.run(["pkg-config", "--exists", library]).returncode:
                missing.append(package)
    if missing:
        raise SystemExit(f"exia: missing; on Debian run: apt-get install {' '.join(missing)}")


def copy_core(target: Path) -> None:
    """Copy what `make all` needs."""
    for name in CORE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)


class BuildExt(build_ext):
    """Build the C library first, and put it where the wheel takes it from."""

    def run(self) -> None:
        """Find or build the library, then go on as usual."""
        if given := os.environ.get("EXIA_BUILD"):
            self.build_with(ROOT / given)
            return
        check_needs()
        with tempfile.TemporaryDirectory(prefix="exia-") as scratch:
            # A copy, so that a tree that is read-only, or another build in it, does not matter.
            # "-o": the packages were checked above; make must not install anything.
            copy_core(Path(scratch))
            command = ["make", f"-j{os.cpu_count() or 1}", "-o", "build/system-build"]
            command += ["BUILD=build", "all"]
            if subprocess.run(command, cwd=scratch, stdout=sys.stderr).returncode:
                raise SystemExit("exia: the C library does not build; the reason is above")
            self.build_with(Path(scratch) / "build")

    def build_with(self, build: Path) -> None:
        """Link against the library in `build` and take it along."""
        if not (build / "libexia.so").exists():
            raise SystemExit(f"exia: EXIA_BUILD: there is no libexia.so in {build}; run make first")
        for extension in self.extensions:
            extension.library_dirs.append(str(build))
        super().run()
        package = Path(self.get_ext_fullpath("exia._native")).parent
        package.mkdir(parents=True, exist_ok=True)
        # The linker recorded the soname; that is the file the loader will look for.
        soname = Path(os.readlink(build / "libexia.so")).name
        for name in (soname, "vedapkg"):
            target = package / name
            target.unlink(missing_ok=True)
            shutil.copy2(build / name, target)
        # The driver modules that could be built; the library looks for them in exia/ beside it.
        for module in (build / "exia").glob("exia_*.so"):
            (package / "exia").mkdir(exist_ok=True)
            shutil.copy2(module, package / "exia" / module.name)


class Sdist(sdist):
    """Carry the C sources along, so that the archive builds anywhere."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Add core/ and _build.py to the tree."""
        super().make_release_tree(base_dir, files)
        core = Path(base_dir) / "core"
        core.mkdir(exist_ok=True)
        copy_core(core)
        shutil.copy2(Path(__file__).with_name("_build.py"), base_dir)


check_platform()
scratch = tempfile.TemporaryDirectory(prefix="exia-")  # nothing is left behind in the tree
setup(
    version=version(),
    cffi_modules=["_build.py:ffi"],
    ext_modules=[
        Extension(
            "exia._loans",
            ["src/exia/_leases.c", "src/exia/_loans.c"],
            depends=["src/exia/_loans.h"],
            extra_compile_args=["-fvisibility=hidden"],
            py_limited_api=True,
            **LINKED,
        ),
        Extension(
            "exia._numbers",
            ["src/exia/_numbers.c", "src/exia/_small.c", "src/exia/_header.c"],
            depends=["src/exia/_numbers.h"],
            extra_compile_args=["-fvisibility=hidden"],
            py_limited_api=True,
            **LINKED,
        ),
    ],
    cmdclass={"build_ext": BuildExt, "sdist": Sdist},
    options={
        "bdist_wheel": {"py_limited_api": "cp310"},
        "build": {"build_base": scratch.name},
        "egg_info": {"egg_base": scratch.name},
    },
)
