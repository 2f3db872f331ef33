"""One exception class a status of the C library, each also the builtin that a user expects.

`except exia.NotFoundError`, `except LookupError` and `except exia.ExiaError` all catch a missing
model.  The text is the library's: one line that says what was wrong and what to do.
"""

from __future__ import annotations

import builtins
import graphlib
from collections.abc import Hashable, Sequence
from typing import Any

from exia._native import lib

SHOWN = 10  # nodes of a cycle in its error


class ExiaError(Exception):
    """What every failure of Exia is.

    Attributes
    ----------
    status : int
        The C library's status, negative.
    native : int
        errno, an HTTP status ... of the layer below, or 0.
    """

    status: int = -255
    native: int = 0


class InvalidError(ExiaError, ValueError):
    """An argument is not valid."""

    status = lib.EXIA_EINVAL


class OutOfMemoryError(ExiaError, MemoryError):
    """Out of memory."""

    status = lib.EXIA_ENOMEM


class NotFoundError(ExiaError, LookupError):
    """There is no such thing."""

    status = lib.EXIA_ENOTFOUND


class ExistsError(ExiaError, FileExistsError):
    """It exists already."""

    status = lib.EXIA_EEXISTS


class ConflictError(ExiaError, RuntimeError):
    """It changed meanwhile: read it again."""

    status = lib.EXIA_ECONFLICT


class CycleError(ExiaError, graphlib.CycleError):
    """The graph has a cycle.

    As graphlib has it, `args[1]` is the cycle with its first node once more at its end.
    """

    status = lib.EXIA_ECYCLE
    _shown = False  # the text ends with the cycle

    @classmethod
    def of(cls, what: str, nodes: Sequence[Hashable]) -> CycleError:
        """Make one whose text shows the cycle, as soon as somebody asks for it."""
        error = cls.__new__(cls, what, [*nodes, nodes[0]])
        error._shown = True
        return error

    def __init__(self, text: str, closed: Sequence[Hashable] = ()) -> None:
        super().__init__(text, *([list(closed)] if closed else []))

    @property
    def cycle(self) -> list[Any]:
        """The nodes of one cycle, each before the next, the last before the first.

        Empty where only the text is known.
        """
        return list(self.args[1][:-1]) if len(self.args) > 1 else []

    @cycle.setter
    def cycle(self, nodes: Sequence[Hashable]) -> None:
        self.args = (self.args[0], [*nodes, *nodes[:1]])

    def __str__(self) -> str:
        if not self._shown:
            return str(self.args[0])
        cycle = self.args[1][:-1]
        shown = [f"{node!r:.60}" for node in cycle[:SHOWN]] + ["..."] * (len(cycle) > SHOWN)
        return f"{self.args[0]} of {len(cycle)}: {' -> '.join([*shown, shown[0]])}"


class CorruptError(ExiaError, ValueError):
    """Stored bytes are not what was written."""

    status = lib.EXIA_ECORRUPT


class UntrustedError(ExiaError, PermissionError):
    """The trust policy refuses it."""

    status = lib.EXIA_EUNTRUSTED


class VersionError(ExiaError, NotImplementedError):
    """Written by a newer format."""

    status = lib.EXIA_EVERSION


class StorageError(ExiaError, OSError):
    """The system failed to read or write."""

    status = lib.EXIA_EIO


class NoSpaceError(ExiaError, OSError):
    """No space is left."""

    status = lib.EXIA_ENOSPACE


class DeniedError(ExiaError, PermissionError):
    """Permission or credentials are missing."""

    status = lib.EXIA_EDENIED


class UnavailableError(ExiaError, ConnectionError):
    """The server cannot be reached."""

    status = lib.EXIA_EUNAVAILABLE


class TimeoutError(ExiaError, builtins.TimeoutError):
    """The time allowed is over."""

    status = lib.EXIA_ETIMEOUT


class CancelledError(ExiaError, RuntimeError):
    """The caller asked to stop."""

    status = lib.EXIA_ECANCELLED


class UnsupportedError(ExiaError, NotImplementedError):
    """The store or the build cannot do it."""

    status = lib.EXIA_EUNSUPPORTED


class ClosedError(ExiaError, ValueError):
    """Closed, or opened before a fork."""

    status = lib.EXIA_ECLOSED


class CallbackError(ExiaError, RuntimeError):
    """A callback failed; where it was Python's, its own exception is raised instead."""

    status = lib.EXIA_EUSER


class EnvironmentWarning(UserWarning):
    """An object was written under other versions of the packages that it comes from."""


BY_STATUS: dict[int, type[ExiaError]] = {c.status: c for c in ExiaError.__subclasses__()}


def error_from(status: int, native: int, text: str) -> ExiaError:
    """Make the exception that belongs to a status."""
    error = BY_STATUS.get(status, ExiaError)(text)
    error.status = status
    error.native = native
    if isinstance(error, OSError) and native > 0:
        error.errno = native
    return error
