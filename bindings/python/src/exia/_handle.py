"""The one place where Python meets the C library: calls, errors, callbacks, lifetimes.

A handle's pointer is a cffi object with a destructor, and Python's own reference counting is what
keeps it: `close()` drops a reference, a call in another thread holds one, an array mapped from a
model holds one, and whoever is last frees.  So no closed handle is ever used, and children may
outlive their parents.

A destructor may run anywhere, even in Python code that the C library called and that therefore
still has C frames, and perhaps state half changed, below it.  `retire` then only makes a note, and
the next call from outside does what was noted.

An exception in a callback is parked for its thread, the callback answers with a failure, and the
call that returns with it raises the very exception again.  Ctrl-C is raised even where C goes on
after the failure, as it does when a hook fails.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from exia import _loans
from exia._native import ffi, lib
from exia.errors import ClosedError, error_from

NULL = ffi.NULL
Self = TypeVar("Self", bound="Closing")

_log = logging.getLogger("exia")
_log.addHandler(logging.NullHandler())  # a library prints nothing of its own accord
noted: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()


class _Thread(threading.local):
    """What this thread is doing."""

    def __init__(self) -> None:
        self.inside = 0  # callbacks on the stack: that many times, C frames lie below
        self.parked: BaseException | None = None
        self.err = ffi.new("exia_error *")  # of the call it is in


thread = _Thread()


# ---- calls and errors ---------------------------------------------------------------------------


def call(function: Callable[..., int], *arguments: Any) -> int:
    """Call the C library with an `exia_error` behind the arguments; raise if it fails."""
    status = attempt(function, *arguments)
    if thread.parked is not None:
        settle()
    return status


def attempt(function: Callable[..., int], *arguments: Any) -> int:
    """Call, and leave it to the caller to `settle` when it has done what a success asks for."""
    if noted:
        drain()
    status = function(*arguments, thread.err)
    if status < 0:
        raise failure(status)
    return status


def settle() -> None:
    """After a call that succeeded: Ctrl-C in a callback, which C took for a failure like others."""
    parked, thread.parked = thread.parked, None
    if parked is not None and not isinstance(parked, Exception):
        raise parked


def failure(status: int) -> BaseException:
    """Answer with what a call means that failed and wrote `thread.err`."""
    err = thread.err
    filled = err.status == status
    said = ffi.string(err.text).decode(errors="replace") if filled else ""
    return meaning(status, err.native if filled else 0, said)


def meaning(status: int, native: int, said: str) -> BaseException:
    """Answer with the exception of a callback, or one made from what the call said."""
    parked, thread.parked = thread.parked, None
    if parked is not None and (
        status in (lib.EXIA_EUSER, lib.EXIA_ECANCELLED) or not isinstance(parked, Exception)
    ):
        return parked
    return error_from(status, native, said or ffi.string(lib.exia_status_text(status)).decode())


def owned(raw: Any) -> Any:
    """Make what `text` or `path` gave fit for a field of a struct; the caller keeps the answer."""
    return NULL if raw is NULL else ffi.new("char[]", raw)


def take_text(out: Any) -> str:
    """Decode and free a text, or a path, that came through `char **out`."""
    try:
        return os.fsdecode(ffi.string(out[0]))
    finally:
        lib.exia_text_free(out[0])


# ---- lifetimes ----------------------------------------------------------------------------------


def retire(function: Callable[..., Any], *arguments: Any) -> None:
    """Do it now if this thread is not inside the C library, else at the next call from outside."""
    if thread.inside:
        noted.append((function, arguments))
    else:
        function(*arguments)


def drain() -> None:
    """Do what finalisers left to do, unless this thread is inside the C library itself."""
    while noted and not thread.inside:
        try:
            function, arguments = noted.popleft()
        except IndexError:  # another thread was faster
            return
        try:
            function(*arguments)
        except Exception:  # such as a warning made an error: no matter of who calls now
            _log.exception("a finaliser failed")


def own(pointer: Any, free: Callable[[Any], None]) -> Any:
    """Make `pointer` free itself when its last reference goes."""
    return ffi.gc(pointer, lambda raw, retire=retire: retire(free, raw))


def keep(pointer: Any, owner: Any) -> Any:
    """Make `pointer`, and every buffer over it, keep `owner` alive."""
    return ffi.gc(pointer, lambda raw, owner=owner: None)


def not_copied(self: object) -> NoReturn:
    """Refuse to be copied or pickled: two owners would both give back or free the one thing."""
    raise TypeError(f"a {type(self).__name__} is one owner: it cannot be copied or pickled")


class Closing:
    """What holds a C object: a context manager, closed once, that refuses to be used after that."""

    __slots__ = ()
    _pointer: Any

    __reduce__ = not_copied

    @property
    def _c(self) -> Any:
        pointer = self._pointer
        if pointer is None:
            raise ClosedError(f"{self._called} is closed")
        return pointer

    @property
    def _called(self) -> str:
        """What it is, for errors."""
        return f"this {type(self).__name__}"

    def close(self) -> None:
        """Let go of what it holds; what was mapped or lent from it stays valid."""
        self._pointer = None

    def __enter__(self: Self) -> Self:
        self._c  # noqa: B018
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Handle(Closing):
    """A C object that frees itself."""

    __slots__ = ("__weakref__", "_lock", "_pointer")

    def __init__(self, pointer: Any, free: Callable[[Any], None]) -> None:
        self._pointer = own(pointer, free)
        self._lock = threading.Lock()  # for those that C lets one thread use at a time


# ---- callbacks ----------------------------------------------------------------------------------


def callback(answer: Any = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let C call a Python function by its name.

    While it runs this thread counts as inside.  Its exception is parked, described in the
    `exia_error *` where that is the last argument, and `answer` is what C gets.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            outer = thread.inside, thread.err
            try:
                thread.inside, thread.err = outer[0] + 1, ffi.new("exia_error *")
                return function(*arguments)
            except BaseException as error:
                park(type(error), error, None)
                describe(error, arguments[-1])
                return answer
            finally:
                thread.inside, thread.err = outer

        # onerror: Ctrl-C may come before the first line of `guarded`
        ffi.def_extern(name=function.__name__, error=answer, onerror=park)(guarded)
        return function

    return register


def park(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Keep an exception until the C call of this thread returns."""
    thread.parked = error
    _loans.look_back()


_error_type = ffi.typeof("exia_error *")


def describe(error: BaseException, err: Any) -> None:
    """Write an exception into a C error: one line, cut between characters."""
    if ffi.typeof(err) is not _error_type or err == NULL:
        return
    line = " ".join(f"{type(error).__name__}: {error}".split()).replace("\0", "?")
    raw = line.encode(errors="replace")[: len(err.text) - 1]
    err.status = lib.EXIA_EUSER
    err.native = 0
    err.text = raw.decode(errors="ignore").encode()


_levels = {
    lib.EXIA_LOG_INFO: logging.INFO,
    lib.EXIA_LOG_WARNING: logging.WARNING,
    lib.EXIA_LOG_ERROR: logging.ERROR,
}


@callback()
def on_log(level: int, topic: Any, line: Any, payload: Any) -> None:
    """Hand a line of the library's log to the logger `exia`."""
    _log.log(
        _levels.get(level, logging.INFO),
        "%s: %s",
        ffi.string(topic).decode(errors="replace"),
        ffi.string(line).decode(errors="replace"),
    )


def leaving() -> bool:
    """Whether the interpreter ends: C must call no Python any more."""
    return _left


def _leave() -> None:
    """At the end of the interpreter: do what is left, and let C be silent from now on."""
    global _left
    drain()
    lib.exia_log_set(NULL, NULL)
    _loans.leave()
    _left = True


_left = False
lib.exia_log_set(lib.on_log, NULL)
atexit.register(_leave)
