"""Waiting for what cannot be had at once."""

from __future__ import annotations

import threading
import time
from typing import Any

from exia._arguments import seconds
from exia._handle import drain, meaning
from exia._loans import Lease
from exia._native import lib
from exia.errors import ClosedError

SLICE = 0.1  # seconds: the longest single wait in C, so that Ctrl-C and dropped leases are seen

_threads: set[int] = set()  # that wait, by what they are called in `threading`


def wait(lease: Lease[Any], timeout: float | None) -> None:
    """Borrow what a lease is for: build it, or wait until it comes back."""
    end = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
    thread = threading.get_ident()
    outer = thread in _threads
    _threads.add(thread)
    try:
        while True:
            drain()
            start = time.monotonic()
            left = SLICE if end is None else min(SLICE, max(0.0, end - start))
            failed = lease._borrow(int(left * 1000))
            if failed is None:
                return
            now = time.monotonic()
            late = end is not None and now >= end
            never = now - start < int(left * 1000) / 1000  # nobody could ever bring it
            if failed[0] != lib.EXIA_ETIMEOUT or late or never:
                raise meaning(*failed)
            if _stuck():
                raise ClosedError(f"{failed[2]}, and all threads that are left wait")
    finally:
        if not outer:
            _threads.discard(thread)


def _stuck() -> bool:
    """Whether the main thread has ended, and all that the interpreter waits for wait themselves."""
    main = threading.main_thread()
    return not main.is_alive() and all(
        thread is main or thread.daemon or thread.ident in _threads
        for thread in threading.enumerate()
    )
