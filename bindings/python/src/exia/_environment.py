"""What an object was written under, and how that differs from here.

The distribution of a module is asked of the directories of metadata themselves: those that its name
or version point to first, so that a write does not wait until all of them are read.
"""

from __future__ import annotations

import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any


def environment(imports: Iterable[str]) -> dict[str, Any]:
    """Describe what an object was written under: Python, platform, distributions it comes from."""
    roots = {name.split(".")[0] for name in imports} - set(sys.stdlib_module_names) - {"__main__"}
    versions: dict[str, str] = {}
    for root in roots:
        versions |= _distributions(root)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": sysconfig.get_platform(),
        "packages": dict(sorted(versions.items())),
    }


def differences(then: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Compare a recorded environment with this one: what differs, then and now (None: absent)."""
    packages = _packages(then)
    now = {name: _version(name) for name in packages}
    found = {n: (str(v), now[n]) for n, v in packages.items() if v != now[n]}
    python = str(then.get("python", ""))
    if python.split(".")[:2] != platform.python_version().split(".")[:2]:
        found["python"] = (python, platform.python_version())
    return found


def _packages(then: dict[str, Any]) -> dict[str, Any]:
    """Take the packages of an environment that others may have written."""
    packages = then.get("packages")
    return packages if isinstance(packages, dict) else {}


# ---- distributions ------------------------------------------------------------------------------


@cache
def _version(distribution: str) -> str | None:
    """Tell which version of a distribution is installed."""
    for place in _places().get(normal(distribution), []):
        return _fact(place)[1]
    try:
        return metadata.version(distribution)  # of another kind than directories
    except (metadata.PackageNotFoundError, ValueError):  # ValueError: "" is no name
        return None


@cache
def _distributions(root: str) -> dict[str, str]:
    """Name the installed distributions that a top-level module comes from, with versions."""
    places = _places()
    own = places.get(normal(root), [])[:1]  # the first on the path counts
    found = own or _providers(root, places)
    if found:
        return dict(_fact(place) for place in found)
    version = _version(root)
    return {} if version is None else {root: version}


def _providers(root: str, places: dict[str, list[Path]]) -> list[Path]:
    """Find the metadata that list a module: first those of the version that it says it has."""
    version = f"-{getattr(sys.modules.get(root), '__version__', None)}."
    firsts = [found[0] for found in places.values()]
    likely = [place for place in firsts if version in place.name]
    return [p for p in likely if _provides(p, root)] or [p for p in firsts if _provides(p, root)]


def _provides(place: Path, root: str) -> bool:
    """Whether a distribution installed a module, by what it says or by its list of files."""
    tops = _read(place, "top_level.txt")
    if tops:
        return root.encode() in tops.split()
    files = b"\n" + _read(place, "RECORD")
    start = b"\n" + root.encode()
    return any(start + end in files for end in (b"/", b".py,", b".cpython-", b".abi3.", b".so,"))


def _read(place: Path, file: str) -> bytes:
    try:
        return (place / file).read_bytes()
    except OSError:
        return b""


def _fact(place: Path) -> tuple[str, str]:
    """Read the name and the version; what may follow, such as a long description, is not read."""
    name, _, version = place.stem.partition("-")
    facts = {"name": name, "version": version.partition("-")[0]}
    for line in _head(place):
        key, _, value = line.partition(":")
        if key.lower() in facts:
            facts[key.lower()] = value.strip()
    return facts["name"], facts["version"]


def _head(place: Path) -> Iterator[str]:
    for file in ("METADATA", "PKG-INFO", ""):  # "": old ones are a file by themselves
        try:
            with open(place / file, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if not line.strip():
                        return
                    yield line
                return
        except OSError:
            continue


def _places() -> dict[str, list[Path]]:
    return _places_in(tuple(sys.path))


@cache
def _places_in(path: tuple[str, ...]) -> dict[str, list[Path]]:
    """Find the metadata of what is installed: by name, in the order of the path."""
    places: dict[str, list[Path]] = {}
    for directory in dict.fromkeys(path):
        try:
            names = [
                p for p in Path(directory).iterdir() if p.suffix in (".dist-info", ".egg-info")
            ]
        except OSError:
            continue
        for place in names:
            places.setdefault(normal(place.stem.partition("-")[0]), []).append(place)
    return places


def normal(name: str) -> str:
    """Spell a distribution's name in the one way that makes it comparable."""
    return re.sub(r"[-_.]+", "-", name).lower()
