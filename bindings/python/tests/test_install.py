"""The package installs by itself into a clean environment, from the tree and from an sdist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

BINDING = Path(__file__).parents[1]
ROOT = BINDING.parents[1]
CORE = ("Makefile", "include", "libexia", "pkg")
pytestmark = pytest.mark.slow

PROGRAM = """
import exia
with exia.Pool("p") as pool:
    pool.add("n", int)
    with pool.borrow("n") as n:
        assert n == 0
assert exia.Dag({"b": ["a"]}).order() == ["a", "b"]
library = exia.Library("library")
assert library.write("m", {"a": [1, 2]}) == 1
assert library.read("m") == {"a": [1, 2]}
print(exia.__version__)
"""
# With a driver of somebody else, which is found by EXIA_DRIVER_PATH.
WITH_DRIVER = """
import exia
library = exia.Library("sqlite:catalog.db", blobs="shelf:blobs")
assert library.write("m", b"x" * 100_000, alias="champion") == 1
assert len(exia.Library("sqlite:catalog.db", blobs="shelf:blobs").read("m@champion")) == 100_000
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("EXIA", "PYTHON", "MAKE"))}
    return subprocess.run(
        command, cwd=cwd, env=clean | environment, capture_output=True, text=True
    )  # fmt: skip


def copy_tree(target: Path) -> Path:
    """Copy what a clone has, into a path with spaces."""
    tree = target / "a path with spaces"
    for name in CORE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, tree / name)
    ignore = shutil.ignore_patterns("__pycache__", "tests", ".*")
    shutil.copytree(BINDING, tree / "bindings" / "python", ignore=ignore)
    return tree


def install(source: str | Path, where: Path) -> Path:
    """Install into a new virtual environment, with everything that pip has to fetch."""
    directory = where / "clean environment"
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    command = (python, "-m", "pip", "install", "--disable-pip-version-check", source)
    done = run(*command, cwd=where, CFLAGS="-O0")  # built sooner, and with the same contents
    said = done.stdout + done.stderr
    if re.search(r"(No matching distribution|Could not find a version).*(setuptools|cffi)", said):
        pytest.skip("no package index can be reached, and a clean environment has to fetch cffi")
    assert done.returncode == 0, said[-5000:]
    return directory


def check(directory: Path, cwd: Path) -> None:
    """Use what was installed, away from every source."""
    done = run(directory / "bin" / "python", "-c", PROGRAM, cwd=cwd)
    assert done.returncode == 0, done.stderr
    tool = run(directory / "bin" / "vedapkg", "--version", cwd=cwd)
    assert tool.returncode == 0, tool.stderr
    assert done.stdout.strip() in tool.stdout
    command = ("cc", "-shared", "-fPIC", "-o", "exia_shelf.so", f"-I{ROOT / 'include'}")
    built = run(*command, ROOT / "examples" / "driver" / "shelf.c", cwd=cwd)
    assert built.returncode == 0, built.stderr
    program = (directory / "bin" / "python", "-c", WITH_DRIVER)
    done = run(*program, cwd=cwd, EXIA_DRIVER_PATH=str(cwd), EXIA_HOME=str(cwd / "home"))
    assert done.returncode == 0, done.stderr
    libraries = sorted(p.name for p in directory.glob("lib/*/site-packages/exia/*.so*"))
    assert libraries == ["_loans.abi3.so", "_native.abi3.so", "_numbers.abi3.so", "libexia.so.0"]
    if not run("pkg-config", "--exists", "libcurl", "expat", cwd=cwd).returncode:
        assert list(directory.glob("lib/*/site-packages/exia/exia/exia_s3.so"))


def test_it_installs_from_the_tree_and_leaves_nothing_behind(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path)
    before = sorted(tree.rglob("*"))
    directory = install(tree / "bindings" / "python", tmp_path)
    assert [p for p in sorted(tree.rglob("*")) if "__pycache__" not in str(p)] == before
    shutil.rmtree(tree)
    check(directory, tmp_path)


def test_it_installs_from_an_sdist_that_carries_the_core(tmp_path: Path) -> None:
    code = "import sys, setuptools.build_meta as b; print(b.build_sdist(sys.argv[1]))"
    tree = copy_tree(tmp_path)
    done = run(sys.executable, "-c", code, tmp_path, cwd=tree / "bindings" / "python")
    assert done.returncode == 0, done.stderr
    archive = tmp_path / done.stdout.splitlines()[-1]
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {f"core/{name}" for name in CORE} <= names
    assert "core/include/exia/common.h" in names
    shutil.rmtree(tree)
    check(install(archive, tmp_path), tmp_path)


def test_what_is_missing_is_one_line_that_names_the_packages(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path) / "bindings" / "python"
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cc", "make"):
        (tools / name).symlink_to(str(shutil.which(name)))
    build = (sys.executable, "setup.py", "build")
    done = run(*build, cwd=tree, PATH=str(tools))
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("exia:")]
    assert "apt-get install pkg-config libsqlite3-dev libzstd-dev" in line
    done = run(*build, cwd=tree, PATH=str(tmp_path))
    assert done.stderr.strip().splitlines()[-1].startswith("exia: no C compiler (cc)")
    done = run(*build, cwd=tree, EXIA_BUILD="nowhere")
    assert re.search(r"^exia: EXIA_BUILD: there is no libexia.so in .*nowhere", done.stderr, re.M)
