"""Waiting in C for what cannot be had at once, and what a waiting thread looks after."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from exia._arguments import seconds
from exia._handle import drain, meaning
from exia._loans import Lease
from exia.errors import ClosedError


class _Here(threading.local):
    """What this thread waits for."""

    stop: Callable[[], bool] | None = None  # asked while it waits


_here = _Here()
_threads: set[int] = set()  # that wait, by what they are called in `threading`


def wait(lease: Lease[Any], timeout: float | None) -> None:
    """Borrow what a lease is for: build it, or wait until it comes back."""
    left = math.inf if timeout is None else max(0.0, seconds(timeout, "timeout"))
    thread = threading.get_ident()
    outer = thread in _threads
    _threads.add(thread)
    try:
        failed = lease._borrow(-1 if left > 1e9 else math.ceil(left * 1000))
    finally:
        if not outer:
            _threads.discard(thread)
    if failed is not None:
        raise meaning(*failed)


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
    drain()
    if _stuck():
        raise ClosedError("the interpreter ends, and all threads that are left wait")
    return _here.stop is not None and _here.stop()


def _stuck() -> bool:
    """Whether the main thread has ended, and all that the interpreter waits for wait themselves."""
    main = threading.main_thread()
    return not main.is_alive() and all(
        thread is main or thread.daemon or thread.ident in _threads
        for thread in threading.enumerate()
    )
