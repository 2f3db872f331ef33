"""What is handed over wrongly is refused: a wrong type is a TypeError, a wrong value InvalidError.

Either names the argument, and nothing was done.
"""

from __future__ import annotations

import copy
import gc
import io
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exia

LOOP: dict[str, Any] = {}
LOOP["itself"] = LOOP


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"metrics": [1]}, "metrics must be a mapping, not list"),
        ({"tags": "x"}, "tags must be a mapping, not str"),
        ({"params": 7}, "params must be a mapping, not int"),
        ({"parts": [1]}, "parts must be a mapping, not list"),
        ({"parts": {1: 2}}, "a key of parts must be a str, not int"),
        ({"metrics": {1: 2}}, "a key of metrics must be a str, not int"),
        ({"tags": {None: 2}}, "a key of tags must be a str, not None"),
        ({"params": {"a": {b"b": 1}}}, "a key of params['a'] must be a str, not bytes"),
        ({"metrics": {"a": "x"}}, "metrics['a'] must be a number, not str"),
        ({"metrics": {"a": True}}, "metrics['a'] must be a number, not bool"),
        ({"metrics": {"a": np.zeros(2)}}, "metrics['a'] must be a number, not ndarray"),
        ({"params": {"a": [1, {2}]}}, "params['a'][1] must be plain data"),
        ({"alias": 7}, "alias must be a str, not int"),
        ({"alias": b"a"}, "alias must be a str, not bytes"),
        ({"message": 7}, "message must be a str, not int"),
        ({"token": 7}, "token must be a str, not int"),
        ({"parent": 1.5}, "parent must be an int, not float"),
        ({"parent": True}, "parent must be an int, not bool"),
        ({"alias": "a", "expect": "1"}, "expect must be an int, not str"),
        ({"alias": "a", "expect": False}, "expect must be an int, not bool"),
    ],
    ids=str,
)
def test_a_fact_of_the_wrong_type_is_a_type_error(
    library: exia.Library, facts: Any, words: str
) -> None:
    with pytest.raises(TypeError) as caught:
        library.write("m", 1, **facts)
    assert words in str(caught.value)
    assert library.search() == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"metrics": {"a": 2**70}}, "metrics['a'] is too large: 1180591620717411303424"),
        ({"params": {"a": [0, -(2**70)]}}, "params['a'][1] must be -9223372036854775808 or more"),
        ({"params": {"a": float("nan")}}, "params['a'] must be finite, not nan"),
        ({"params": LOOP}, "params is nested too deep, or holds itself"),
        ({"params": {"a": "b\0"}}, "params['a'] must not hold a NUL"),
        ({"params": {"a\0": 1}}, "a key of params must not hold a NUL"),
        ({"tags": {"a": "\ud800"}}, "tags['a'] is not valid text"),
        ({"parent": 2**70}, "parent is too large"),
        ({"parent": "a\0"}, "parent must not hold a NUL"),
        ({"alias": "a", "expect": 2**70}, "expect is too large"),
        ({"alias": "a", "expect": -1}, "expect must be 0 or more, not -1"),
        ({"alias": "a\0b"}, "alias must not hold a NUL"),
        ({"message": "a\0b"}, "message must not hold a NUL"),
        ({"message": "\ud800"}, "message is not valid text"),
    ],
    ids=lambda value: "facts" if type(value) is dict else str(value),
)
def test_a_fact_of_a_wrong_value_is_an_invalid_error(
    library: exia.Library, facts: Any, words: str
) -> None:
    with pytest.raises(exia.InvalidError) as caught:
        library.write("m", 1, **facts)
    assert words in str(caught.value)
    assert library.search() == []


def calls(library: exia.Library, pool: exia.Pool, registry: exia.Registry) -> Any:
    """Each with what its error must say: first those of a wrong type."""
    add = pool.add
    yield from [
        (lambda: exia.Pool(None), "name must be a str, not None"),
        (lambda: library.write(None, 1), "name must be a str, not None"),
        (lambda: library.alias("m", None, 1), "alias must be a str, not None"),
        (lambda: library.alias("m", "a", "1"), "version must be an int, not str"),
        (lambda: library.alias("m", "a", True), "version must be an int, not bool"),
        (lambda: library.rollback("m", 7), "alias must be a str, not int"),
        (lambda: library.remove("m", None), "version must be an int, not None"),
        (lambda: library.remove("m", np.True_), "version must be an int, not bool"),
        (lambda: library.open(7), "selector must be a str, not int"),
        (lambda: library.open("m", verify="no"), "verify must be a bool, not str"),
        (lambda: library.read("m", part=7), "part must be a str, not int"),
        (lambda: library.search(7), "filter must be a str, not int"),
        (lambda: library.versions(7), "name must be a str, not int"),
        (lambda: library.history(None), "name must be a str, not None"),
        (lambda: library.export("m", None), "directory must be a path, not None"),
        (lambda: exia.Library(7), "url must be a path, not int"),
        (lambda: exia.Library(trust=7), "trust must be a path, not int"),
        (lambda: exia.Library(read_only="x"), "read_only must be a bool, not str"),
        (lambda: exia.open_model(None), "directory must be a path, not None"),
        (lambda: add(7, list), "name must be a str, not int"),
        (lambda: add("a", None), "cannot be called"),
        (lambda: add("a", list, needs="b"), "needs must be an iterable"),
        (lambda: add("a", list, needs=[1]), "a need must be a str, not int"),
        (lambda: add("a", list, needs=1), "needs must be an iterable"),
        (lambda: add("a", list, max=True), "max must be an int, not bool"),
        (lambda: add("a", list, max=1.5), "max must be an int, not float"),
        (lambda: add("a", list, arguments=[1]), "arguments must be a mapping, not list"),
        (lambda: add("a", list, arguments={1: 2}), "a key of arguments must be a str, not int"),
        (lambda: add("a", list, about=[1]), "about must be a mapping, not list"),
        (lambda: add("a", list, about={"a": {1}}), "about['a'] must be plain data"),
        (lambda: pool.borrow("b", timeout="1"), "timeout must be a number of seconds, not str"),
        (lambda: pool.borrow("b", timeout=True), "timeout must be a number of seconds, not bool"),
        (lambda: pool.close("1"), "timeout must be a number of seconds, not str"),
        (lambda: pool.show(7), "name must be a str, not int"),
        (lambda: pool.load(7), "shared_object must be a path, not int"),
        (lambda: exia.Dag(5), "after must be a mapping, not int"),
        (lambda: exia.Dag(0), "after must be a mapping, not int"),
        (lambda: exia.Dag({"b": "ac"}), "what 'b' comes after must be an iterable"),
        (lambda: exia.Dag({"b": 1}), "what 'b' comes after must be an iterable"),
        (lambda: exia.Dag().add([1]), "a node must be hashable, not list"),
        (lambda: exia.Dag().add_nodes("abc"), "nodes must be an iterable"),
        (lambda: exia.Dag().add_nodes(None), "nodes must be an int, not None"),
        (lambda: exia.Dag().add_nodes(True), "nodes must be an int, not bool"),
        (lambda: exia.Dag().add_edges(5), "edges must be an iterable"),
        (lambda: exia.Dag().add_edges(["ab"]), "an edge must be a pair (before, after), not str"),
        (lambda: exia.Dag().add_edges([5]), "an edge must be a pair (before, after), not int"),
        (lambda: exia.Dag().add_edges("ab", "bc"), "before must be an iterable"),
        (lambda: exia.Dag().add_edges(["a"], "b"), "after must be an iterable"),
        (
            lambda: exia.Dag().run(None),
            "call must be callable, or a mapping from nodes to callables, not None",
        ),
        (lambda: exia.Dag().run(print, "2"), "threads must be an int, not str"),
        (lambda: exia.Dag().export(7), "format must be a str, not int"),
        (lambda: exia.Registry(7), "home must be a path, not int"),
        (lambda: registry.register(None), "file must be a path, not None"),
        (lambda: registry.push("x", None), "to must be a str, not None"),
        (lambda: registry.pull("x", 7), "source must be a str, not int"),
        (lambda: registry.pull("x", "y", dry_run="no"), "dry_run must be a bool, not str"),
        (lambda: registry.install(7), "package must be a str, not int"),
        (lambda: registry.update("x", [1]), "facts must be a mapping, not list"),
        (lambda: registry.which(None), "file must be a path, not None"),
        (lambda: registry.add_remote("x", None, "y"), "records must be a path, not None"),
        (lambda: exia.load(7), "entry_point must be a str, not int"),
        (lambda: exia.pack(None), "workspace must be a path, not None"),
        (lambda: exia.pack("x", level="3"), "level must be an int, not str"),
        (lambda: exia.Package(None), "file must be a path, not None"),
        (lambda: exia.new_workspace("x", None), "name must be a str, not None"),
        (lambda: exia.add_component("x", 7), "source must be a path, not int"),
    ]
    yield None
    yield from [
        (lambda: exia.Pool("a\0b"), "name must not hold a NUL"),
        (lambda: exia.Library("/tmp/a\0b"), "url must not hold a NUL"),
        (lambda: library.alias("m", "a", 2**70), "version is too large"),
        (lambda: library.alias("m", "a", -1), "version must be 0 or more, not -1"),
        (lambda: library.remove("m", 0), "version must be 1 or more, not 0"),
        (lambda: add("a", list, max=2**70), "max is too large"),
        (lambda: add("a", list, max=0), "max must be 1 or more, not 0"),
        (lambda: pool.borrow("b", timeout=float("nan")), "timeout must be a number of seconds"),
        (lambda: exia.Dag().add_nodes(-1), "nodes must be 0 or more, not -1"),
        (lambda: exia.Dag().add_nodes(2**70), "nodes is too large"),
        (lambda: exia.Dag().add_edges([(1, 2, 3)]), "an edge is a pair (before, after), not (1,"),
        (lambda: exia.Dag().run(print, 2**70), "threads is too large"),
        (lambda: registry.install("a\0"), "package must not hold a NUL"),
        (lambda: exia.pack("x", level=2**70), "level is too large"),
    ]


def test_every_wrong_argument_is_named(library: exia.Library, tmp_path: Path) -> None:
    library.write("m", 1)
    kind: type[Exception] = TypeError
    with exia.Pool("p") as pool, exia.Registry(tmp_path / "registry") as registry:
        pool.add("b", list)
        for case in calls(library, pool, registry):
            if case is None:
                kind = exia.InvalidError
                continue
            call, words = case
            with pytest.raises(kind) as caught:
                call()
            assert words in str(caught.value)
            assert "\n" not in str(caught.value)
        assert [row["name"] for row in pool.show()] == ["b"]
    assert len(library.history("m")) == 1


def test_numbers_of_numpy_are_numbers(library: exia.Library, tmp_path: Path) -> None:
    assert library.write("m", 1) == 1
    data = {"a": np.int64(1), "b": [np.float32(0.5), np.True_], "c": {"d": np.arange(2)}}
    library.write(
        "m", 2, metrics={"a": np.float32(0.5), "b": np.array(3)}, tags={"t": np.bool_(True)},
        params=data, parent=np.int64(1), alias="x", expect=np.int8(0),
    )  # fmt: skip
    row = library.versions("m")[0]
    assert (row["metrics"], row["tags"]) == ({"a": 0.5, "b": 3}, {"t": True})
    assert row["params"] == {"a": 1, "b": [0.5, True], "c": {"d": [0, 1]}}
    library.alias("m", "x", np.uint8(1), expect=np.int64(2))
    library.remove("m", np.int64(2))
    assert library.open("m", verify=np.True_).version == 1
    with exia.Pool("p") as pool:
        pool.add("a", list, max=np.int64(2), about={"size": np.int64(3)})
        pool.borrow("a", timeout=np.float32(0.5)).close()
        assert pool.show("a")[0]["about"]["size"] == 3
    dag = exia.Dag()
    dag.add_nodes(np.int64(3))
    assert list(dag) == [0, 1, 2]
    assert len(dag.run(print, np.int64(2))) == 3


@pytest.mark.parametrize("wrap", [lambda file: file, lambda file: {"nested": [file]}])
@pytest.mark.parametrize("mode", ["r", "rb", "w", "wb"])
def test_an_open_file_is_not_kept(
    library: exia.Library, tmp_path: Path, mode: str, wrap: Callable[[Any], Any]
) -> None:
    (tmp_path / "x").write_text("text")
    refused = pytest.raises(TypeError, match=r"an open file.*pathlib\.Path")
    with open(tmp_path / "x", mode) as file, refused:
        library.write("m", wrap(file))
    assert library.search() == []
    library.write("m", io.StringIO("in memory"))
    assert library.read("m").getvalue() == "in memory"


def test_nothing_that_owns_is_copied_or_pickled(library: exia.Library, tmp_path: Path) -> None:
    library.write("m", 1)
    exia.new_workspace(tmp_path / "w", "w")
    pool = exia.Pool("p")
    pool.add("a", list, max=1)
    lease = pool.borrow("a")
    model = library.open("m")
    package = exia.Package(exia.pack(tmp_path / "w", tmp_path / "w.veda"))
    registry = exia.Registry(tmp_path / "registry")
    owners = [lease, pool, library, model, package, registry, exia.Dag()]
    for owner in owners:
        said = rf"a {type(owner).__name__} is one owner: it cannot be copied or pickled"
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=said):
                attempt(owner)
        with pytest.raises(TypeError, match=said):
            library.write("handle", owner)
    gc.collect()
    with pytest.raises(exia.TimeoutError):
        pool.borrow("a", timeout=0)  # the loan is still out
    for thing in owners:
        thing.close()


def test_a_cycle_shows_the_nodes_as_python_does() -> None:
    dag = exia.Dag({1: ["1"], "1": [(2, None)], (2, None): [1]})
    with pytest.raises(exia.CycleError) as caught:
        dag.order()
    assert sorted(map(repr, caught.value.cycle)) == ["'1'", "(2, None)", "1"]
    shown = [*caught.value.cycle, caught.value.cycle[0]]
    assert str(caught.value) == "a cycle of 3: " + " -> ".join(map(repr, shown))
    ring = exia.Dag({i: [(i + 1) % 50] for i in range(50)})
    with pytest.raises(exia.CycleError, match=r"a cycle of 50: .* -> \.\.\. -> ") as caught:
        ring.run(print)
    assert len(caught.value.cycle) == 50


DROPPED = """
import exia, gc
pool = exia.Pool("p")
pool.add("a", list, max=1)
for i in range(3):
    pool.borrow("a")  # line 6
    gc.collect()
"""


def test_a_library_prints_nothing_unless_asked(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(DROPPED)
    quiet = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert quiet.stdout + quiet.stderr == ""
    told = subprocess.run(
        [sys.executable, "-W", "default", script], capture_output=True, text=True, check=True
    )
    assert told.stderr.count(f"{script}:6: ResourceWarning: a lease of 'a' was dropped") == 1
    assert told.stderr.count(str(script)) == 1


def test_a_dropped_lease_points_at_the_line_that_borrowed() -> None:
    with exia.Pool("p") as pool:
        pool.add("a", list, max=1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            line = sys._getframe().f_lineno + 1
            leases = [pool.borrow("a")]
            thread = threading.Thread(target=leases.clear)
            thread.start()
            thread.join()
    assert [(w.filename, w.lineno, w.category) for w in caught] == [
        (__file__, line, ResourceWarning)
    ]
