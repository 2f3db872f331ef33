"""Keeping a model library in order: what stays, collecting the dead, checks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from exia._arguments import flag, integer, mapping, plain, seconds, text_or_null
from exia._handle import Handle, call, owned
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


class Checked(Rows):
    """What a check found: {severity, what, name, version, key, text, repaired}; empty: all is well.

    Attributes
    ----------
    totals : dict
        models, entries, blobs, bytes: looked at; errors, warnings: left; repaired: mended.
    """

    __slots__ = ("totals",)
    totals: dict[str, int]


class Upkeep(Handle):
    """The part of a `Library` that keeps it in order."""

    __slots__ = ()

    def retain(
        self, rules: Mapping[str, Any], *, name: str | None = None, apply: bool = False
    ) -> Rows:
        """Remove the versions that no rule keeps, or only tell which; `gc` then frees their space.

        A version that any rule keeps stays, and so does one that an alias is on.

        Parameters
        ----------
        rules
            At least one of: "last" and a number, of each model; "younger_days"; "best" and "worst",
            each a dict of fields and how many to keep of the highest and lowest; "where" and a
            filter; "aliases" and "ever", which keeps what an alias was on.
        name
            Of one model; None: all.
        apply
            Remove, each by an entry of the log that tells the rules; else nothing is changed.

        Returns
        -------
        Rows
            {name, version, time, size, do, why} of every version; do is "keep", or "removed" (only
            told: "remove").

        Examples
        --------
        >>> import tempfile
        >>> from exia import Library
        >>> library = Library(tempfile.mkdtemp())
        >>> [library.write("x", i, metrics={"auc": auc}) for i, auc in enumerate([0.9, 0.7, 0.8])]
        [1, 2, 3]
        >>> rows = library.retain({"last": 1, "best": {"metrics.auc": 1}})
        >>> print([f"{row['version']}: {row['why']}" for row in rows])
        ['3: last 1', '2: no rule keeps it', '1: best by metrics.auc']
        """
        strings = [owned(text_or_null(name, "name"))]
        options = ffi.new("exia_retain_options *")
        options.struct_size = ffi.sizeof("exia_retain_options")
        options.name = strings[0]
        options.apply = flag(apply, "apply")
        given = json.dumps(plain(mapping(rules, "rules"), "rules"), allow_nan=False).encode()
        out = ffi.new("exia_rows **")
        with Job(unit=" versions") as job:
            call(lib.exia_library_retain, out, self._c, given, options, job.c)
        return take_rows(out)

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

    def fsck(self, *, repair: bool = False, quick: bool = False, threads: int = 0) -> Checked:
        """Check every log and the bytes of every version, and mend what can be mended.

        Parameters
        ----------
        repair
            Where another copy of lost bytes is there, let the version name that; drop marks that no
            collector needs; write anew what is derived from the logs.  Else nothing is changed.
        quick
            Compare sizes only.
        threads
            That read; 0: one a core.

        Examples
        --------
        >>> import tempfile
        >>> from exia import Library
        >>> library = Library(tempfile.mkdtemp())
        >>> library.write("x", b"bytes")
        1
        >>> library.fsck()
        []
        """
        options = ffi.new("exia_fsck_options *")
        options.struct_size = ffi.sizeof("exia_fsck_options")
        options.repair = flag(repair, "repair")
        options.quick = flag(quick, "quick")
        out = ffi.new("exia_rows **")
        totals = ffi.new("exia_fsck_totals *")
        with Job(threads=integer(threads, "threads", 0, 1024)) as job:
            call(lib.exia_library_fsck, out, totals, self._c, options, job.c)
        return _told(Checked(take_rows(out)), totals)


_Told = TypeVar("_Told", Collected, Checked)


def _told(answer: _Told, totals: Any) -> _Told:
    answer.totals = {name: int(getattr(totals, name)) for name in dir(totals)}
    return answer


def _milliseconds(value: float | timedelta | None, what: str) -> int:
    """Give a duration in whole milliseconds, 1 at least; None is 0, which is the standard."""
    if value is None:
        return 0
    number = value.total_seconds() if isinstance(value, timedelta) else seconds(value, what)
    return integer(round(number * 1000), what, 1)
