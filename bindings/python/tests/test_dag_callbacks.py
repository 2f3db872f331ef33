"""Code of the user's that is called while a graph looks: keys, weights, __eq__ and __hash__."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable
from typing import Any

import pytest

import exia
from exia import _nodes
from exia._handle import call
from exia._native import lib


class Meddler:
    """A node that does something when it is compared with another one, or hashed."""

    def __init__(self, on_eq: Callable[[], Any] = int, on_hash: Callable[[], Any] = int) -> None:
        self.on_eq, self.on_hash = on_eq, on_hash

    def __hash__(self) -> int:
        self.on_hash()
        return hash("a")

    def __eq__(self, other: object) -> bool:
        self.on_eq()
        return self is other


CHANGES: dict[str, Callable[[exia.Dag], Any]] = {
    "add": lambda dag: dag.add("new", "a"),
    "add_nodes": lambda dag: dag.add_nodes(["new"]),
    "add_edges": lambda dag: dag.add_edges([("new", "newer")]),
    "remove_nodes": lambda dag: dag.remove_nodes(["a"]),
    "remove_edges": lambda dag: dag.remove_edges([("a", "b")]),
}
CALLS: dict[str, Callable[[exia.Dag, Any], Any]] = {
    "add": lambda dag, node: dag.add("b", node),
    "add_nodes": lambda dag, node: dag.add_nodes(["x", node]),
    "add_edges": lambda dag, node: dag.add_edges(["x", "b"], ["b", node]),
    "remove_nodes": lambda dag, node: dag.remove_nodes(["b", node]),
    "path": lambda dag, node: dag.path("b", node),
    "descendants": lambda dag, node: dag.descendants(node),
}


@pytest.mark.parametrize("moment", ["on_eq", "on_hash"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("call", CALLS)
def test_a_node_that_changes_the_graph_it_is_looked_up_in_is_refused(
    call: str, change: str, moment: str
) -> None:
    dag = exia.Dag({"a": [], "b": ["a"]})
    with pytest.raises(exia.InvalidError, match="must not change it"):
        CALLS[call](dag, Meddler(**{moment: lambda: CHANGES[change](dag)}))
    assert list(dag) == ["a", "b"]
    assert dag.edges() == [("a", "b")]
    dag.add("c", "b")
    assert dag.order() == ["a", "b", "c"]


@pytest.mark.parametrize("call", CALLS)
def test_a_node_that_fails_when_it_is_compared_leaves_the_graph_as_it_was(call: str) -> None:
    for nth in range(6):
        dag = exia.Dag({"a": [], "b": ["a"]})
        left = itertools.count(nth, -1)
        node = Meddler(on_eq=lambda left=left: 1 // next(left))
        try:
            CALLS[call](dag, node)
        except ZeroDivisionError:
            assert list(dag) == ["a", "b"]
            assert dag.edges() == [("a", "b")]
        except exia.NotFoundError:
            pass
        dag.add_edges([("b", "c")])
        assert {"b", "c"} <= {*map(str, dag.descendants("a"))} or "a" not in list(map(str, dag))
        assert len(dag.order()) == len(dag)


def test_a_node_may_ask_the_graph_it_is_looked_up_in() -> None:
    dag = exia.Dag({"a": [], "b": ["a"]})
    seen: list[Any] = []
    dag.add(Meddler(on_eq=lambda: seen.append(dag.order())), "b")
    assert seen
    assert all(order == ["a", "b"] for order in seen)


@pytest.mark.parametrize(
    "change",
    [
        lambda dag: (dag.remove_nodes(["a"]), dag.add_nodes(["z"])),  # as many as before
        lambda dag: dag.add_edges([("c", "a")]),
        lambda dag: dag.add_nodes(["d"]),
    ],
)
def test_a_key_or_weight_that_changes_the_graph_is_refused(change: Any) -> None:
    for ask in (
        lambda dag, meddle: dag.order(key=meddle),
        lambda dag, meddle: dag.longest_path(meddle),
        lambda dag, meddle: dag.longest_path(edge_weights=lambda *_: meddle()),
        lambda dag, meddle: dag.run(str, weights=meddle),
        lambda dag, meddle: dag.run(str, uses=lambda node: meddle(node) and None),
    ):
        dag, done = exia.Dag({"b": ["a"], "c": []}), []

        def meddle(node: Any = None, dag: exia.Dag = dag, done: list[int] = done) -> int:
            if not done:
                done.append(1)
                change(dag)
            return 1

        with pytest.raises(exia.InvalidError, match="change nothing"):
            ask(dag, meddle)


@pytest.mark.parametrize("call", ["add", "prepare", "copy"])
def test_a_sorter_is_not_changed_by_a_node_that_is_added_to_it(call: str) -> None:
    sorter: exia.TopologicalSorter[Any] = exia.TopologicalSorter({"b": ["a"]})
    calls: dict[str, Callable[[], Any]] = {
        "add": lambda: sorter.add("new", "newer"),
        "prepare": sorter.prepare,
        "copy": sorter.copy,
    }
    for moment in ("on_eq", "on_hash"):
        with pytest.raises(exia.InvalidError, match="is being added to"):
            sorter.add("c", Meddler(**{moment: calls[call]}))
    sorter.add("c", "b")
    assert list(sorter.static_order()) == ["a", "b", "c"]


def test_a_node_that_closes_its_own_graph_ends_the_call_and_nothing_else() -> None:
    dag = exia.Dag({"a": [], "b": ["a"]})
    dag.add(Meddler(on_eq=dag.close), "b")
    with pytest.raises(exia.ClosedError):
        dag.order()


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize(
    "change",
    [
        lambda dag: dag.add_nodes(5),
        lambda dag: dag.add("x", "y"),
        lambda dag: dag.add_edges(array("q", [2**40, 7]), array("q", [7, -7])),
        lambda dag: dag.remove_nodes([1, 0]),
    ],
)
@pytest.mark.parametrize("first", [range(0), range(3), array("q", [0, 2**40, 1]), ["a", 0, 1]])
def test_ctrl_c_during_a_change_leaves_a_graph_that_knows_its_nodes(
    first: Any, change: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = exia.Dag()
    if isinstance(first, array):
        dag.add_edges(first, first)
        dag.remove_edges(first, first)
    else:
        dag.add_nodes(first)
    before = list(dag)

    def interrupted(*arguments: Any) -> None:
        if where == "behind":
            call(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_nodes, "call", interrupted)
        with pytest.raises((KeyboardInterrupt, exia.NotFoundError)):
            change(dag)
    assert where == "behind" or list(dag) == before
    assert len(dag) == lib.exia_dag_node_count(dag._c)
    dag.add("last", *dag)
    assert dag.ancestors("last") == [node for node in dag if node != "last"]
