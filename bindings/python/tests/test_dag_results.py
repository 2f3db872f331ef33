"""What the tasks of a run answer: handed on, let go, kept; and what is out meanwhile."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import exia

HOW: list[dict[str, Any]] = [{}, {"threads": 3}, {"executor": True}]


@pytest.fixture(params=HOW, ids=["here", "threads", "executor"])
def how(request: pytest.FixtureRequest) -> Any:
    if not request.param.get("executor"):
        yield request.param
        return
    with ThreadPoolExecutor(3) as executor:
        yield {"executor": executor}


def test_results_come_in_the_order_in_which_edges_were_added(how: Any) -> None:
    dag = exia.Dag({"c": ["b", "a"]})
    dag.add_edges([("d", "c"), ("b", "c")])  # an edge given twice is one edge
    dag.add("e", "c", "a")
    report = dag.run(lambda node, *before: (node, before), results=True, **how)
    a, b, d = (("a", ()), ("b", ()), ("d", ()))
    assert report.results == {"e": ("e", (("c", (b, a, d)), a))}


def test_a_function_a_node_is_given_the_results_before_it(how: Any) -> None:
    dag = exia.Dag({"train": ["load", "clean"], "clean": ["load"]})
    functions = {
        "train": lambda rows, cleaned: (rows, cleaned),
        "load": lambda: [3, 1, 2],
        "clean": sorted,
    }
    assert dag.run(functions, **how).results == {"train": ([3, 1, 2], [1, 2, 3])}
    plain = dict.fromkeys(dag, list)
    assert dag.run(plain, results=False, **how).results == {node: [] for node in dag}


def test_what_is_no_function_a_node_is_refused_and_nothing_runs() -> None:
    ran: list[int] = []
    dag = exia.Dag({"b": ["a"]})
    with pytest.raises(exia.NotFoundError, match="no function for node 'b'"):
        dag.run({"a": lambda: ran.append(1)})
    with pytest.raises(exia.NotFoundError, match="'c'"):
        dag.run({"a": list, "b": list, "c": list})
    with pytest.raises(TypeError, match=r"call\['b'\] must be callable, not int"):
        dag.run({"a": lambda: ran.append(1), "b": 7})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="results must be a bool"):
        dag.run(print, results="all")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="keep must be an iterable"):
        dag.run(print, keep="b")
    with pytest.raises(exia.NotFoundError, match="'z'"):
        dag.run(print, keep=["z"])
    assert ran == []
    assert dag.order() == ["a", "b"]


@pytest.mark.parametrize(
    ("results", "keep", "kept"),
    [
        (False, None, "abcd"),
        (False, False, ""),
        (False, ["b"], "b"),
        (True, None, "d"),
        (True, True, "abcd"),
        (True, False, ""),
        (True, iter("ac"), "ac"),
    ],
)
def test_the_report_has_the_results_that_are_kept(results: bool, keep: Any, kept: str) -> None:
    dag = exia.Dag({"b": ["a"], "c": ["a"], "d": ["b", "c"]})
    report = dag.run(lambda node, *_: node, results=results, keep=keep)
    assert "".join(sorted(report.results)) == kept
    assert all(node == result for node, result in report.results.items())
    assert [row["state"] for row in report] == ["done"] * 4


class Big:
    """Large, as a table of data is."""


def test_a_result_goes_with_the_last_who_takes_it() -> None:
    alive: weakref.WeakSet[Big] = weakref.WeakSet()
    most = 0

    def work(node: int, *before: Big) -> Big:
        nonlocal most
        most = max(most, len(alive))
        alive.add(big := Big())
        return big

    dag = exia.Dag()
    dag.add_edges([(i, i + 1) for i in range(99)] + [(0, 50)])
    gc.disable()
    try:
        report = dag.run(work, results=True)
        assert most == 2  # the one before, and 0, which 50 takes
        assert list(report.results) == [99]
        assert len(alive) == 1
    finally:
        gc.enable()


@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_called_again_is_given_the_same_results(threads: int) -> None:
    given: list[tuple[Any, ...]] = []

    def fit(*before: Any) -> int:
        given.append(before)
        if len(given) < 3:
            raise OSError
        return len(given)

    dag = exia.Dag({"fit": ["x", "y"]})
    work = {"x": lambda: ["x"], "y": lambda: ["y"], "fit": fit}
    assert dag.run(work, threads, retries=2).results == {"fit": 3}
    assert given == [(["x"], ["y"])] * 3


def test_what_lacks_a_result_is_skipped(how: Any) -> None:
    def work(node: str, *before: str) -> str:
        if node == "b":
            raise OSError(node)
        return node

    dag = exia.Dag({"c": ["a", "b"], "d": ["a"]})
    report = dag.run(work, results=True, check=False, **how)
    assert {row["node"]: row["state"] for row in report} == {
        "a": "done",
        "b": "failed",
        "c": "skipped",
        "d": "done",
    }
    assert report.results == {"d": "d"}


def test_a_run_leaves_nothing_to_the_garbage_collector(how: Any) -> None:
    def work(node: str, *before: Any) -> str:
        if node == "b" and fails:
            raise OSError(node)
        return node

    dag = exia.Dag({"c": ["a", "b"]})
    for fails in (False, True):
        for results in (False, True):
            gc.collect()
            gc.disable()
            try:
                report = dag.run(work, results=results, check=False, out=lambda *_: None, **how)
                assert len(report.errors) == fails
                del report
                assert gc.collect() == 0
            finally:
                gc.enable()


@pytest.mark.parametrize("how", HOW[1:], ids=["threads", "executor"], indirect=True)
def test_what_is_out_is_told_while_it_runs_and_when_it_stops(how: Any) -> None:
    told: list[tuple[list[int], bool]] = []
    seen = threading.Event()
    dag = exia.Dag({2: [0, 1]})

    def work(node: int) -> None:
        assert seen.wait(60)

    def out(nodes: list[int], stops: bool) -> None:
        told.append((sorted(nodes), stops))
        if stops and not seen.is_set():
            seen.set()
        elif nodes and len(nodes) == 2 and not stops:
            dag.cancel()

    report = dag.run(work, check=False, out=out, **how)
    assert ([0, 1], False) in told
    assert ([0, 1], True) in told
    assert {row["node"]: row["state"] for row in report} == {0: "done", 1: "done", 2: "cancelled"}


@pytest.mark.parametrize("how", HOW[1:], ids=["threads", "executor"], indirect=True)
def test_an_out_that_raises_ends_the_run_with_its_own_exception(how: Any) -> None:
    def out(nodes: list[int], stops: bool) -> None:
        seen.set()
        raise ZeroDivisionError

    seen = threading.Event()
    dag = exia.Dag()
    dag.add_nodes(3)
    with pytest.raises(ZeroDivisionError):
        dag.run(lambda node: seen.wait(60), out=out, **how)
    with pytest.raises(TypeError, match="out must be callable"):
        dag.run(print, out="x", **how)
