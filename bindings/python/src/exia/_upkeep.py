"""Keeping a model library in order: collecting what is dead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from exia._arguments import flag, integer, seconds
from exia._handle import Handle, call
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, take_rows


class Collected(Rows):
    """What a collection did: a row of {key, size, modified, do, why} for each dead blob.

    Attributes
    ----------
    totals : dict
        blobs, bytes: all that there are; removed, removed_bytes; marked, marked_bytes: those go
        half a grace later; young, young_bytes: dead too, and younger than the grace.
    """

    __slots__ = ("totals",)
    totals: dict[str, int]


class Upkeep(Handle):
    """The part of a `Library` that keeps it in order."""

    __slots__ = ()

    def gc(
        self,
        *,
        grace: float | timedelta | None = None,
        dry_run: bool = False,
        wait: bool = False,
    ) -> Collected:
        """Remove the blobs that no version names any more.

        What has been dead for the grace is marked first, and removed by a call half a grace later
        (tomorrow's of cron, say) when no version has come to name it.  Writers and other collectors
        go on meanwhile.

        Parameters
        ----------
        grace
            Seconds, or a timedelta, that no writer may be stopped for; None: 7 days.
        dry_run
            Change nothing, tell what would be removed.
        wait
            Stay for half the grace, and remove at once what is marked now.

        Examples
        --------
        >>> import tempfile
        >>> from exia import Library
        >>> library = Library(tempfile.mkdtemp())
        >>> library.gc().totals["removed"]
        0
        """
        options = ffi.new("exia_gc_options *")
        options.struct_size = ffi.sizeof("exia_gc_options")
        options.grace_ms = _milliseconds(grace, "grace")
        options.dry_run = flag(dry_run, "dry_run")
        options.wait = flag(wait, "wait")
        out = ffi.new("exia_rows **")
        totals = ffi.new("exia_gc_totals *")
        with Job(unit=" blobs") as job:
            call(lib.exia_library_gc, out, totals, self._c, options, job.c)
        return _told(Collected(take_rows(out)), totals)


def _told(answer: Collected, totals: Any) -> Collected:
    answer.totals = {name: int(getattr(totals, name)) for name in dir(totals)}
    return answer


def _milliseconds(value: float | timedelta | None, what: str) -> int:
    """Give a duration in whole milliseconds, 1 at least; None is 0, which is the standard."""
    if value is None:
        return 0
    number = value.total_seconds() if isinstance(value, timedelta) else seconds(value, what)
    return integer(round(number * 1000), what, 1)
