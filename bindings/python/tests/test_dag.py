"""Graphs: bad input, order, levels, cycles, runs."""

from __future__ import annotations

import contextlib
import gc
import graphlib
import random
import threading
import time
from array import array
from collections.abc import Callable

import pytest

import exia

np = pytest.importorskip("numpy")


# ---- bad input ----------------------------------------------------------------------------------


def test_a_cycle_is_named_in_the_text_and_carried_as_data() -> None:
    dag = exia.Dag({"b": ["a"], "c": ["b"], "a": ["c"], "d": ["c"]})
    with pytest.raises(exia.CycleError, match=r"'b' -> 'c' -> 'a' -> 'b'") as caught:
        dag.order()
    cycle = caught.value.cycle
    assert sorted(cycle) == ["a", "b", "c"]
    follows = {"a": "b", "b": "c", "c": "a"}
    assert all(follows[x] == y for x, y in zip(cycle, cycle[1:] + cycle[:1], strict=True))
    with pytest.raises(graphlib.CycleError):
        dag.levels()


def test_an_edge_to_itself_is_a_cycle_of_one() -> None:
    dag = exia.Dag({"a": ["a"]})
    with pytest.raises(exia.CycleError) as caught:
        dag.order()
    assert caught.value.cycle == ["a"]
    assert dag.cycles() == [["a"]]


def test_a_run_of_a_cycle_runs_nothing() -> None:
    ran: list[str] = []
    with pytest.raises(exia.CycleError) as caught:
        exia.Dag({"a": ["b"], "b": ["a"]}).run(ran.append)
    assert sorted(caught.value.cycle) == ["a", "b"]
    assert not ran


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([1, 2], [3], "give as many"),
        ([(1, 2, 3)], None, "pair"),
        (np.array([0.5]), np.array([1.5]), "integers"),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), "one dimension"),
    ],
)
def test_bad_edges_are_refused_and_nothing_is_added(
    before: object, after: object, words: str
) -> None:
    dag = exia.Dag()
    with pytest.raises(ValueError, match=words):
        dag.add_edges(before, after)
    assert len(dag) == 0


def test_an_unhashable_node_is_refused_and_nothing_is_added() -> None:
    dag = exia.Dag()
    with pytest.raises(TypeError):
        dag.add("a", [])
    assert len(dag) == 0


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(exia.InvalidError, match="svg"):
        exia.Dag({"a": ["b"]}).export("svg")


def test_a_closed_graph_is_refused() -> None:
    dag = exia.Dag({"a": ["b"]})
    dag.close()
    with pytest.raises(exia.ClosedError, match="Dag"):
        dag.order()
    dag.close()


# ---- order --------------------------------------------------------------------------------------


def test_an_empty_graph_has_an_empty_order() -> None:
    dag = exia.Dag()
    assert (dag.order(), dag.levels(), dag.cycles()) == ([], [], [])


def test_the_order_is_one_that_graphlib_would_accept() -> None:
    rng = random.Random(7)
    after = {n: rng.sample(range(n), min(n, rng.randrange(4))) for n in range(200)}
    order = exia.Dag(after).order()
    place = {node: i for i, node in enumerate(order)}
    assert sorted(order) == sorted(after)
    assert all(place[before] < place[node] for node in after for before in after[node])


def test_nodes_may_be_any_hashable_object() -> None:
    thing = object()
    dag = exia.Dag({("a", 1): [None, thing], thing: [1.5], "1": [1]})
    order = dag.order()
    assert order.index(1.5) < order.index(thing) < order.index(("a", 1))
    assert order.index(1) < order.index("1")
    assert thing in dag
    assert "nothing" not in dag
    assert set(dag) == set(order)


def test_nodes_that_look_alike_stay_apart() -> None:
    class Same:
        def __repr__(self) -> str:
            return "same"

    nodes = [Same() for _ in range(3)]
    dag = exia.Dag()
    dag.add(nodes[2], nodes[1], nodes[0])
    assert dag.order()[-1] is nodes[2]
    assert len(dag) == 3


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * 10_000, "<b>&\"'", "zwölf"])
def test_any_text_is_a_node(name: str) -> None:
    dag = exia.Dag({name: ["before"]})
    assert dag.order() == ["before", name]
    assert dag.export("dot")


def test_levels_hold_what_may_run_at_the_same_time() -> None:
    dag = exia.Dag({"d": ["b", "c"], "b": ["a"], "c": ["a"]})
    assert dag.levels() == [["a"], ["b", "c"], ["d"]]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint8, ">i4"])
def test_arrays_of_any_integers_are_edges_in_bulk(dtype: object) -> None:
    dag = exia.Dag()
    dag.add_edges(np.array([0, 1, 0], dtype), np.array([1, 2, 2], dtype))
    assert dag.order() == [0, 1, 2]
    dag.add_edges(np.array([[2, 3], [3, 4]], dtype))
    assert dag.order() == [0, 1, 2, 3, 4]
    dag.add("end", 4)
    assert dag.order() == [0, 1, 2, 3, 4, "end"]
    dag.add_edges(np.array([4], dtype)[::-1], np.array([9], dtype))
    assert set(dag.order()) == {0, 1, 2, 3, 4, "end", 9}


def test_arrays_name_no_node_that_is_not_in_them() -> None:
    dag = exia.Dag()
    dag.add_edges(np.array([5, 2**40, -3]), np.array([7, 5, 5]))
    assert dag.order() == [-3, 2**40, 5, 7]
    small = exia.Dag()
    small.add_edges(np.array([1]), np.array([3]))
    assert small.order() == [1, 3]


def test_standard_arrays_and_strided_views_are_edges_too() -> None:
    dag = exia.Dag()
    dag.add_edges(array("I", [0, 1]), array("I", [1, 2]))
    pairs = np.array([[2, 3], [3, 4]])
    dag.add_edges(pairs[:, 0], pairs[:, 1])
    assert dag.order() == [0, 1, 2, 3, 4]


def test_numbered_nodes_continue_where_the_graph_ends() -> None:
    dag = exia.Dag()
    dag.add_nodes(3)
    dag.add_nodes(2)
    assert list(dag) == [0, 1, 2, 3, 4]
    dag.add_nodes(["x", "x"])
    assert dag.order() == [0, 1, 2, 3, 4, "x"]


def test_a_chain_of_a_million_sorts() -> None:
    dag = exia.Dag()
    numbers = np.arange(1_000_000, dtype=np.uint32)
    dag.add_edges(numbers[:-1], numbers[1:])
    assert dag.order() == list(range(1_000_000))


# ---- runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_a_run_calls_each_node_once_after_all_before_it(threads: int) -> None:
    after = {n: [n // 2, n // 3] for n in range(1, 100)}
    done: list[int] = []

    def work(node: int) -> int:
        assert all(b in done for b in after.get(node, ()) if b != node)
        done.append(node)
        return node * 2

    report = exia.Dag({n: [b for b in bs if b != n] for n, bs in after.items()}).run(work, threads)
    assert sorted(done) == list(range(100))
    assert report.results == {n: n * 2 for n in range(100)}
    assert {row["state"] for row in report} == {"done"}


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failure_raises_the_original_and_skips_only_what_comes_after(threads: int) -> None:
    original = KeyError("the original")
    ran = []

    def work(node: str) -> None:
        ran.append(node)
        if node == "bad":
            raise original

    dag = exia.Dag({"later": ["bad"], "last": ["later"], "other": ["fine"]})
    with pytest.raises(KeyError) as caught:
        dag.run(work, threads)
    assert caught.value is original
    assert sorted(ran) == ["bad", "fine", "other"]
    report = dag.run(work, threads, check=False)
    assert report.errors == {"bad": original}
    states = {row["node"]: row["state"] for row in report}
    skipped = {"later": "skipped", "last": "skipped"}
    assert states == {"bad": "failed", "other": "done", "fine": "done"} | skipped
    failed = next(row for row in report if row["node"] == "bad")
    assert "the original" in failed["error"]


def test_a_graph_that_is_run_is_not_changed_and_not_asked() -> None:
    dag = exia.Dag({"b": ["a"]})
    for misuse in (dag.order, lambda: dag.add("c"), lambda: dag.run(print)):
        with pytest.raises(exia.InvalidError, match="being run"):
            dag.run(lambda node, misuse=misuse: misuse())
    assert dag.order() == ["a", "b"]


def test_ctrl_c_ends_a_run_in_this_thread_and_starts_nothing_more() -> None:
    ran = []

    def work(node: int) -> None:
        ran.append(node)
        if node == 2:
            raise KeyboardInterrupt

    dag = exia.Dag()
    dag.add_nodes(1000)
    with pytest.raises(KeyboardInterrupt):
        dag.run(work)
    assert ran == [0, 1, 2]


def test_ctrl_c_ends_a_run_of_many_threads(ctrl_c: Callable[[], None]) -> None:
    started = threading.Event()

    def work(node: int) -> None:
        started.set()
        time.sleep(0.01)

    dag = exia.Dag()
    dag.add_nodes(100_000)

    def interrupt() -> None:
        started.wait()
        ctrl_c()

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        dag.run(work, threads=2)
    helper.join()


def test_what_a_run_raised_is_not_kept_alive() -> None:
    class Big:
        pass

    import weakref

    things = []

    def work(node: str) -> None:
        big = Big()
        things.append(weakref.ref(big))
        raise RuntimeError(big)

    gc.disable()  # by reference counting alone
    try:
        with contextlib.suppress(RuntimeError):
            exia.Dag({"a": []}).run(work)
        assert things[0]() is None
    finally:
        gc.enable()


def test_a_negative_number_of_threads_is_refused() -> None:
    with pytest.raises(exia.InvalidError, match="-1"):
        exia.Dag({"a": []}).run(print, threads=-1)


def test_exports_name_every_node() -> None:
    dag = exia.Dag({"train": ["load"]})
    for format in ("dot", "mermaid", "json"):
        assert "train" in dag.export(format)
        assert "load" in dag.export(format)


# ---- what errors say ----------------------------------------------------------------------------


def test_an_array_of_no_dimension_is_one_number_and_no_iterable() -> None:
    dag = exia.Dag()
    dag.add_nodes(np.array(3))  # type: ignore[arg-type]
    assert list(dag) == [0, 1, 2]
    for call in (dag.add_edges, dag.remove_edges, dag.remove_nodes):
        with pytest.raises(TypeError, match=r"must be an iterable \(one thing alone: \[thing\]\)"):
            call(np.array(1))
    with pytest.raises(TypeError, match="an int"):
        dag.add_nodes(np.array(0.5))  # type: ignore[arg-type]


def test_too_many_nodes_are_refused_by_how_many_there_are() -> None:
    dag = exia.Dag()
    dag.add_nodes(2**32 - 2)
    with pytest.raises(exia.InvalidError, match="1 more nodes would be too many: 4294967294 are"):
        dag.add_nodes(1)
    for most in (2**32, 2**62):
        with pytest.raises(exia.InvalidError, match="more nodes would be too many: 0 are there"):
            exia.Dag().add_nodes(most)
    assert len(dag) == 2**32 - 2
    assert 2**32 - 3 in dag
    dag.add_nodes(0)
    dag.add_edges([7], [9])
    dag.add(8, 7)
    assert dag.edges() == [(7, 9), (7, 8)]


@pytest.mark.parametrize("graph", [3, None, {"a": ["b"]}, exia.Dag()])
def test_what_is_no_graph_of_networkx_is_refused(graph: object) -> None:
    with pytest.raises(TypeError, match="graph must be a graph of networkx, not "):
        exia.Dag.from_networkx(graph)


@pytest.mark.parametrize(
    "change",
    [
        lambda dag: dag.add_edges([]),
        lambda dag: dag.add_edges([], []),
        lambda dag: dag.add_edges(np.array([], np.int64), np.array([], np.int64)),
        lambda dag: dag.remove_edges([]),
        lambda dag: dag.add_nodes([]),
        lambda dag: dag.add_nodes(0),
        lambda dag: dag.remove_nodes([]),
        lambda dag: dag.add("a"),
    ],
)
def test_a_closed_graph_takes_not_even_nothing(change: Callable[[exia.Dag], None]) -> None:
    dag = exia.Dag()
    dag.close()
    with pytest.raises(exia.ClosedError, match="this Dag is closed"):
        change(dag)
