"""Loans: what is lent, where it was taken, and what becomes of a lease that is dropped."""

from __future__ import annotations

import logging
import warnings
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

from exia._handle import NULL, call, fail, not_copied, retire, thread
from exia._native import ffi, lib

_log = logging.getLogger("exia")

# Looked up once: borrowing is the hot path.
_return = lib.exia_lease_return
_sites: dict[tuple[int, int], Site] = {}


class Component:
    """A name resolved once.  It keeps the C pool, so that a loan may outlive the Pool."""

    __slots__ = ("c", "name", "objects", "pool")

    def __init__(self, name: str, c: Any, pool: Any, objects: list[Any] | None) -> None:
        self.name = name
        self.c = c
        self.pool = pool
        self.objects = objects  # None: its objects are C's, and shown as addresses


class Site(NamedTuple):
    """A place where something is borrowed."""

    code: CodeType
    text: Any  # "file:line" as a C text that stays
    line: int
    module: str
    warned: dict[Any, Any]  # what `warnings` keeps for itself


def _name(frame: FrameType) -> Site:
    """Name the place of a call, once a place."""
    code, line = frame.f_code, frame.f_lineno
    shown = ffi.new("char[]", f"{code.co_filename}:{line}".encode(errors="replace"))
    site = Site(code, shown, line, str(frame.f_globals.get("__name__", "")), {})
    _sites[id(code), frame.f_lasti] = site
    return site


def site_of(frame: FrameType) -> Site:
    """Where a frame is now."""
    return _sites.get((id(frame.f_code), frame.f_lasti)) or _name(frame)


class Lease:
    """One loan: `.object`, until it is given back.

    As a context manager it gives the object, and takes it back at the end of the block.  The first
    return counts; a second one raises InvalidError.  A lease that is dropped is returned all the
    same, with a ResourceWarning at the line where it was taken, and a line in the log.

    Examples
    --------
    >>> import exia
    >>> pool = exia.Pool("demo")
    >>> pool.add("words", list)
    >>> lease = pool.borrow("words")
    >>> lease.object.append("hello")
    >>> lease.close()
    >>> pool.close()
    """

    __slots__ = ("_c", "_component", "_open", "_site", "object")
    __reduce__ = not_copied

    def __init__(self, c: Any, component: Component, site: Site, obj: Any) -> None:
        self._c = c
        self._component = component  # which keeps the C pool
        self._site = site
        self.object = obj
        self._open = True

    def close(self) -> None:
        """Give the object back, from any thread."""
        self._open = False
        self.object = None
        call(_return, self._c)

    def discard(self) -> None:
        """Give back an object that is no longer fit: it is destroyed, and replaced when needed."""
        self._open = False
        self.object = None
        call(lib.exia_lease_discard, self._c)

    def __enter__(self) -> Any:
        return self.object

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._open:  # not given back or discarded in the block
            self._open = False
            self.object = None
            status = _return(self._c, thread.err)
            if status < 0:
                fail(status)

    def __del__(self) -> None:
        if self._open:
            self._open = False
            retire(_return_dropped, self._c, self._component, self._site)

    def __repr__(self) -> str:
        state = "" if self._open else ", given back"
        return f"<exia.Lease of {self._component.name!r}{state}>"


def _return_dropped(c: Any, component: Component, site: Site) -> None:
    """Return what nobody holds any more, and say so, as if at the line that borrowed it."""
    file, line = site.code.co_filename, site.line
    said = f"a lease of {component.name!r} was dropped: borrow in a with block"
    lib.exia_lease_return(c, NULL)
    _log.warning("%s:%d: %s", file, line, said)
    warnings.warn_explicit(said, ResourceWarning, file, line, site.module, site.warned)
