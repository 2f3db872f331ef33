"""The model library from Python: bad input, versions, aliases, selectors, many writers."""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import sqlite3
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import exia

# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["ftp://host/x", "s4+http://x", "nosuch:x"])
def test_an_unknown_scheme_is_refused(url: str) -> None:
    with pytest.raises(exia.InvalidError, match="scheme"):
        exia.Library(url)


def test_a_catalogue_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("this is no database, however long it may be " * 100)
    with pytest.raises(exia.CorruptError, match=r"catalog\.db"):
        exia.Library(tmp_path)


def test_a_catalogue_of_a_newer_schema_is_refused_and_unchanged(tmp_path: Path) -> None:
    exia.Library(tmp_path / "l").close()
    file = tmp_path / "l" / "catalog.db"
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("pragma user_version = 999")
    with pytest.raises(exia.VersionError):
        exia.Library(tmp_path / "l")
    with contextlib.closing(sqlite3.connect(file)) as db:
        assert db.execute("pragma user_version").fetchone() == (999,)


def test_an_empty_path_is_refused_and_the_home_is_not_taken(home: Path) -> None:
    with pytest.raises(exia.ExiaError):
        exia.Library("")
    assert not home.exists()


@pytest.mark.parametrize("name", ["a/b", "../x", "", ".x", "x" * 10_000, "a b", "ü", "x@1", "a\nb"])
def test_a_bad_name_is_refused_and_nothing_is_written(library: exia.Library, name: str) -> None:
    with pytest.raises(exia.InvalidError) as caught:
        library.write(name, 1)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 240
    assert library.search() == []


@pytest.mark.parametrize(
    ("selector", "kind"),
    [
        ("nope", exia.NotFoundError),
        ("m@9", exia.NotFoundError),
        ("m@0", exia.InvalidError),
        ("m@none", exia.NotFoundError),
        ("m@latest-7", exia.NotFoundError),
        ("m@best(metrics.none)", exia.NotFoundError),
        ("m@best(", exia.InvalidError),
        ("m@", exia.InvalidError),
        ("", exia.InvalidError),
        ("a/b", exia.InvalidError),
        ("m@" + "9" * 40, exia.ExiaError),
        ("m" * 10_000, exia.InvalidError),
    ],
)
def test_a_selector_that_selects_nothing_says_why(
    library: exia.Library, selector: str, kind: type[Exception]
) -> None:
    library.write("m", 1)
    with pytest.raises(kind) as caught:
        library.read(selector)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "filter", ["metrics.", "metrics.a >", "1 = 1 =", "name = 'x", "select *", "limit", "'" * 9999]
)
def test_a_bad_filter_is_refused(library: exia.Library, filter: str) -> None:
    with pytest.raises(exia.InvalidError):
        library.search(filter)


@pytest.mark.parametrize(
    "facts",
    [
        {"metrics": {"a": "high"}},
        {"metrics": {"a": True}},
        {"metrics": {"a": None}},
        {"tags": {"a": [1]}},
        {"tags": {"a": object()}},
        {"params": {"a": object()}},
        {"params": {"a": float("nan")}},
        {"params": 7},
        {"parent": -1},
        {"parent": []},
        {"alias": "latest"},
        {"alias": "7up"},
        {"alias": "a/b"},
        {"alias": "a", "expect": 5},
        {"alias": "a", "expect": -7},
        {"expect": 1},
        {"token": "a b"},
        {"parts": {"model": 1}},
        {"parts": {"a/b": 1}},
        {"parts": {"version.json": b"x"}},
        {"parts": {"x": Path("/no/such/file")}},
        {"parts": {"x": Path("/")}},
    ],
    ids=str,
)
def test_bad_facts_are_refused_and_nothing_is_written(library: exia.Library, facts: Any) -> None:
    with pytest.raises((exia.ExiaError, TypeError)):
        library.write("m", 1, **facts)
    assert library.search() == []


def test_a_part_that_is_not_there_is_named_with_those_that_are(library: exia.Library) -> None:
    library.write("m", 1, parts={"weights": b"x"})
    with pytest.raises(exia.NotFoundError, match=r"m@1 has no part 'nope'.*model, weights"):
        library.read("m", part="nope")


def test_a_closed_library_and_a_closed_model_are_refused(library: exia.Library) -> None:
    library.write("m", 1)
    model = library.open("m")
    model.close()
    model.close()
    with pytest.raises(exia.ClosedError):
        model.read()
    library.close()
    with pytest.raises(ValueError, match="closed"):
        library.read("m")


def test_a_read_only_library_refuses_every_write(tmp_path: Path) -> None:
    with pytest.raises(exia.NotFoundError):
        exia.Library(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()
    with exia.Library(tmp_path / "l") as library:
        library.write("m", 1)
    with exia.Library(tmp_path / "l", read_only=True) as library:
        assert library.read("m") == 1
        for write in (
            lambda: library.write("m", 2),
            lambda: library.alias("m", "a", 1),
            lambda: library.rollback("m", "a"),
            lambda: library.remove("m", 1),
        ):
            with pytest.raises(exia.DeniedError):
                write()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        exia.Library(tmp_path / "l")


# ---- versions, aliases, selectors ---------------------------------------------------------------


def test_versions_count_without_gaps_and_failures_leave_none(library: exia.Library) -> None:
    assert library.write("m", 1) == 1
    with pytest.raises(exia.ConflictError):
        library.write("m", 2, alias="champion", expect=9)
    with pytest.raises(TypeError, match="metrics"):
        library.write("m", 2, metrics={"a": "x"})
    assert library.write("m", 2) == 2
    assert [row["version"] for row in library.versions("m")] == [2, 1]
    assert library.versions("o'brien") == []


def test_everything_that_was_written_down_comes_back(library: exia.Library) -> None:
    np = pytest.importorskip("numpy")
    library.write("base", 0)
    library.write(
        "m",
        7,
        metrics={"auc": np.float32(0.5), "n": 3, "bad": float("nan"), "inf": float("-inf")},
        tags={"team": "vision", "n": np.int64(3), "yes": True},
        params={"layers": [1, 2], "weights": np.array([1, 2])},
        parent="base@1",
        message="why not",
        alias="champion",
    )
    (row,) = library.versions("m")
    assert row["metrics"] == {"auc": 0.5, "n": 3, "bad": "NaN", "inf": "-Infinity"}
    assert row["tags"] == {"team": "vision", "n": 3, "yes": True}
    assert row["params"] == {"layers": [1, 2], "weights": [1, 2]}
    assert (row["parent"], row["why"]) == ("base@1", "why not")
    assert row["aliases"] == ["champion"]


def test_selectors_choose_as_they_say(library: exia.Library) -> None:
    for auc in (0.5, 0.9, 0.7):
        library.write("m", auc, metrics={"auc": auc})
    library.alias("m", "champion", 1)
    library.alias("m", "champion", 3, expect=1)
    chosen = {
        "m": 0.7, "m@1": 0.5, "m@latest": 0.7, "m@latest-1": 0.9, "m@champion": 0.7,
        "m@previous(champion)": 0.5, "m@best(metrics.auc)": 0.9, "m@worst(metrics.auc)": 0.5,
    }  # fmt: skip
    assert {selector: library.read(selector) for selector in chosen} == chosen
    found = library.search("metrics.auc > 0.6 order by metrics.auc desc limit 1")
    assert [row["version"] for row in found] == [2]


def test_an_alias_moves_only_from_where_the_mover_saw_it(library: exia.Library) -> None:
    for n in range(3):
        library.write("m", n)
    library.alias("m", "a", 1, expect=0)
    with pytest.raises(exia.ConflictError):
        library.alias("m", "a", 2, expect=0)
    library.alias("m", "a", 2, expect=1, message="better")
    library.alias("m", "a", 3)
    assert library.rollback("m", "a") == 2
    assert library.rollback("m", "a", expect=2) == 1
    with pytest.raises(exia.NotFoundError):
        library.rollback("m", "a")
    library.alias("m", "a", None)
    with pytest.raises(exia.NotFoundError):
        library.read("m@a")
    assert library.rollback("m", "a") == 1
    assert [row["do"] for row in library.history("m")][-2:] == ["move", "rollback"]


def test_a_removed_version_is_gone_and_its_number_too(library: exia.Library) -> None:
    library.write("m", 1, alias="a")
    with pytest.raises(exia.ConflictError, match="a"):
        library.remove("m", 1)
    library.write("m", 2, alias="a")
    library.remove("m", 1, message="bad data")
    with pytest.raises(exia.NotFoundError):
        library.read("m@1")
    assert library.write("m", 3) == 3


def test_a_token_makes_a_repeated_write_one_version(library: exia.Library) -> None:
    assert library.write("m", 1, token="t1") == 1
    assert library.write("m", 1, token="t1") == 1
    assert library.write("m", 2) == 2


def test_an_exported_directory_opens_without_a_library(
    library: exia.Library, tmp_path: Path
) -> None:
    np = pytest.importorskip("numpy")
    library.write("m", {"w": np.arange(5000.0)}, parts={"note": b"abc"}, tags={"a": "b"})
    library.export("m", tmp_path / "plain")
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {
        "version.json",
        "model",
        "note",
    }
    with exia.open_model(tmp_path / "plain", verify=True) as model:
        assert (model.name, model.version, model.facts["tags"]) == ("m", 1, {"a": "b"})
        assert np.array_equal(model.tensors["w"], np.arange(5000.0))
        assert model.read("note") == b"abc"
        assert model.path == tmp_path / "plain" / "model"
    with pytest.raises(exia.ExistsError):
        library.export("m", tmp_path / "plain")
    with pytest.raises(exia.NotFoundError):
        exia.open_model(tmp_path / "nothing")


def test_a_changed_byte_is_seen_by_the_verifying_open(
    library: exia.Library, tmp_path: Path
) -> None:
    library.write("m", b"x" * 100_000)
    library.export("m", tmp_path / "plain")
    file = tmp_path / "plain" / "model"
    file.chmod(0o600)
    data = bytearray(file.read_bytes())
    data[50_000] ^= 1
    file.write_bytes(data)
    with pytest.raises(exia.CorruptError, match="SHA-256"):
        exia.open_model(tmp_path / "plain", verify=True)
    file.write_bytes(data[:100])
    with pytest.raises(exia.CorruptError):
        exia.open_model(tmp_path / "plain").read()


def test_views_are_writable_and_private(library: exia.Library) -> None:
    library.write("m", b"abc" * 10_000)
    with library.open("m", populate=True) as model:
        view = model.view()
        view[0:3] = b"xyz"
        assert bytes(model.view()[:3]) == b"xyz"
    assert library.read("m")[:3] == b"abc"
    library.write("empty", b"")
    assert library.open("empty").view() == b""


# ---- many writers -------------------------------------------------------------------------------


def write_many(arguments: tuple[str, int, int]) -> list[int]:
    where, worker, count = arguments
    with exia.Library(where) as library:
        return [library.write("m", {"worker": worker, "i": i}) for i in range(count)]


def test_eight_processes_write_one_name_and_leave_no_gap(tmp_path: Path) -> None:
    where, each = str(tmp_path / "library"), 5
    with multiprocessing.get_context("spawn").Pool(8) as workers:
        written = workers.map(write_many, [(where, n, each) for n in range(8)], chunksize=1)
    assert sorted(n for numbers in written for n in numbers) == list(range(1, 8 * each + 1))
    with exia.Library(where) as library:
        rows = library.versions("m")
        assert [row["version"] for row in rows] == list(range(8 * each, 0, -1))
        found = [library.read(f"m@{n}") for n in range(1, 8 * each + 1)]
    for worker, numbers in enumerate(written):
        for i, n in enumerate(numbers):
            assert found[n - 1] == {"worker": worker, "i": i}


def test_threads_share_one_library(library: exia.Library) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda n: library.write("m", n), range(24)))
        assert sorted(numbers) == list(range(1, 25))
        read = list(threads.map(lambda n: library.read(f"m@{n}"), numbers))
    assert read == list(range(24))


def test_closing_under_the_calls_of_other_threads_is_safe(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    for _ in range(10):
        library = exia.Library(tmp_path / "l")
        library.write("m", {"w": np.arange(1000.0)})
        outcomes: list[Any] = []
        started = threading.Barrier(5)

        def read(library: Any = library, started: Any = started, outcomes: Any = outcomes) -> None:
            started.wait()
            try:
                while True:
                    assert library.read("m")["w"][-1] == 999
            except exia.ClosedError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        library.close()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 4


def test_finalisers_run_in_any_thread_and_order(tmp_path: Path) -> None:
    def churn(n: int) -> None:
        for i in range(20):
            library = exia.Library(tmp_path / f"l{n}")
            library.write("m", [i])
            model = library.open("m")
            cycle: list[Any] = [library, model, exia.Dag({"a": ["b"]}), library.search()]
            cycle.append(cycle)

    before = gc.get_threshold()
    gc.set_threshold(10)
    try:
        threads = [threading.Thread(target=churn, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    open_files = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]
    assert not [file for file in open_files if str(tmp_path) in file]


# ---- how it looks -------------------------------------------------------------------------------


def test_tables_escape_what_they_show(library: exia.Library) -> None:
    library.write("m", 1, tags={"x": "<script>alert(1)</script>"}, message="a <b>&")
    html = library._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    lines = str(library.search()).splitlines()
    assert len(lines) == 2
    assert library.search("name = 'none'")._repr_html_() == "<em>no rows</em>"
    assert json.dumps(library.search())
    assert "m@1" in repr(library.open("m"))


def test_an_alias_goes_back_to_a_time_and_is_protected(library: exia.Library) -> None:
    for expect in (0, 1):
        library.write("m", expect, alias="a", expect=expect)
        time.sleep(0.003)
    first = library.history("m", "a")[0]["time"]
    assert library.rollback("m", "a", to=first) == 1
    assert library.rollback("m", "a") == 2
    moment = datetime.fromisoformat(first.replace("Z", "+00:00"))
    for zone in (timezone.utc, timezone(timedelta(hours=5, minutes=30)), None):
        assert library.rollback("m", "a", to=moment.astimezone(zone), expect=2) == 1
        assert library.rollback("m", "a") == 2
    with pytest.raises(exia.NotFoundError, match="not there yet"):
        library.rollback("m", "a", to="2000-01-01")
    with pytest.raises(TypeError, match="to"):
        library.rollback("m", "a", to=3)  # type: ignore[arg-type]
    library.protect("m", "a")
    with pytest.raises(PermissionError, match="protected"):
        library.alias("m", "a", 1)
    library.alias("m", "a", 1, expect=2, message="it was better")
    library.protect("m", "a", False, message="over")
    library.alias("m", "a", None)
    verbs = [row["do"] for row in library.history("m", "a")]
    assert verbs[-4:] == ["protect", "move", "protect", "move"]
    assert library.history("m", "other") == []
