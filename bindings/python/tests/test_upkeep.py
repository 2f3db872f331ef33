"""Keeping a model library in order from Python."""

from __future__ import annotations

import contextlib
import os
import sqlite3
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


# ---- checks -------------------------------------------------------------------------------------


def blobs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "library" / "blobs" / "sha256").glob("*/*"))


def spoil(blob: Path, data: bytes) -> None:
    blob.chmod(0o600)
    blob.write_bytes(data)


def test_a_sound_library_has_no_findings(library: exia.Library) -> None:
    assert library.fsck() == []
    library.write("m", BYTES, alias="a")
    library.write("n", b"small")
    library.remove("n", 1)
    found = library.fsck(threads=2)
    assert found == []
    assert found.totals["models"] == 2
    assert found.totals["entries"] == 3
    assert found.totals["errors"] == 0


def test_lost_and_altered_bytes_are_named_and_stay_lost_without_a_copy(
    library: exia.Library, tmp_path: Path
) -> None:
    for i in range(4):
        library.write("m", BYTES + bytes([i]))
    one, two, three, _ = (
        b for b in blobs(tmp_path) if b.stat().st_size == len(BYTES) + 1
    )  # in the order of their digests
    one.unlink()
    spoil(two, BYTES + b"\xff")
    spoil(three, b"short")
    quick = library.fsck(quick=True)
    assert sorted(row["what"] for row in quick) == ["altered", "missing"]
    for repair in (False, True):
        found = library.fsck(repair=repair)
        assert [row["severity"] for row in found] == ["error"] * 3
        assert [row["what"] for row in found] == ["missing", "altered", "altered"]
        assert [row["key"].split("/")[-1] for row in found] == [one.name, two.name, three.name]
        assert all(row["name"] == "m" and row["repaired"] is False for row in found)
        assert "has 5 of 20001 bytes" in found[2]["text"]
        assert "restore it from a backup" in str(found)
        assert found.totals["errors"] == 3
    assert len(library.history("m")) == 4


@pytest.mark.parametrize("lost", [False, True])
def test_a_copy_stands_in_for_what_is_lost(
    library: exia.Library, tmp_path: Path, lost: bool
) -> None:
    library.write("m", BYTES)
    library.write("n", BYTES)
    (blob,) = (b for b in blobs(tmp_path) if b.stat().st_size == len(BYTES))
    copy = blob.with_name(blob.name + ".1")
    copy.write_bytes(BYTES)
    if lost:
        blob.unlink()
    else:
        spoil(blob, BYTES[:-1] + b"y")
    found = library.fsck()
    assert {(row["name"], row["repaired"]) for row in found} == {("m", False), ("n", False)}
    assert all("a copy is there" in row["text"] for row in found)
    mended = library.fsck(repair=True)
    assert {(row["name"], row["repaired"]) for row in mended} == {("m", True), ("n", True)}
    assert (mended.totals["errors"], mended.totals["repaired"]) == (0, 2)
    assert library.fsck() == []
    with library.open("m", verify=True) as m, library.open("n", verify=True) as n:
        assert m.read() == n.read() == BYTES
    last = library.history("m")[-1]
    assert (last["do"] == "repair") is not lost
    with exia.Library(tmp_path / "library") as other:
        assert other.read("m") == BYTES


def test_an_environment_is_checked_too(library: exia.Library, tmp_path: Path) -> None:
    library.write("m", b"small")
    (blob,) = blobs(tmp_path)
    before = blob.read_bytes()
    blob.with_name(blob.name + ".1").write_bytes(before)
    spoil(blob, b"{}")
    (row,) = library.fsck()
    assert (row["severity"], row["what"], row["version"]) == ("warning", "altered", 1)
    assert "environment: its bytes are not those that were written" in row["text"]
    blob.with_name(blob.name + ".1").unlink()
    (row,) = library.fsck(repair=True)
    assert (row["severity"], row["repaired"]) == ("error", False)
    blob.unlink()
    (row,) = library.fsck()
    assert (row["severity"], row["what"]) == ("error", "missing")


def test_orphans_foreign_files_and_a_lost_id_are_told(
    library: exia.Library, tmp_path: Path
) -> None:
    folder = tmp_path / "library" / "blobs"
    library.write("m", BYTES)
    library.remove("m", 1)
    assert library.fsck() == []  # young: a writer may be about to name them
    for blob in blobs(tmp_path):
        os.utime(blob, (0, 0))
    (folder / "notes").write_text("x")
    (folder / "library-id").unlink()
    found = library.fsck()
    assert [(row["severity"], row["what"]) for row in found] == [
        ("error", "id"),
        ("info", "foreign"),
        ("info", "orphan"),
        ("info", "orphan"),
    ]
    with pytest.raises(exia.ConflictError):
        library.gc()
    assert library.fsck(repair=True)[0]["repaired"] is True
    assert [row["what"] for row in library.fsck()] == ["foreign", "orphan", "orphan"]
    assert library.gc().totals["marked"] == 2
    (folder / "library-id").chmod(0o600)
    (folder / "library-id").write_text("another")
    (row,) = library.fsck(repair=True)
    assert (row["what"], row["repaired"]) == ("id", False)
    assert "another library" in row["text"]


def sql(tmp_path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "library" / "catalog.db")) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    ("statement", "version", "text"),
    [
        ("delete from record where kind = 'version' and key like 'm/%2'", 2, "is missing"),
        ("delete from record where kind = 'model' and key = 'm'", None, "is missing"),
        (
            "update record set json = replace(json, 'auc\":0.75', 'auc\":0.25')"
            " where kind = 'version'",
            2,
            "says other than the log",
        ),
        (
            "update record set json = replace(json, '\"seq\":3', '\"seq\":2')"
            " where kind = 'version'",
            3,
            "lags behind the log",
        ),
        (
            "update record set json = replace(json, '\"highest\":3', '\"highest\":2')"
            " where kind = 'model'",
            None,
            "says other than the log",
        ),
        ("update record set json = '{' where key like 'm/%1' and kind = 'version'", 1, "no JSON"),
        (
            "insert into record (kind, key, json, token)"
            " select kind, 'm/0000000000000009', json, token from record"
            " where kind = 'version' and key like 'm/%1'",
            9,
            "the log has no such version",
        ),
    ],
    ids=str,
)
def test_what_is_derived_from_a_log_is_made_anew(
    library: exia.Library, tmp_path: Path, statement: str, version: int | None, text: str
) -> None:
    for auc in (0.5, 0.75, 0.9):
        library.write("m", b"x", metrics={"auc": auc})
    library.write("n", b"x", metrics={"auc": 0.6}, alias="a")
    before = library.search("metrics.auc > 0 order by metrics.auc")
    sql(tmp_path, statement)
    for repair in (False, True):
        (row,) = library.fsck(repair=repair)
        assert (row["severity"], row["what"], row["name"]) == ("warning", "derived", "m")
        assert row["version"] == version
        assert text in row["text"]
        assert row["repaired"] is repair
    assert library.fsck() == []
    with exia.Library(tmp_path / "library") as other:
        for one in (library, other):
            assert one.search("metrics.auc > 0 order by metrics.auc") == before
            assert one.write("m", b"y", token="next") == 4
        assert other.fsck() == []


def test_a_log_that_says_nonsense_is_told(library: exia.Library, tmp_path: Path) -> None:
    library.write("m", b"x", alias="a")
    library.alias("m", "a", None)
    sql(tmp_path, "update record set json = replace(json, '\"from\":1', '\"from\":7')")
    (row,) = library.fsck(repair=True)
    assert (row["severity"], row["what"], row["name"]) == ("error", "log", "m")
    assert "entry 2" in row["text"]


def test_a_log_that_cannot_be_read_is_told_and_orphans_are_not_guessed(
    library: exia.Library, tmp_path: Path
) -> None:
    library.write("m", BYTES)
    library.write("n", BYTES)
    for blob in blobs(tmp_path):
        os.utime(blob, (0, 0))
    sql(tmp_path, "update record set json = '{}' where kind = 'log' and key like 'm/%'")
    with exia.Library(tmp_path / "library") as other:
        found = other.fsck()
    logs = [row for row in found if row["what"] == "log"]
    assert [(row["severity"], row["name"]) for row in logs] == [("error", "m")]
    assert "entry 1" in logs[0]["text"]
    assert not [row for row in found if row["what"] == "orphan"]


def test_a_check_changes_nothing_and_a_reader_may_check(
    library: exia.Library, tmp_path: Path
) -> None:
    library.write("m", BYTES)
    with exia.Library(tmp_path / "library", read_only=True) as reader:
        assert reader.fsck() == []
        with pytest.raises(exia.DeniedError):
            reader.fsck(repair=True)
    with pytest.raises(exia.InvalidError, match="threads"):
        library.fsck(threads=-1)
