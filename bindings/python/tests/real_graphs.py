"""Graphs that nobody made for a test: what Debian's packages need, what Python's modules import.

Both come from the machine that the tests and the bench run on, so they differ from one to the next;
nothing is fetched.  Both have cycles.
"""

from __future__ import annotations

import ast
import functools
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

INSTALLED = Path("/var/lib/dpkg/status")
NEEDS = re.compile(r"^(?:Pre-)?Depends: (.*)$", re.MULTILINE)
NAME = re.compile(r"[,|] *([^ ,|:(]+)")  # without architectures and versions


class Named(NamedTuple):
    """Edges as numbers of nodes: `before[i]` comes before `after[i]`; none comes twice."""

    title: str
    names: list[str]
    before: list[int]
    after: list[int]


def _numbered(title: str, names: Iterable[str], edges: Iterable[tuple[str, str]]) -> Named:
    """Number the nodes; edges that name anything else are left out."""
    number = {name: i for i, name in enumerate(names)}
    pairs = {(number[a], number[b]): None for a, b in edges if a in number and b in number}
    return Named(title, list(number), [a for a, _ in pairs], [b for _, b in pairs])


@functools.cache
def debian() -> Named | None:
    """Read what packages need, with all alternatives: of all that apt has heard of, else of those
    that are installed; None: the machine has neither.
    """
    known = ""
    if shutil.which("apt-cache"):
        done = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True)
        known = done.stdout
    title = "Debian's packages"
    if not known and INSTALLED.exists():
        known, title = INSTALLED.read_text(errors="replace"), "Debian's installed packages"
    if not known:
        return None
    packages = dict(re.findall(r"^Package: (\S+)\n((?:.+\n)*)", known, re.MULTILINE))
    return _numbered(title, packages, _needs(packages))


def _needs(packages: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in packages.items():
        for needs in NEEDS.findall(text):
            for other in NAME.findall(f",{needs}"):
                yield other, name


@functools.cache
def standard_library() -> Named:
    """Read which modules of Python's standard library import which, anywhere in their text."""
    imports = {name: [*_imports(name, path)] for name, path in _sources()}
    edges = ((other, name) for name, others in imports.items() for other in others if other != name)
    return _numbered("Python's standard library", imports, edges)


def _sources() -> Iterator[tuple[str, Path]]:
    root = Path(sysconfig.get_path("stdlib"))
    for top in sorted(sys.stdlib_module_names - {"lib2to3", "test"}):  # whose tests are not Python
        for path in [root / f"{top}.py", *sorted((root / top).rglob("*.py"))]:
            parts = path.relative_to(root).with_suffix("").parts
            if path.is_file() and not {"test", "tests", "idle_test"} & {*parts}:
                yield ".".join(parts).removesuffix(".__init__"), path


def _imports(module: str, path: Path) -> Iterator[str]:
    """Name what a module imports; of `from a import b` both a and a.b, as b may be a module."""
    inside = [*module.split("."), *[""] * (path.name == "__init__.py")]  # a package is in itself
    for node in _statements(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = inside[: -node.level] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Walk the statements only: half the time of ast.walk."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for blocks in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, blocks, None)
            if isinstance(inner, list):
                todo += inner
