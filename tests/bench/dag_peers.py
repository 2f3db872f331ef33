"""What Exia and its peers answer about a graph, each in its own words.

A contestant is a class: made of a graph it holds it as its library does; a method is a question, and
one that it lacks its library does not answer.  Nodes are 0, 1, 2 ... for all, and whatever is about
all of the graph is answered with Python's own lists, also by those who lend views.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import platform
from collections import deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np

import exia


class Graph(NamedTuple):
    title: str
    nodes: int
    before: np.ndarray
    after: np.ndarray

    def __str__(self) -> str:
        return f"{self.title}: {self.nodes:,} nodes, {len(self.before):,} edges"

    def pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.before.tolist(), self.after.tolist(), strict=True))


class Exia:
    name: ClassVar = "exia"
    most_edges: ClassVar = 10**8
    again: ClassVar = False  # an answer about all of a graph is kept, so each round has its own

    def __init__(self, graph: Graph) -> None:
        self.dag = exia.Dag()
        self.dag.add_nodes(graph.nodes)
        self.dag.add_edges(graph.before, graph.after)

    @staticmethod
    def version() -> str:
        return exia.__version__

    @staticmethod
    def from_pairs(nodes: int, pairs: list[tuple[int, int]]) -> None:
        dag = exia.Dag()
        dag.add_nodes(nodes)
        dag.add_edges(pairs)

    @staticmethod
    def one_by_one(nodes: int, pairs: list[tuple[int, int]]) -> int:
        dag, refused = exia.Dag(), 0
        dag.add_nodes(nodes)
        dag.keep_order()
        for before, after in pairs:
            try:
                dag.add_edges([before], [after])
            except exia.CycleError:
                refused += 1
        return refused

    def order(self) -> object:
        return self.dag.order()

    def order_by(self, key: Callable[[int], str]) -> object:
        return self.dag.order(key=key)

    def levels(self) -> object:
        return self.dag.levels()

    def components(self) -> object:
        return self.dag.cycles()

    def a_cycle(self) -> object:
        try:
            return self.dag.order()
        except exia.CycleError as error:
            return error.cycle

    def ancestors(self, nodes: Sequence[int]) -> object:
        return [self.dag.ancestors(node) for node in nodes]

    def descendants(self, nodes: Sequence[int]) -> object:
        return [self.dag.descendants(node) for node in nodes]

    def longest_path(self) -> object:
        return self.dag.longest_path()

    def reduction(self) -> object:
        return self.dag.transitive_reduction()

    def paths(self, ends: Sequence[tuple[int, int]]) -> object:
        return [self.dag.path(a, b) for a, b in ends]


class Peer:
    name: ClassVar = ""
    module: ClassVar[ModuleType]
    again: ClassVar = True

    @classmethod
    def version(cls) -> str:
        try:
            return importlib.metadata.version(cls.name)
        except importlib.metadata.PackageNotFoundError:
            return f"of Python {platform.python_version()}"


class Rustworkx(Peer):
    name = "rustworkx"
    most_edges: ClassVar = 5_000_000

    def __init__(self, graph: Graph) -> None:
        self.graph = self._made(graph.nodes, graph.pairs())

    @classmethod
    def _made(cls, nodes: int, pairs: list[tuple[int, int]]) -> Any:
        graph = cls.module.PyDiGraph()
        graph.add_nodes_from(range(nodes))
        graph.add_edges_from_no_data(pairs)
        return graph

    @classmethod
    def from_pairs(cls, nodes: int, pairs: list[tuple[int, int]]) -> None:
        cls._made(nodes, pairs)

    @classmethod
    def one_by_one(cls, nodes: int, pairs: list[tuple[int, int]]) -> int:
        graph, refused = cls.module.PyDAG(check_cycle=True), 0
        graph.add_nodes_from(range(nodes))
        for before, after in pairs:
            try:
                graph.add_edge(before, after, None)
            except cls.module.DAGWouldCycle:
                refused += 1
        return refused

    def order(self) -> object:
        return list(self.module.topological_sort(self.graph))

    def order_by(self, key: Callable[[int], str]) -> object:
        return self.module.lexicographical_topological_sort(self.graph, key)

    def levels(self) -> object:
        return [list(level) for level in self.module.topological_generations(self.graph)]

    def components(self) -> object:
        return self.module.strongly_connected_components(self.graph)

    def a_cycle(self) -> object:
        return self.module.digraph_find_cycle(self.graph)

    def ancestors(self, nodes: Sequence[int]) -> object:
        return [self.module.ancestors(self.graph, node) for node in nodes]

    def descendants(self, nodes: Sequence[int]) -> object:
        return [self.module.descendants(self.graph, node) for node in nodes]

    def longest_path(self) -> object:
        return list(self.module.dag_longest_path(self.graph))

    def reduction(self) -> object:
        return self.module.transitive_reduction(self.graph)

    def paths(self, ends: Sequence[tuple[int, int]]) -> object:
        find = self.module.digraph_dijkstra_shortest_paths
        return [find(self.graph, a, target=b) for a, b in ends]


class Networkx(Peer):
    name = "networkx"
    most_edges: ClassVar = 500_000

    def __init__(self, graph: Graph) -> None:
        self.graph = self._made(graph.nodes, graph.pairs())

    @classmethod
    def _made(cls, nodes: int, pairs: list[tuple[int, int]]) -> Any:
        graph = cls.module.DiGraph()
        graph.add_nodes_from(range(nodes))
        graph.add_edges_from(pairs)
        return graph

    @classmethod
    def from_pairs(cls, nodes: int, pairs: list[tuple[int, int]]) -> None:
        cls._made(nodes, pairs)

    def order(self) -> object:
        return list(self.module.topological_sort(self.graph))

    def order_by(self, key: Callable[[int], str]) -> object:
        return list(self.module.lexicographical_topological_sort(self.graph, key))

    def levels(self) -> object:
        return list(self.module.topological_generations(self.graph))

    def components(self) -> object:
        return list(self.module.strongly_connected_components(self.graph))

    def a_cycle(self) -> object:
        with contextlib.suppress(self.module.NetworkXNoCycle):
            return self.module.find_cycle(self.graph)
        return None

    def ancestors(self, nodes: Sequence[int]) -> object:
        return [self.module.ancestors(self.graph, node) for node in nodes]

    def descendants(self, nodes: Sequence[int]) -> object:
        return [self.module.descendants(self.graph, node) for node in nodes]

    def longest_path(self) -> object:
        return self.module.dag_longest_path(self.graph)

    def reduction(self) -> object:
        return self.module.transitive_reduction(self.graph)

    def paths(self, ends: Sequence[tuple[int, int]]) -> object:
        found = []
        for a, b in ends:
            with contextlib.suppress(self.module.NetworkXNoPath):
                found.append(self.module.shortest_path(self.graph, a, b))
        return found


class Graphlib(Peer):
    """A sorter sorts once."""

    name = "graphlib"
    again = False
    most_edges: ClassVar = 500_000

    def __init__(self, graph: Graph) -> None:
        self.sorter = self._made(graph.nodes, graph.pairs())

    @classmethod
    def _made(cls, nodes: int, pairs: list[tuple[int, int]]) -> Any:
        sorter = cls.module.TopologicalSorter()
        for node in range(nodes):
            sorter.add(node)
        for before, after in pairs:
            sorter.add(after, before)
        return sorter

    @classmethod
    def from_pairs(cls, nodes: int, pairs: list[tuple[int, int]]) -> None:
        cls._made(nodes, pairs)

    def order(self) -> object:
        return deque(self.sorter.static_order(), maxlen=0)

    def levels(self) -> object:
        self.sorter.prepare()
        levels = []
        while ready := self.sorter.get_ready():
            levels.append(ready)
            self.sorter.done(*ready)
        return levels

    def a_cycle(self) -> object:
        try:
            return self.sorter.prepare()
        except self.module.CycleError as error:
            return error.args[1]


class Graphlib2(Graphlib):
    name = "graphlib2"


def contestants() -> list[Any]:
    """Answer Exia and the peers that are there, and print who they are and who is not."""
    there: list[Any] = [Exia]
    for peer in (Rustworkx, Networkx, Graphlib2, Graphlib):
        try:
            peer.module = importlib.import_module(peer.name)
        except ImportError:
            print(f"{peer.name} is skipped: it is not installed")
        else:
            there.append(peer)
    print("DAG, Python: " + ", ".join(f"{one.name} {one.version()}" for one in there))
    return there
