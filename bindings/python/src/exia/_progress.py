"""Long calls: a bar when somebody looks, and an end at Ctrl-C."""

from __future__ import annotations

import sys
import time
from typing import Any

from exia._handle import callback, thread
from exia._native import ffi, lib

QUIET = 0.5  # seconds before a bar appears: what is quick needs none


class Job:
    """What a long call is told: its threads, and whom to report to.

    The callback runs in the calling thread some ten times a second.  It is Python code, so pending
    signals are handled in it: a KeyboardInterrupt is parked, the call is told to stop, and the
    interrupt is raised once C has cleaned up.
    """

    __slots__ = ("_bar", "_handle", "_since", "_step", "_unit", "c", "stop")

    def __init__(self, threads: int = 0, unit: str = "B") -> None:
        self.stop: BaseException | None = None  # set by anybody, raised by the next report
        self._bar: Any = None
        self._unit = unit
        self._step = ""
        self._since = time.monotonic()
        self._handle: Any = None
        self.c = ffi.new("exia_job *")
        self.c.struct_size = ffi.sizeof("exia_job")
        self.c.threads = threads
        self.c.progress = lib.on_progress

    def __enter__(self) -> Job:
        self.c.payload = self._handle = ffi.new_handle(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.c.payload, self._handle = ffi.NULL, None  # which holds us
        self._show_no_more()

    def report(self, step: str, done: int, total: int) -> None:
        """Move the bar, opening one when the call turns out to be long."""
        if self.stop is not None:
            raise self.stop
        if step != self._step:
            self._show_no_more()
            self._step = step
        if self._bar is None:
            if time.monotonic() - self._since < QUIET or not _watched():
                return
            self._bar = _bar(step, total, self._unit)
        if self._bar is not None:
            self._bar.total = total or None
            self._bar.update(done - self._bar.n)

    def _show_no_more(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()


def _watched() -> bool:
    """Whether somebody looks: a terminal, or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _bar(step: str, total: int, unit: str) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=total or None, desc=step, unit=unit, unit_scale=unit == "B", leave=False)


@callback(1)
def on_progress(step: Any, done: int, total: int, payload: Any) -> int:
    """Report; an answer other than zero ends the call.

    So does Ctrl-C that was parked in a callback whose answer says nothing.
    """
    if thread.parked is not None and not isinstance(thread.parked, Exception):
        return 1
    job: Job = ffi.from_handle(payload)
    job.report(ffi.string(step).decode(errors="replace"), done, total)
    return 0
