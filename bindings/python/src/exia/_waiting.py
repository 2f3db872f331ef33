"""What a thread looks after while it waits in C for an object."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from exia._handle import drain, settle
from exia.errors import ClosedError


class _Here(threading.local):
    """What this thread waits for."""

    stop: Callable[[], bool] | None = None  # asked while it waits


PATIENCE = 2.0  # seconds

_here = _Here()
_stuck_since: float | None = None
_threads: set[int] = set()  # that wait, by what they are called in `threading`
os.register_at_fork(after_in_child=_threads.clear)  # where new threads have their names


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


def back(well: bool) -> None:
    """Note that this thread is back; called when it had been asked, or has parked something."""
    global _stuck_since
    _threads.discard(threading.get_ident())
    _stuck_since = None
    if well:
        settle()


def _stuck() -> bool:
    """Whether the main thread has ended, and all that the interpreter waits for wait themselves.

    Not before that has been so for a while: one of them may just be getting what it waited for.
    """
    global _stuck_since
    main, now = threading.main_thread(), time.monotonic()
    if main.is_alive() or not all(
        thread is main or thread.daemon or thread.ident in _threads
        for thread in threading.enumerate()
    ):
        _stuck_since = None
        return False
    since = _stuck_since = _stuck_since or now
    return now - since > PATIENCE
