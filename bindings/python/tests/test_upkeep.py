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


# ---- retention ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({}, "no rule"),
        ({"first": 1}, 'no rule "first"'),
        ({"last": 0}, "last is not a number of at least 1"),
        ({"last": 1.5}, "last is not a number"),
        ({"last": True}, "last is not a number"),
        ({"younger_days": -1}, "younger_days"),
        ({"younger_days": "7"}, "younger_days"),
        ({"best": "metrics.auc"}, "best is not an object"),
        ({"best": {}}, "best is not an object"),
        ({"best": {"metrics.auc": 0}}, "best is not a number"),
        ({"best": {"metrics.auc desc limit 1": 1}}, "best"),
        ({"worst": {"": 1}}, "worst"),
        ({"aliases": "all"}, 'neither "now" nor "ever"'),
        ({"aliases": 1}, "aliases"),
        ({"where": 7}, "where is not a text"),
        ({"where": "metrics.auc >"}, "where"),
        ({"where": "true order by version"}, "where"),
        ({"where": "version > 0) or (version > 0"}, "where"),
        ({"where": ""}, "where"),
    ],
    ids=str,
)
def test_rules_that_are_none_are_refused(library: exia.Library, rules: Any, words: str) -> None:
    library.write("m", 1)
    with pytest.raises(exia.InvalidError, match=words):
        library.retain(rules, apply=True)
    assert len(library.versions("m")) == 1


def test_retention_checks_its_arguments(library: exia.Library, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="rules must be a mapping"):
        library.retain([("last", 1)])  # type: ignore[arg-type]
    with pytest.raises(exia.InvalidError, match="model name"):
        library.retain({"last": 1}, name="x' or name != '")
    assert library.retain({"last": 1}) == []
    assert library.retain({"last": 1}, name="nosuch") == []
    library.write("m", 1)
    with exia.Library(tmp_path / "library", read_only=True) as reader:
        assert [row["do"] for row in reader.retain({"last": 1})] == ["keep"]
        with pytest.raises(exia.DeniedError):
            reader.retain({"last": 1}, apply=True)


@pytest.fixture
def ten(library: exia.Library) -> exia.Library:
    """Ten versions of `m` and one of `n`; champion was on 2, then 4, then 6; `old` stands on 1."""
    for i in range(1, 11):
        auc = [0.1, 0.9, 0.3, 0.9, float("nan"), 0.2, 0.8, float("inf"), 0.4, 0.5][i - 1]
        tags = {"team": "cv"} if i in (3, 9) else {}
        library.write("m", i, metrics={"auc": auc}, tags=tags)
    for version in (2, 4, 6):
        library.alias("m", "champion", version)
    library.alias("m", "old", 1)
    library.write("n", 1)
    return library


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ({"last": 2}, {1, 6, 9, 10}),
        ({"last": 100}, set(range(1, 11))),
        ({"aliases": "now"}, {1, 6}),
        ({"aliases": "ever"}, {1, 2, 4, 6}),
        ({"best": {"metrics.auc": 1}}, {1, 4, 6}),
        ({"best": {"metrics.auc": 100}}, {1, 2, 3, 4, 6, 7, 9, 10}),
        ({"worst": {"metrics.auc": 3}}, {1, 3, 6}),
        ({"best": {"metrics.nosuch": 3}}, {1, 6}),
        ({"where": "tags.team = 'cv'"}, {1, 3, 6, 9}),
        ({"where": "version = 5 or version = 7"}, {1, 5, 6, 7}),
        ({"younger_days": 1}, set(range(1, 11))),
        ({"younger_days": 1e-9}, {1, 6}),
        ({"last": 1, "best": {"metrics.auc": 2}, "where": "version = 3"}, {1, 2, 3, 4, 6, 10}),
    ],
    ids=str,
)
def test_what_any_rule_keeps_stays(ten: exia.Library, rules: Any, kept: set[int]) -> None:
    told = ten.retain(rules, name="m")
    assert {row["version"] for row in told if row["do"] == "keep"} == kept
    assert len(ten.versions("m")) == 10
    done = ten.retain(rules, name="m", apply=True)
    assert {row["version"] for row in done if row["do"] == "removed"} == {*range(1, 11)} - kept
    assert {row["version"] for row in ten.versions("m")} == kept
    assert len(ten.versions("n")) == 1
    whys = [row["why"] for row in ten.history("m") if row["do"] == "remove"]
    assert all(why.startswith("no rule of retention keeps it: {") for why in whys)
    assert len(whys) == 10 - len(kept)


def test_all_models_are_looked_at_each_by_itself(ten: exia.Library) -> None:
    rows = ten.retain({"last": 1}, apply=True)
    assert {row["name"] for row in rows} == {"m", "n"}
    assert [row["version"] for row in ten.versions("n")] == [1]
    assert [row["version"] for row in ten.versions("m")] == [10, 6, 1]
    reasons = {row["version"]: row["why"] for row in rows if row["name"] == "m"}
    assert reasons[10] == "last 1"
    assert reasons[6] == "alias champion"
    assert "keep" in rows._repr_html_()
