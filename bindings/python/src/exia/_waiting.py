"""What a thread looks after while it waits in C for an object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from exia._handle import drain
from exia.errors import ClosedError


class _Here(threading.local):
    """What this thread waits for."""

    stop: Callable[[], bool] | None = None  # asked while it waits


_here = _Here()
_threads: set[int] = set()  # that wait, by what they are called in `threading`


@contextmanager
def stopping(stop: Callable[[], bool]) -> Iterator[None]:
    """Let waits of this thread end when `stop` says so."""
    outer, _here.stop = _here.stop, stop
    try:
        yield
    finally:
        _here.stop = outer


def ask() -> bool:
    """Say if a wait is to end; called in the waiting thread, about ten times a second.

    Signals are handled, since Python runs, and what finalisers left to do is done: perhaps that is
    what brings the object.
    """
    _threads.add(threading.get_ident())
    drain()
    if _stuck():
        raise ClosedError("the interpreter ends, and all threads that are left wait")
    return _here.stop is not None and _here.stop()


def awake() -> None:
    """Note that this thread waits no longer; called when it had been asked."""
    _threads.discard(threading.get_ident())


def _stuck() -> bool:
    """Whether the main thread has ended, and all that the interpreter waits for wait themselves."""
    main = threading.main_thread()
    return not main.is_alive() and all(
        thread is main or thread.daemon or thread.ident in _threads
        for thread in threading.enumerate()
    )
