"""Real graphs, and the largest ones: what a Dag answers about them, checked by other means."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
import real_graphs

import exia


class Both:
    """One graph for Exia and for networkx; and what is left of it without edges within a cycle."""

    def __init__(self, graph: real_graphs.Named) -> None:
        self.names = graph.names
        self.dag = exia.Dag()
        self.dag.add_nodes(graph.names)
        before, after = ([graph.names[i] for i in end] for end in (graph.before, graph.after))
        self.dag.add_edges(before, after)
        self.nx = nx.DiGraph()
        self.nx.add_nodes_from(graph.names)
        self.nx.add_edges_from(zip(before, after, strict=True))
        component = np.empty(len(graph.names), int)
        self.groups = []
        number = {name: i for i, name in enumerate(graph.names)}
        for i, group in enumerate(nx.strongly_connected_components(self.nx)):
            component[[number[name] for name in group]] = i
            if len(group) > 1 or self.nx.has_edge(*[*group] * 2):
                self.groups.append(group)
        kept = component[graph.before] != component[graph.after]
        self.before, self.after = (np.array(end)[kept] for end in (graph.before, graph.after))
        self.acyclic = exia.Dag()
        self.acyclic.add_nodes(len(graph.names))
        self.acyclic.add_edges(self.before, self.after)


def debian() -> real_graphs.Named:
    graph = real_graphs.debian()
    return graph or pytest.skip("this machine has no lists of Debian's packages")


@pytest.fixture(scope="module", params=[real_graphs.standard_library, debian])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(request.param())


def test_a_real_graph_is_one(both: Both) -> None:
    assert len(both.names) > 300
    assert len(both.before) > len(both.names) / 2
    assert len(both.dag) == len(both.names)
    assert len(both.dag.edges()) == both.nx.number_of_edges()


def test_its_cycles_are_refused_and_shown(both: Both) -> None:
    if not both.groups:
        assert both.dag.cycles() == []
        return
    with pytest.raises(exia.CycleError, match="a cycle of") as caught:
        both.dag.order()
    cycle = caught.value.cycle
    assert any({*cycle} <= group for group in both.groups)
    assert all(map(both.nx.has_edge, cycle, cycle[1:] + cycle[:1]))
    shortest = both.dag.shortest_cycle()
    assert 1 <= len(shortest) <= len(cycle)
    assert all(map(both.nx.has_edge, shortest, shortest[1:] + shortest[:1]))


def test_its_cycles_are_those_of_networkx(both: Both) -> None:
    assert sorted(map(sorted, both.dag.cycles())) == sorted(map(sorted, both.groups))


@pytest.mark.parametrize("ask", ["order", "keep_order", "order by name"])
def test_in_an_order_every_edge_points_forward(both: Both, ask: str) -> None:
    if ask == "order by name":
        order = both.acyclic.order(key=both.names.__getitem__)
    else:
        order = getattr(both.acyclic, ask)()
    assert sorted(order) == [*range(len(both.names))]
    place = np.empty(len(order), int)
    place[order] = range(len(order))
    assert (place[both.before] < place[both.after]).all()


def test_by_name_the_first_one_that_may_comes_next(both: Both) -> None:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(both.names)))
    graph.add_edges_from(zip(both.before.tolist(), both.after.tolist(), strict=True))
    theirs = nx.lexicographical_topological_sort(graph, key=both.names.__getitem__)
    assert both.acyclic.order(key=both.names.__getitem__) == list(theirs)


def test_a_level_is_one_more_than_the_highest_before(both: Both) -> None:
    level = np.full(len(both.names), -1)
    for i, nodes in enumerate(both.acyclic.levels()):
        level[nodes] = i
    above = np.full(len(both.names), -1)
    np.maximum.at(above, both.after, level[both.before])
    assert (level == above + 1).all()
    path, length = both.acyclic.longest_path()
    assert length == level.max() == len(path) - 1


def test_what_leads_where_is_as_in_networkx(both: Both) -> None:
    hubs = sorted(both.nx, key=both.nx.degree)[-3:]
    for node in [*hubs, *random.Random(1).sample(both.names, 20)]:
        assert {*both.dag.descendants(node)} == nx.descendants(both.nx, node)
        assert {*both.dag.ancestors(node)} == nx.ancestors(both.nx, node)
    for a, b in pairwise(both.dag.descendants(hubs[-1])[:20]):
        path = both.dag.path(a, b)
        assert bool(path) == nx.has_path(both.nx, a, b)
        if path:
            assert (path[0], path[-1]) == (a, b)
            assert len(path) == nx.shortest_path_length(both.nx, a, b) + 1
            assert all(map(both.nx.has_edge, path, path[1:]))


def test_what_is_reduced_says_the_same() -> None:
    both = Both(real_graphs.standard_library())
    graph = nx.DiGraph(zip(both.before.tolist(), both.after.tolist(), strict=True))
    reduced = both.acyclic.transitive_reduction()
    assert {*reduced.edges()} == {*nx.transitive_reduction(graph).edges}


# ---- the largest --------------------------------------------------------------------------------


def ring(nodes: int) -> exia.Dag:
    dag = exia.Dag()
    numbers = np.arange(nodes, dtype=np.uint32)
    dag.add_edges(numbers, np.roll(numbers, -1))
    return dag


def test_a_cycle_of_a_million_is_data_and_its_error_short() -> None:
    size = 1 << 20
    dag = ring(size)
    with pytest.raises(exia.CycleError) as caught:
        dag.order()
    assert caught.value.cycle == [*range(size)]
    text = str(caught.value)
    assert text.startswith(f"a cycle of {size}: 0 -> 1 -> ")
    assert text.endswith("-> 0")
    assert len(text.encode()) < 240
    assert dag.cycles() == [[*range(size)]]
    assert dag.shortest_cycle(size - 1)[:2] == [size - 1, 0]


@pytest.mark.parametrize("letter", ["a", "é", "\N{SNOWMAN}", "\N{GRINNING FACE}", "\n", "\ud800"])
def test_the_error_of_a_cycle_is_one_short_line_whatever_its_names(letter: str) -> None:
    names = [letter * i for i in range(1, 400)]
    dag = exia.Dag()
    dag.add_edges(names, names[1:] + names[:1])
    for ask in (dag.order, dag.levels, dag.keep_order):
        with pytest.raises(exia.CycleError) as caught:
            ask()
        assert len(str(caught.value).encode()) < 4096
        assert "\n" not in str(caught.value)
        assert caught.value.cycle == names


def test_a_hundred_thousand_refused_edges_leave_the_order_as_it_was() -> None:
    rng = np.random.default_rng(1)
    nodes = 300
    pairs = np.sort(rng.integers(0, nodes, (900, 2)), axis=1)
    pairs = rng.permutation(nodes)[pairs[pairs[:, 0] < pairs[:, 1]]]
    dag = exia.Dag()
    dag.add_nodes(nodes)
    dag.add_edges(pairs)
    orders: list[Callable[[], Any]] = [dag.keep_order, dag.order, dag.edges]
    said = [array("I", np.array(order()).ravel().tolist()).tobytes() for order in orders]
    back = pairs[rng.integers(0, len(pairs), 100_000), ::-1].tolist()
    refused = 0
    for before, after in back:
        try:
            dag.add_edges([before], [after])
        except exia.CycleError:
            refused += 1
    assert refused == 100_000
    with pytest.raises(exia.CycleError):
        dag.add_edges(back)
    assert [array("I", np.array(o()).ravel().tolist()).tobytes() for o in orders] == said


@pytest.mark.parametrize(
    "letters", ["ab", "a\0", "aé\N{GRINNING FACE}", "a\ud800\N{GRINNING FACE}"]
)
def test_keys_that_are_texts_are_compared_as_python_does(letters: str) -> None:
    rng = random.Random(1)
    keys = ["".join(rng.choices(letters, k=rng.randrange(12))) for _ in range(2000)]
    dag = exia.Dag()
    dag.add_nodes(len(keys))
    assert dag.order(key=keys.__getitem__) == sorted(range(len(keys)), key=keys.__getitem__)
    keys[7] = type("Text", (str,), {"__lt__": lambda self, other: True})("last")
    keys[8] = "last"
    assert sorted(dag.order(key=keys.__getitem__)) == [*range(len(keys))]
