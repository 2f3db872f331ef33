"""Keeping a model library in order from Python."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import exia

BYTES = b"x" * 20_000  # more than what lies inside the log


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"grace": "1"}, TypeError, "grace must be a number of seconds"),
        ({"grace": True}, TypeError, "grace must be a number of seconds"),
        ({"grace": 0}, exia.InvalidError, "grace must be 1 or more"),
        ({"grace": -1.0}, exia.InvalidError, "grace must be 1 or more"),
        ({"grace": float("nan")}, exia.InvalidError, "not NaN"),
        ({"grace": timedelta(seconds=-1)}, exia.InvalidError, "grace must be 1 or more"),
        ({"dry_run": "yes"}, TypeError, "dry_run must be a bool"),
        ({"wait": None}, TypeError, "wait must be a bool"),
    ],
    ids=str,
)
def test_nonsense_is_refused(
    library: exia.Library, arguments: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        library.gc(**arguments)


def test_a_reader_may_only_ask(library: exia.Library, tmp_path: Path) -> None:
    library.write("m", 1)
    with exia.Library(tmp_path / "library", read_only=True) as reader:
        assert reader.gc(dry_run=True) == []
        with pytest.raises(exia.DeniedError):
            reader.gc()


def test_what_is_dead_is_told_and_goes(library: exia.Library) -> None:
    library.write("m", BYTES)
    library.write("m", BYTES + b"y")
    library.remove("m", 1)
    (row,) = library.gc()
    assert row["do"] == "young"
    assert row["why"] == "m@1 was removed"
    assert row["key"].startswith("sha256/")
    done = library.gc(grace=timedelta(milliseconds=1), wait=True)
    assert [row["do"] for row in done] == ["removed"]
    assert done.totals["removed_bytes"] == len(BYTES)
    assert "m@1 was removed" in done._repr_html_()
    assert library.gc() == []
    assert library.read("m") == BYTES + b"y"


def test_the_wait_stops_at_ctrl_c_and_blocks_nobody(
    library: exia.Library, ctrl_c: Callable[[], None], tmp_path: Path
) -> None:
    library.write("m", BYTES)
    library.remove("m", 1)
    for blob in (tmp_path / "library" / "blobs" / "sha256").glob("*/*"):
        os.utime(blob, (0, 0))
    other = exia.Library(tmp_path / "library")

    def meanwhile() -> None:
        time.sleep(0.2)
        other.write("m", BYTES)
        library.write("m", BYTES)
        ctrl_c()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        library.gc(grace=3600, wait=True)
    thread.join()
    other.close()
    assert library.read("m@2") == library.read("m@3") == BYTES
