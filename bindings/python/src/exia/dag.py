"""Graphs of what comes before what: order, levels, cycles, parallel runs."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from exia._arguments import refuse, text
from exia._draw import drawing
from exia._handle import NULL, call, take_text
from exia._native import ffi, lib
from exia._numbers import ancestors as small_ancestors
from exia._numbers import descendants as small_descendants
from exia._numbers import path as small_path
from exia._numbers import ranks
from exia._run import Runnable, weights_of
from exia.errors import ExiaError, InvalidError

NO_NODE = 2**32 - 1  # EXIA_NO_NODE, which is a macro
ALL: Any = type("All", (), {"__repr__": lambda self: "ALL"})()  # as a node may be None


class Dag(Runnable):
    """A directed graph; any hashable object is a node.

    Edges may close a cycle; asking for an order then says which, and `cycles` has them all.

    Parameters
    ----------
    after
        Node -> the nodes that it comes after, as graphlib takes it.

    Examples
    --------
    >>> dag = Dag({"train": ["load", "clean"], "clean": ["load"]})
    >>> dag.order()
    ['load', 'clean', 'train']
    >>> dag.levels()
    [['load'], ['clean'], ['train']]
    """

    __slots__ = ()

    # ---- order ----------------------------------------------------------------------------------

    def order(self, key: Callable[[Any], Any] | None = None) -> list[Any]:
        """List all nodes so that every edge points forward.

        Parameters
        ----------
        key
            Of all nodes that could come next, the one for which this is least comes next, and the
            one that was added first among equals.  None: level by level.

        Raises
        ------
        CycleError
            There is a cycle; `.cycle` holds it.

        Examples
        --------
        >>> Dag({"b": ["z"], "a": [], "c": ["z"]}).order(key=str)
        ['a', 'z', 'b', 'c']
        """
        if key is None:
            return self._list(lib.exia_dag_order)
        if not callable(key):
            refuse(key, "key", "callable")
        changes = self._changes
        nodes = self._nodes  # the call may change them, if it will
        values = [*map(key, nodes if isinstance(nodes, range) else list(nodes))]
        numbers = ranks(values) or _ranks(values)
        with self._use():
            self._check_same(changes)
            return self._list(lib.exia_dag_order_by, ffi.from_buffer("int64_t[]", numbers))

    def keep_order(self) -> list[Any]:
        """Keep an order from now on: an edge that would close a cycle is refused when it is added.

        Returns
        -------
        list
            The order kept; ask again for that of a graph that has changed.

        Raises
        ------
        CycleError
            There is a cycle already; `.cycle` holds it.

        Examples
        --------
        >>> dag = Dag({"b": ["a"]})
        >>> dag.keep_order()
        ['a', 'b']
        >>> dag.add("a", "b")
        Traceback (most recent call last):
            ...
        exia.errors.CycleError: this would close a cycle of 2: 'a' -> 'b' -> 'a'
        """
        return self._list(lib.exia_dag_keep_order)

    def levels(self) -> list[list[Any]]:
        """Group the nodes: level i holds those whose longest way from a source has i edges.

        Raises
        ------
        CycleError
            There is a cycle; `.cycle` holds it.
        """
        return self._groups(lib.exia_dag_levels)

    # ---- cycles ---------------------------------------------------------------------------------

    def cycles(self) -> list[list[Any]]:
        """List the strongly connected groups of nodes; none: the graph is acyclic.

        Examples
        --------
        >>> Dag({"a": ["b"], "b": ["a"], "c": ["a"]}).cycles()
        [['a', 'b']]
        """
        return self._groups(lib.exia_dag_cycles)

    def shortest_cycle(self, through: Any = ALL) -> list[Any]:
        """List a shortest cycle, each node before the next and the last before the first.

        Parameters
        ----------
        through
            Only cycles through this node count, and it comes first.  Without it every node that
            lies on a cycle is tried.

        Returns
        -------
        list
            Empty: there is none.
        """
        with self._use() as c:
            number = NO_NODE if through is ALL else self._number(through)
            return self._a_cycle_through(c, number)

    # ---- what leads where -----------------------------------------------------------------------

    def descendants(self, *nodes: Any) -> list[Any]:
        """List all that come after one of these nodes, the nearest first, without these.

        Examples
        --------
        >>> dag = Dag({"b": ["a"], "c": ["b"]})
        >>> dag.descendants("a"), dag.ancestors("c")
        (['b', 'c'], ['b', 'a'])
        """
        with self._lock:
            held = self._pointer
            if held and type(self._nodes) is range and not self._running:
                found = small_descendants(self._at, nodes)
                if found is not None:
                    return found
        return self._found_from(lib.exia_dag_descendants, nodes)

    def ancestors(self, *nodes: Any) -> list[Any]:
        """List all that come before one of these nodes, the nearest first, without these."""
        with self._lock:
            held = self._pointer
            if held and type(self._nodes) is range and not self._running:
                found = small_ancestors(self._at, nodes)
                if found is not None:
                    return found
        return self._found_from(lib.exia_dag_ancestors, nodes)

    def path(self, before: Any, after: Any) -> list[Any]:
        """Tell why one node comes before another: list the nodes of a shortest path.

        Returns
        -------
        list
            Both ends among them.  Empty: there is none.

        Examples
        --------
        >>> Dag({"b": ["a"], "c": ["b"]}).path("a", "c")
        ['a', 'b', 'c']
        """
        with self._lock:
            held = self._pointer
            if held and type(self._nodes) is range and not self._running:
                found = small_path(self._at, before, after)
                if found is not None:
                    return found
        with self._use():
            ends = self._number(before), self._number(after)
            return self._list(lib.exia_dag_path, *ends)

    def longest_path(
        self, weights: Any = None, *, edge_weights: Any = None
    ) -> tuple[list[Any], float]:
        """Find the path whose weights have the greatest sum, such as the critical one of durations.

        Parameters
        ----------
        weights
            The weight of each node: a function of it, a mapping (what is not there weighs 0), or
            numbers in the order of the nodes.
        edge_weights
            The weight of each edge: a function of (before, after), a mapping from such a pair, or
            numbers in the order of `edges()`.  With neither of the two each edge weighs 1.

        Returns
        -------
        tuple
            The nodes, and the sum.

        Raises
        ------
        CycleError
            There is a cycle; `.cycle` holds it.
        InvalidError
            A weight, or a sum, is not finite, or there are too few or too many.

        Examples
        --------
        >>> hours = {"load": 1, "clean": 2, "train": 8}
        >>> Dag({"train": ["clean", "load"], "clean": ["load"]}).longest_path(hours)
        (['load', 'clean', 'train'], 11.0)
        """
        changes = self._changes
        of_nodes = weights_of(weights, lambda: ((node,) for node in list(self._nodes)), "weights")
        of_edges = weights_of(edge_weights, self.edges, "edge_weights")
        length = ffi.new("double *")
        with self._use() as c:
            self._check_same(changes)
            if of_nodes is not None:
                self._check_unchanged(len(of_nodes), len(self._nodes))
            if of_edges is not None:
                self._check_unchanged(len(of_edges), self._edge_count(c))
            ours = [
                NULL if numbers is None else ffi.from_buffer("double[]", numbers)
                for numbers in (of_nodes, of_edges)
            ]
            nodes, size = ffi.new("const uint32_t **"), ffi.new("size_t *")
            self._ask(c, lib.exia_dag_longest_path, nodes, size, length, c, *ours)
            return self._named(nodes[0], size[0]), length[0]

    def transitive_reduction(self) -> Dag:
        """Make the graph of the same nodes with the fewest edges that say the same.

        Raises
        ------
        CycleError
            There is a cycle; `.cycle` holds it.

        Examples
        --------
        >>> Dag({"c": ["a", "b"], "b": ["a"]}).transitive_reduction().edges()
        [('a', 'b'), ('b', 'c')]
        """
        before, after = ffi.new("const uint32_t **"), ffi.new("const uint32_t **")
        size = ffi.new("size_t *")
        with self._use() as c:
            self._ask(c, lib.exia_dag_reduce, before, after, size, c)
            reduced = Dag()
            reduced._add_those(reduced._c, self._nodes)
            call(lib.exia_dag_add_edges, reduced._c, before[0], after[0], size[0])
        return reduced

    # ---- other forms ----------------------------------------------------------------------------

    def export(self, format: str = "dot") -> str:
        """Write the graph as text.

        Parameters
        ----------
        format
            "dot" (Graphviz), "mermaid" or "json".
        """
        out = ffi.new("char **")
        with self._use() as c:
            call(lib.exia_dag_export, out, c, text(format, "format"))
        return take_text(out)

    def to_dict(self) -> dict[Any, list[Any]]:
        """Map each node to those that it comes after, as `Dag` and graphlib take it.

        Examples
        --------
        >>> Dag({"b": ["a"]}).to_dict()
        {'b': ['a'], 'a': []}
        """
        with self._use():
            after: dict[Any, dict[Any, None]] = {node: {} for node in self._nodes}
            for before, node in self.edges():
                after[node][before] = None
        return {node: list(befores) for node, befores in after.items()}

    @classmethod
    def from_networkx(cls, graph: Any) -> Dag:
        """Take the nodes and the edges of a directed graph of networkx.

        Raises
        ------
        InvalidError
            It is not directed.
        """
        if not hasattr(graph, "is_directed"):
            refuse(graph, "graph", "a graph of networkx")
        if not graph.is_directed():
            raise InvalidError("an edge of this graph has no direction: give one that is directed")
        dag = cls()
        dag.add_nodes(list(graph.nodes))
        dag.add_edges(list(graph.edges()))
        return dag

    def to_networkx(self) -> Any:
        """Make a networkx.DiGraph of the same nodes and edges."""
        import networkx

        graph = networkx.DiGraph()
        with self._use():
            graph.add_nodes_from(self._nodes)
            graph.add_edges_from(self.edges())
        return graph

    def _repr_html_(self) -> str:
        try:
            return drawing(self)
        except ExiaError as error:  # closed, or being run
            return f"<em>a Dag: {error}</em>"

    # ---- calls ----------------------------------------------------------------------------------

    def _list(self, function: Callable[..., int], *arguments: Any) -> list[Any]:
        """List the nodes that C answers with."""
        nodes, size = ffi.new("const uint32_t **"), ffi.new("size_t *")
        with self._use() as c:
            self._ask(c, function, nodes, size, c, *arguments)
            return self._named(nodes[0], size[0])

    def _groups(self, function: Callable[..., int]) -> list[list[Any]]:
        out = ffi.new("exia_groups *")
        with self._use() as c:
            self._ask(c, function, out, c)
            starts = ffi.unpack(out.starts, out.count + 1)
            nodes = self._named(out.nodes, starts[-1])
        return [nodes[a:b] for a, b in pairwise(starts)]

    def _found_from(self, function: Callable[..., int], nodes: tuple[Any, ...]) -> list[Any]:
        with self._use():
            numbers = [self._number(node) for node in nodes]
            return self._list(function, numbers, len(numbers))


def _ranks(values: list[Any]) -> array[int]:
    """Give each value its place, equal ones the same."""
    ranks = array("q", bytes(8 * len(values)))
    rank, last = 0, None
    for i in sorted(range(len(values)), key=values.__getitem__):
        rank += last is not None and values[last] < values[i]
        ranks[i], last = rank, i
    return ranks
