"""Entry points of installed packages: the code behind a name, imported from where it lies."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from importlib import machinery
from pathlib import Path
from typing import Any

from exia._arguments import text
from exia.errors import ConflictError, InvalidError, NotFoundError
from exia.registry import Registry

_importing = threading.RLock()
_homes: set[str] = set()  # where packages lie whose code was loaded


class _Loader(machinery.SourceFileLoader):
    """Leaves an installed package as it was recorded: it keeps no bytecode."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Write nothing."""


def _finder(directory: str) -> machinery.FileFinder:
    """Find modules in a directory of an installed package: an entry of `sys.path_hooks`."""
    if not (any(directory.startswith(home) for home in tuple(_homes)) and Path(directory).is_dir()):
        raise ImportError("no directory of an installed package", path=directory)
    return machinery.FileFinder(
        directory,
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (_Loader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )


def load(entry_point: str, home: str | os.PathLike[str] | None = None) -> Any:
    """Give the object behind an entry point of an installed package.

    While its module is imported, the code of the package, and that of the packages it needs, is on
    `sys.path`: in the versions that `Registry.needs` tells.  No bytecode is written beside it, then
    or later.

    Parameters
    ----------
    entry_point
        "package:entry", of its current version; also "package@1.2:entry".

    Raises
    ------
    NotFoundError
        The package or something that it needs is not installed, or it has no such entry point.
    ConflictError
        A module of that name was imported from elsewhere.

    Examples
    --------
    ``exia.load("digits:predict")(image)``
    """
    text(entry_point, "entry_point")
    package, colon, entry = entry_point.partition(":")
    if not (package and colon and entry):
        raise InvalidError(f'{entry_point!r} is not of the form "package:entry"')
    with Registry(home) as registry:
        needs = registry.needs(package)[::-1]
        entries = needs[0].get("entry_points") or {}
        if entry not in entries:
            there = ", ".join(entries) or "none"
            raise NotFoundError(
                f"package {package!r} has no entry point {entry!r}; it has: {there}"
            )
        paths = _code_paths(needs)
        _homes.add(str(registry.home / "installed") + os.sep)
    module_name, _, attributes = str(entries[entry]).partition(":")
    with _importing, _on_path(paths):
        _check_module(module_name.split(".")[0], paths)
        found: Any = importlib.import_module(module_name)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


def _code_paths(needs: Iterable[dict[str, Any]]) -> list[str]:
    """List the directories that hold code of packages."""
    paths: dict[str, None] = {}
    for row in needs:
        for component in row.get("components") or []:
            if component["kind"] == "code":
                paths[str((Path(row["directory"]) / component["path"]).parent)] = None
    return list(paths)


@contextmanager
def _on_path(paths: Iterable[str]) -> Generator[None]:
    """Put directories first on sys.path for a while."""
    paths = list(paths)
    if _finder not in sys.path_hooks:
        sys.path_hooks.insert(0, _finder)
    sys.path[:0] = paths
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for entry in paths:
            with suppress(ValueError):  # the module may have changed sys.path too
                sys.path.remove(entry)


def _check_module(name: str, paths: list[str]) -> None:
    """Refuse to answer with a module of the same name that came from elsewhere."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if file is None:
        return
    if not any(Path(file).is_relative_to(entry) for entry in paths):
        raise ConflictError(
            f"module {name!r} was imported from {file} before: load the package in a new process"
        )
