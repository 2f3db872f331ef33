"""Python code that is named by a text: "module:Class", entry points, and modules read again.

Entry points are listed from the metadata of the installed distributions; nothing is imported before
one of them is asked for.

A module is read again beside the old one, which keeps its namespace: objects of the old code that
are still lent run on with what they know.  Only when all has gone well does the new module stay.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from types import ModuleType
from typing import Any

from exia._arguments import refuse, text, text_or_null
from exia._environment import normal
from exia._rows import Rows
from exia.errors import ConflictError, InvalidError, NotFoundError

COMPONENTS, KITS = "exia.components", "exia.kits"

_log = logging.getLogger("exia")
_reading = threading.RLock()  # two at once would each take the other's module for the old one


def lookup(path: str, who: str) -> Any:
    """Import what "module:name.name" names."""
    module, _, names = path.partition(":")
    dotted = r"\w+(\.\w+)*"
    if not re.fullmatch(dotted, module) or not re.fullmatch(dotted, names):
        raise InvalidError(f'{who}: {path!r} is not of the form "module:Class"')
    return _walk(importlib.import_module(module), names)


def _walk(module: Any, names: str) -> Any:
    for name in names.split("."):
        module = getattr(module, name)
    return module


# ---- entry points -------------------------------------------------------------------------------


def components() -> Rows:
    """List the components that installed distributions offer: entry points of `exia.components`.

    Nothing is imported; `Pool.add_entry_point` takes a name.

    Returns
    -------
    Rows
        {name, value, distribution, version}
    """
    return _listed(COMPONENTS)


def kits() -> Rows:
    """List the kits that installed distributions offer: entry points of `exia.kits`.

    A kit is a function that is called with a pool and adds components to it.  Nothing is imported;
    `Pool(name, kit=...)` takes a name.

    Returns
    -------
    Rows
        {name, value, distribution, version}
    """
    return _listed(KITS)


def _listed(group: str) -> Rows:
    return Rows(
        {
            "name": entry.name,
            "value": entry.value,
            "distribution": _fact(distribution, "Name"),
            "version": _fact(distribution, "Version"),
        }
        for entry, distribution in sorted(_offered(group), key=lambda found: found[0].name)
    )


Offered = tuple[metadata.EntryPoint, metadata.Distribution]


def _offered(group: str) -> list[Offered]:
    """Find the entry points of a group; of two distributions of one name the first one counts."""
    try:
        entries = metadata.entry_points(group=group)
        return [(entry, entry.dist) for entry in entries if entry.dist is not None]
    except Exception:  # of one distribution that is broken, perhaps half uninstalled
        return list(_offered_slowly(group))


def _offered_slowly(group: str) -> Iterator[Offered]:
    """Find them one distribution after another, and tell of the broken ones."""
    seen = set()
    for distribution in metadata.distributions():
        try:
            name = _normal(distribution)
            entries = [] if name in seen else list(distribution.entry_points)
            seen.add(name)
        except Exception as error:
            where = getattr(distribution, "_path", "a distribution")
            _log.warning("%s: its entry points cannot be read: %s", where, error)
            continue
        for entry in entries:
            if entry.group == group:
                yield entry, distribution


def _normal(distribution: metadata.Distribution | str) -> str:
    """Spell a distribution's name in the one way that makes it comparable."""
    if not isinstance(distribution, str):
        distribution = _fact(distribution, "Name") or ""
    return normal(distribution)


def load_entry_point(group: str, name: str, distribution: str | None = None) -> Any:
    """Import what an entry point names.

    Raises
    ------
    NotFoundError
        There is none.
    ConflictError
        Several distributions offer it.
    InvalidError
        It cannot be imported.
    """
    text(name, "the name of an entry point")
    text_or_null(distribution, "distribution")
    there = _offered(group)
    wanted = [
        (entry, d)
        for entry, d in there
        if entry.name == name and (distribution is None or _normal(d) == _normal(distribution))
    ]
    if not wanted:
        names = ", ".join(sorted({entry.name for entry, _ in there})) or "none"
        by = "" if distribution is None else f" of {distribution}"
        raise NotFoundError(f"no entry point {name!r}{by} in the group {group}; there is: {names}")
    if len(wanted) > 1:
        offers = " and ".join(f"{entry.value} of {_release(d)}" for entry, d in wanted)
        raise ConflictError(f"entry point {name!r} in the group {group} is {offers}: say which")
    entry, offering = wanted[0]
    try:
        found = entry.load()
        if not callable(found):
            raise TypeError(f"{found!r:.80} cannot be called")
        return found
    except Exception as error:
        raise InvalidError(
            f"entry point {name!r} of {_release(offering)} cannot be loaded from {entry.value!r}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _release(distribution: metadata.Distribution) -> str:
    return f"{_fact(distribution, 'Name')} {_fact(distribution, 'Version')}"


def _fact(distribution: metadata.Distribution, key: str) -> str | None:
    """Read what a distribution says of itself; None: it does not say."""
    facts = distribution.metadata
    return facts[key] if facts is not None and key in facts else None


def find_kit(kit: Any) -> Callable[[Any], object]:
    """Find a kit: a function, "module:function", or the name of an entry point."""
    if isinstance(kit, str):
        kit = lookup(kit, "kit") if ":" in kit else load_entry_point(KITS, kit)
    if not callable(kit):
        refuse(kit, "a kit", 'a function of a pool, "module:function", or the name of one')
    found: Callable[[Any], object] = kit
    return found


# ---- read again ---------------------------------------------------------------------------------


@contextmanager
def read_again(made_by: Any, path: str | None, who: str) -> Generator[Any]:
    """Import the module of a class or function anew, and give what has its name there now.

    Where the import or the block fails, the old module is in its place as it was.  Only a thread
    that imports it just while it fails may see that, so what does not even compile is not tried.

    Parameters
    ----------
    path
        "module:Class", where it was named so.
    """
    module, names, source = _home(made_by, path, who)
    with _reading:
        old = sys.modules[module]
        compile(source, getattr(old, "__file__", None) or module, "exec", dont_inherit=True)
        _forget_bytecode(old)
        importlib.invalidate_caches()
        del sys.modules[module]
        try:
            new = importlib.import_module(module)
            _adopt(new, old)
            found = _walk(new, names)
            if not callable(found):
                raise TypeError(f"{who}: {module}:{names} is {found!r:.80} now, not callable")
            yield found
        except BaseException:
            _put_back(module, old)
            raise


def _home(made_by: Any, path: str | None, who: str) -> tuple[str, str, str]:
    """Tell where a class or function is found: its module, its name there, and the source."""
    module, names = getattr(made_by, "__module__", None), getattr(made_by, "__qualname__", None)
    if isinstance(module, str) and isinstance(names, str):
        with suppress(AttributeError, KeyError):
            found = _walk(sys.modules[module], names)  # or one that was read since
            if (found.__module__, found.__qualname__) == (module, names):
                path = f"{module}:{names}"
    if path is None:
        raise InvalidError(f"{who}: {made_by!r:.80} is not found in a module; use replace()")
    module, _, names = path.partition(":")
    spec = getattr(sys.modules.get(module), "__spec__", None)
    source = None
    with suppress(Exception):
        source = spec.loader.get_source(module)  # type: ignore[union-attr]
    if source is None:
        raise InvalidError(f"{who}: module {module!r} has no source to read again; use replace()")
    return module, names, source


def _forget_bytecode(module: ModuleType) -> None:
    """Make sure the source is read: Python would not see a change within the same second."""
    cached = getattr(module.__spec__, "cached", None)
    if cached:
        with suppress(OSError):
            os.unlink(cached)


def _adopt(new: ModuleType, old: ModuleType) -> None:
    """Let a package have its submodules, which are not read again."""
    for name, module in list(sys.modules.items()):
        parent, _, tail = name.rpartition(".")
        if parent == new.__name__ and getattr(old, tail, None) is module:
            if not hasattr(new, tail):
                setattr(new, tail, module)


def _put_back(name: str, module: ModuleType) -> None:
    sys.modules[name] = module
    parent, _, tail = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], tail, module)
