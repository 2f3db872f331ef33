"""Loans: where they are taken, and what becomes of dropped leases.

What must be quick is done in C, by `_loans`, which calls what is here when that is not enough.
"""

from __future__ import annotations

import logging
import warnings
from types import CodeType, FrameType
from typing import Any, NamedTuple, NoReturn

from exia._arguments import seconds
from exia._handle import NULL, drain, leaving, meaning, noted, park, retire
from exia._loans import Lease, hand_over
from exia._native import ffi, lib
from exia._waiting import ask, back

__all__ = ["Component", "Lease"]

_log = logging.getLogger("exia")


class Component(NamedTuple):
    """A name resolved once.  It keeps the C pool, so that a loan may outlive the Pool."""

    name: str
    address: int
    pool: Any
    objects: list[Any] | None  # where C has places; None: they are C's, and shown as addresses

    @property
    def c(self) -> Any:
        """What C calls it."""
        return ffi.cast("exia_component *", self.address)


class Site(NamedTuple):
    """A place where something is borrowed."""

    code: CodeType
    text: bytes  # "file:line"; C has its address while a loan is out
    line: int
    module: str
    warned: dict[Any, Any]  # what `warnings` keeps for itself


def _site(frame: FrameType) -> Site:
    """Where a frame is now; asked once a place, or again after many others."""
    code, line = frame.f_code, frame.f_lineno
    shown = f"{code.co_filename}:{line}".encode(errors="replace")
    return Site(code, shown, line, str(frame.f_globals.get("__name__", "")), {})


def _fail(status: int, native: int, said: str) -> NoReturn:
    raise meaning(status, native, said)


def _seconds(timeout: object) -> float:
    return seconds(timeout, "timeout")


def _drop(lease: Lease[Any], report: bool) -> None:
    """Give back what nobody holds any more: now, or when this thread has left the C library."""
    if not leaving():
        retire(_return_dropped, lease, report)


def _return_dropped(lease: Lease[Any], report: bool) -> None:
    """Return it, and say so, as if at the line that borrowed it."""
    lib.exia_lease_return(ffi.cast("exia_lease *", lease._address), NULL)
    site = lease._site
    if not report or site is None:
        return
    file, line = site.code.co_filename, site.line
    said = f"a lease of {lease._component.name!r} was dropped: borrow in a with block"
    _log.warning("%s:%d: %s", file, line, said)
    warnings.warn_explicit(said, ResourceWarning, file, line, site.module, site.warned)


hand_over(_site, _fail, _seconds, _drop, noted, drain, ask, back, park)
