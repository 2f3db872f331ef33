"""What a Dag answers, checked against networkx on random graphs; changes; other forms."""

from __future__ import annotations

import random
import re
import threading
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest

import exia

NAMES = "abcdefghijklmnopqrstuvwxyz"


def random_graph(seed: int, *, acyclic: bool = True) -> tuple[exia.Dag, Any]:
    """Make the same graph for both: nodes are letters or numbers, some edges come twice."""
    rng = random.Random(seed)
    size = rng.randrange(1, 16)
    nodes: list[Any] = list(NAMES[:size]) if seed % 2 else list(range(size))
    pairs = [
        (nodes[min(a, b)], nodes[max(a, b)]) if acyclic else (nodes[a], nodes[b])
        for a, b in ((rng.randrange(size), rng.randrange(size)) for _ in range(rng.randrange(30)))
        if not acyclic or a != b
    ]
    dag = exia.Dag()
    dag.add_nodes(size if seed % 4 == 0 else nodes)
    dag.add_edges(pairs)
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(pairs)
    return dag, graph


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dag", [exia.Dag({"b": ["a"]}), exia.Dag()])
def test_a_node_that_is_not_there_is_named(dag: exia.Dag) -> None:
    for ask in (
        lambda: dag.descendants("nobody"),
        lambda: dag.ancestors("nobody"),
        lambda: dag.path("nobody", "nobody"),
        lambda: dag.shortest_cycle("nobody"),
        lambda: dag.remove_nodes(["nobody"]),
        lambda: dag.remove_edges(["nobody"], ["nobody"]),
    ):
        with pytest.raises(exia.NotFoundError, match="'nobody'"):
            ask()


def test_an_edge_that_is_not_there_is_not_removed_and_no_other_one() -> None:
    dag = exia.Dag({"b": ["a"], "c": ["b"]})
    with pytest.raises(exia.NotFoundError):
        dag.remove_edges([("a", "b"), ("a", "c")])
    with pytest.raises(exia.NotFoundError):
        dag.remove_nodes(["a", "z"])
    assert dag.edges() == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize(
    "ask", ["order", "levels", "keep_order", "longest_path", "transitive_reduction"]
)
def test_what_has_no_answer_with_a_cycle_says_which(ask: str) -> None:
    dag = exia.Dag({"b": ["a", "c"], "c": ["b"]})
    with pytest.raises(exia.CycleError, match="a cycle of 2: 'b' -> 'c' -> 'b'") as caught:
        getattr(dag, ask)()
    assert caught.value.cycle == ["b", "c"]
    assert caught.value.args[1] == ["b", "c", "b"]
    with pytest.raises(exia.CycleError, match="a cycle of 2"):
        dag.order(key=str)


@pytest.mark.parametrize("weights", [[1.0], [1.0] * 3, [float("nan"), 1.0], [1.0, float("inf")]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    dag = exia.Dag({"b": ["a"]})
    with pytest.raises(exia.InvalidError):
        dag.longest_path(weights)
    with pytest.raises(exia.InvalidError):
        dag.longest_path(edge_weights=[*weights, 1.0])
    with pytest.raises(exia.InvalidError, match="more than a double holds"):
        dag.longest_path([1e308, 1e308])
    with pytest.raises(TypeError):
        dag.longest_path("ab")
    with pytest.raises(TypeError):
        dag.longest_path({"a": "heavy"})


def test_a_key_that_changes_the_graph_is_refused() -> None:
    dag = exia.Dag({"b": ["a"]})

    def key(node: str) -> int:
        dag.add(f"{node}{len(dag)}")
        return 0

    with pytest.raises(exia.InvalidError, match="change nothing"):
        dag.order(key=lambda node: key(node) if len(dag) == 2 else 0)
    with pytest.raises(TypeError, match="key must be callable"):
        dag.order(key=3)  # type: ignore[arg-type]


def test_a_node_may_ask_the_graph_while_it_is_compared() -> None:
    dag = exia.Dag()

    class Nosy:
        def __hash__(self) -> int:
            return hash("a")

        def __eq__(self, other: object) -> bool:
            return bool(dag.path("x", "y"))

    dag.add("y", "x")
    dag.add("a")
    asked = threading.Thread(target=dag.add, args=(Nosy(),), daemon=True)
    asked.start()
    asked.join(30)
    assert not asked.is_alive()


# ---- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(4))
def test_a_thousand_acyclic_graphs_are_answered_as_networkx_does(part: int) -> None:
    for seed in range(part, 1000, 4):
        dag, graph = random_graph(seed)
        rng = random.Random(seed)
        nodes = list(dag)
        place = {node: i for i, node in enumerate(nodes)}
        rank = {node: rng.randrange(4) for node in nodes}
        ties = nx.lexicographical_topological_sort(graph, key=lambda n: (rank[n], place[n]))
        assert dag.order(key=rank.__getitem__) == list(ties), seed
        assert [set(level) for level in dag.levels()] == [
            set(level) for level in nx.topological_generations(graph)
        ]
        reduced = dag.transitive_reduction()
        assert list(reduced) == nodes
        assert set(reduced.edges()) == set(nx.transitive_reduction(graph).edges), seed
        assert dag.cycles() == []
        assert dag.shortest_cycle() == []
        weight = {edge: rng.randrange(1, 9) for edge in graph.edges}
        nx.set_edge_attributes(graph, weight, "weight")
        path, length = dag.longest_path(edge_weights=weight)
        assert length == nx.dag_longest_path_length(graph), seed
        assert length == sum(weight[edge] for edge in pairwise(path))
        assert dag.longest_path()[1] == nx.dag_longest_path_length(graph, weight=None)
        reached(dag, graph, rng)


@pytest.mark.parametrize("part", range(4))
def test_a_thousand_graphs_with_cycles_are_answered_as_networkx_does(part: int) -> None:
    for seed in range(part, 1000, 4):
        dag, graph = random_graph(seed, acyclic=False)
        groups = [
            group
            for group in nx.strongly_connected_components(graph)
            if len(group) > 1 or graph.has_edge(*[*group] * 2)
        ]
        assert sorted(map(sorted, dag.cycles())) == sorted(map(sorted, groups)), seed
        reached(dag, graph, random.Random(seed))
        lengths = [len(c) for c in nx.simple_cycles(graph)] if len(graph) < 9 else None
        shortest = dag.shortest_cycle()
        assert bool(shortest) == bool(groups)
        assert all(map(graph.has_edge, shortest, shortest[1:] + shortest[:1]))
        if lengths is not None:
            assert len(shortest) == min(lengths, default=0), seed
        for node in graph:
            through = dag.shortest_cycle(node)
            assert bool(through) == any(node in group for group in groups)
            assert through[:1] in ([], [node])
            assert all(map(graph.has_edge, through, through[1:] + through[:1]))


def reached(dag: exia.Dag, graph: Any, rng: random.Random) -> None:
    nodes = list(dag)
    a, b = rng.choice(nodes), rng.choice(nodes)
    assert set(dag.descendants(a)) == nx.descendants(graph, a)
    assert set(dag.ancestors(a)) == nx.ancestors(graph, a)
    both = nx.descendants(graph, a) | nx.descendants(graph, b)
    assert set(dag.descendants(a, b)) == both - {a, b}
    path = dag.path(a, b)
    if nx.has_path(graph, a, b):
        assert path[0] == a
        assert path[-1] == b
        assert len(path) == nx.shortest_path_length(graph, a, b) + 1
        assert all(map(graph.has_edge, path, path[1:]))
    else:
        assert path == []


def test_weights_are_functions_mappings_or_numbers() -> None:
    dag = exia.Dag({"c": ["a", "b"]})
    expected = (["b", "c"], 7.0)
    nodes = {"c": 2.0, "a": 1.0, "b": 5.0}
    assert list(dag) == list(nodes)
    assert dag.longest_path(nodes) == expected
    assert dag.longest_path(nodes.__getitem__) == expected
    assert dag.longest_path(nodes.values()) == expected
    assert dag.longest_path({"b": 7}) == expected
    assert dag.longest_path(edge_weights=lambda b, a: 7 * (b == "b")) == expected
    assert dag.longest_path(edge_weights=[2, 7]) == expected
    assert dag.longest_path({"b": 3, "c": 1}, edge_weights={("b", "c"): 3}) == expected


# ---- changes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(2))
def test_what_is_removed_is_gone_and_the_rest_is_as_in_networkx(part: int) -> None:
    for seed in range(part, 300, 2):
        dag, graph = random_graph(seed, acyclic=False)
        rng = random.Random(seed)
        edges = rng.sample(sorted(graph.edges), len(graph.edges) // 3)
        dag.remove_edges(edges)
        graph.remove_edges_from(edges)
        gone = rng.sample(sorted(graph), len(graph) // 3)
        dag.remove_nodes(gone)
        graph.remove_nodes_from(gone)
        assert list(dag) == list(graph)
        assert set(dag.edges()) == set(graph.edges)
        dag.add("last", *dag)
        graph.add_edges_from((node, "last") for node in [*graph])
        assert set(dag.edges()) == set(graph.edges)
        if len(dag) > 1:
            reached(dag, graph, rng)


def test_numbered_nodes_keep_their_numbers_when_others_go() -> None:
    dag = exia.Dag()
    dag.add_nodes(5)
    dag.add_edges([0, 1, 2, 3], [1, 2, 3, 4])
    dag.remove_nodes([0, 2])
    assert dag.edges() == [(3, 4)]
    assert dag.order() == [1, 3, 4]
    with pytest.raises(exia.NotFoundError):
        dag.descendants(2)
    dag.add_nodes([2])
    assert list(dag) == [1, 3, 4, 2]


def test_an_edge_that_would_close_a_kept_order_is_refused_as_data() -> None:
    dag = exia.Dag({2: [1], 3: [2]})
    dag.keep_order()
    before = dag.edges()
    with pytest.raises(
        exia.CycleError, match="would close a cycle of 3: 1 -> 2 -> 3 -> 1"
    ) as caught:
        dag.add_edges([(3, 1)])
    assert caught.value.cycle == [1, 2, 3]
    with pytest.raises(exia.CycleError, match="would close a cycle") as caught:
        dag.add_edges([("x", "y"), ("y", "z"), ("z", "x")])
    assert sorted(caught.value.cycle) == ["x", "y", "z"]
    with pytest.raises(exia.CycleError) as caught:
        dag.add("self", "self")
    assert caught.value.cycle == ["self"]
    assert dag.edges() == before


def test_random_edges_are_refused_just_when_networkx_finds_a_cycle() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        dag, graph = exia.Dag(), nx.DiGraph()
        dag.add_nodes(12)
        graph.add_nodes_from(range(12))
        dag.keep_order()
        for _ in range(60):
            a, b = rng.randrange(12), rng.randrange(12)
            if nx.has_path(graph, b, a):
                with pytest.raises(exia.CycleError) as caught:
                    dag.add_edges([a], [b])
                cycle = caught.value.cycle
                assert cycle[0] == b
                assert cycle[-1] == a
                assert all(map(graph.has_edge, cycle, cycle[1:]))
            else:
                dag.add_edges([a], [b])
                graph.add_edge(a, b)
            place = {node: i for i, node in enumerate(dag.keep_order())}
            assert all(place[x] < place[y] for x, y in graph.edges)


# ---- other forms --------------------------------------------------------------------------------


def test_networkx_and_dicts_there_and_back() -> None:
    for seed in range(200):
        dag, graph = random_graph(seed, acyclic=False)
        theirs = dag.to_networkx()
        assert nx.utils.graphs_equal(theirs, graph)
        assert list(theirs) == list(dag)
        twin = exia.Dag.from_networkx(theirs)
        assert list(twin) == list(dag)
        assert set(twin.edges()) == set(dag.edges())
        again = exia.Dag(dag.to_dict())
        assert set(again) == set(dag)
        assert set(again.edges()) == set(dag.edges())
    several = nx.MultiDiGraph([("a", "b"), ("a", "b")])
    assert exia.Dag.from_networkx(several).to_dict() == {"a": [], "b": ["a"]}
    with pytest.raises(exia.InvalidError, match="direction"):
        exia.Dag.from_networkx(nx.Graph([(1, 2)]))


SVG = "{http://www.w3.org/2000/svg}"


def drawn(dag: exia.Dag) -> tuple[str, Any]:
    text = dag._repr_html_()
    found = re.search("<svg.*</svg>", text, re.DOTALL)
    return text, ET.fromstring(found[0]) if found else None


def test_a_notebook_draws_each_node_and_each_edge() -> None:
    dag = exia.Dag({"<b>&\"'": ["load"], "\0\ud800\n": ["load", "load"], "x" * 100: []})
    text, svg = drawn(dag)
    assert "4 nodes, 3 edges, in 2 levels" in text
    texts = [element.text for element in svg.iter(f"{SVG}text")]
    assert "<b>&\"'" in texts
    assert "load" in texts
    assert len(texts) == 4
    assert max(map(len, texts)) <= 18
    assert len(list(svg.iter(f"{SVG}rect"))) == 4
    assert len(list(svg.iter(f"{SVG}path"))) == 2 * 2
    text.encode()


def test_an_edge_that_points_back_is_dashed() -> None:
    text, svg = drawn(exia.Dag({"b": ["a"], "a": ["b"], "c": ["c"]}))
    assert "with cycles" in text
    dashed = [path for path in svg.iter(f"{SVG}path") if "stroke-dasharray" in path.attrib]
    assert len(dashed) == 2


def test_a_large_graph_is_told_in_a_line_and_what_cannot_be_asked_as_well() -> None:
    dag = exia.Dag()
    dag.add_nodes(100_000)
    text, svg = drawn(dag)
    assert svg is None
    assert "100,000 nodes, 0 edges, in 1 level" in text
    assert len(text) < 100
    assert "0 nodes" in drawn(exia.Dag())[0]
    dag.close()
    assert "closed" in dag._repr_html_()


@pytest.mark.parametrize("node", [3, 3.0, True, np.int64(3), np.uint8(3)])
def test_a_number_is_found_whatever_its_type(node: Any) -> None:
    dag = exia.Dag()
    dag.add_nodes(10)
    dag.add_edges([int(node)], [7])
    assert node in dag
    assert dag.descendants(node) == [7]


@pytest.mark.parametrize("node", ["x", -1, 2**28, 0.5, None, (1,)])
def test_what_is_no_number_of_a_large_graph_is_told_at_once(node: Any) -> None:
    dag = exia.Dag()
    dag.add_nodes(2**28)
    for _ in range(1000):
        assert node not in dag
    with pytest.raises(exia.NotFoundError, match="no node of this graph"):
        dag.descendants(node)


def test_a_node_that_cannot_be_shown_loses_no_report() -> None:
    class Shy:
        def __str__(self) -> str:
            raise RuntimeError("no")

    node = Shy()
    report = exia.Dag({node: []}).run(lambda n: n)
    assert report.results == {node: node}
    assert "Shy" in report[0]["name"]
