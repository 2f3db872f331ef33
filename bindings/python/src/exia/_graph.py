"""Nodes and edges: what a graph holds, for C by number and for Python by object.

While the nodes are 0, 1, 2 ... a range says all there is to say; any other node makes it a list and
a dict of their numbers.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

from exia._arguments import integer, iterable, mapping, refuse
from exia._columns import column, distinct, in_place, integers, looked_up, narrow
from exia._handle import NULL, Handle, call
from exia._native import ffi, lib
from exia._numbers import of_list, of_pairs
from exia.errors import CycleError, ExistsError, InvalidError, NotFoundError

MOST = 2**32 - 2  # nodes: their numbers have 32 bits
SHOWN = 10  # nodes of a cycle in its error
Self = TypeVar("Self", bound="Graph")


class _Use:
    """What `Graph._use` gives: a class, as a generator would take longer than most questions."""

    __slots__ = ("_graph",)

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __enter__(self) -> Any:
        graph = self._graph
        pointer = graph._c
        graph._lock.acquire()
        if graph._running:
            graph._lock.release()
            raise InvalidError("this graph is being run: ask and change it before or after")
        return pointer

    def __exit__(self, *_: object) -> None:
        self._graph._lock.release()


class Graph(Handle):
    """The nodes and the edges of a `Dag`."""

    __slots__ = ("_index", "_nodes", "_running")

    def __init__(self, after: Mapping[Any, Iterable[Any]] | None = None) -> None:
        out = ffi.new("exia_dag **")
        call(lib.exia_dag_open, out)
        self._take(out[0])
        if after is not None:
            pairs = [
                (node, iterable(befores, f"what {node!r} comes after"))
                for node, befores in mapping(after, "after", texts=False).items()
            ]
            self._add([n for node, befores in pairs for n in (node, *befores)])
            self.add_edges((before, node) for node, befores in pairs for before in befores)

    def _take(self, pointer: Any) -> None:
        super().__init__(pointer, lib.exia_dag_free)
        self._lock: Any = threading.RLock()  # a node's __eq__ may ask the graph it is looked up in
        self._nodes: range | list[Any] = range(0)
        self._index: dict[Any, int] | None = None
        self._running = False

    @classmethod
    def _from_c(cls: type[Self], pointer: Any) -> Self:
        """Take over a C graph whose nodes all have names."""
        dag = cls.__new__(cls)
        dag._take(pointer)
        names = map(lib.exia_dag_name, [pointer] * lib.exia_dag_node_count(pointer), count())
        dag._nodes = [ffi.string(name).decode() for name in names]
        dag._index = {name: i for i, name in enumerate(dag._nodes)}
        return dag

    def _use(self) -> _Use:
        """Give the C graph to one thread at a time, and to none while it is being run."""
        return _Use(self)

    # ---- nodes ----------------------------------------------------------------------------------

    def add(self, node: Any, *after: Any) -> None:
        """Add a node that comes after others, which are added too where they are new.

        Examples
        --------
        >>> from exia import Dag
        >>> dag = Dag()
        >>> dag.add("test", "train")
        >>> list(dag)
        ['train', 'test']
        """
        self._add([*after, node])
        self.add_edges((before, node) for before in after)

    def add_nodes(self, nodes: int | Iterable[Any]) -> None:
        """Add nodes without edges; a number adds that many, numbered on from those there are."""
        if isinstance(nodes, Iterable):
            self._add(nodes if isinstance(nodes, range) else iterable(nodes, "nodes"))
            return
        first = len(self._nodes)
        self._add(range(first, first + integer(nodes, "nodes", 0, MOST - first)))

    def remove_nodes(self, nodes: Iterable[Any]) -> None:
        """Remove nodes with their edges; the others stay as they are, in the same order.

        Raises
        ------
        NotFoundError
            One is not there; then none is removed.
        """
        gone = iterable(nodes, "nodes")
        with self._use() as c:
            numbers = self._numbers(gone)
            index = self._as_dict()
            call(lib.exia_dag_remove_nodes, NULL, c, _in_c(numbers), len(numbers))
            out = set(numbers)
            self._nodes = [node for i, node in enumerate(self._nodes) if i not in out]
            index.clear()
            index.update((node, i) for i, node in enumerate(self._nodes))

    def _add(self, nodes: Sequence[Any]) -> None:
        """Add those that are new."""
        if isinstance(self._nodes, range) and isinstance(nodes, range):
            if (nodes.start, nodes.step) == (len(self._nodes), 1):
                self._add_range(nodes.stop)
                return
        with self._use() as c:
            index = self._as_dict()
            try:
                distinct = dict.fromkeys(nodes)
            except TypeError:
                for node in nodes:
                    if not isinstance(node, Hashable):
                        refuse(node, "a node", "hashable")
                raise
            new = [node for node in distinct if node not in index]
            if not new:
                return
            names = [_name(node) for node in new]
            try:
                call(lib.exia_dag_add_nodes, NULL, c, ffi.new("const char *[]", names), len(new))
            except ExistsError:  # two nodes that look alike, such as 1 and "1": numbers must do
                call(lib.exia_dag_add_nodes, NULL, c, NULL, len(new))
            assert not isinstance(self._nodes, range)
            index.update(
                zip(new, range(len(self._nodes), len(self._nodes) + len(new)), strict=True)
            )
            self._nodes += new

    def _add_range(self, count: int) -> None:
        """Let the nodes be 0 ... count - 1."""
        with self._use() as c:
            if count > len(self._nodes):
                call(lib.exia_dag_add_nodes, NULL, c, NULL, count - len(self._nodes))
                self._nodes = range(count)

    def _as_dict(self) -> dict[Any, int]:
        """Leave the range: from now on nodes may be anything."""
        if self._index is None:
            self._nodes = list(self._nodes)
            self._index = {node: node for node in self._nodes}
        return self._index

    def _number(self, node: Any) -> int:
        """Look up the number of a node."""
        number = self._find(node)
        if number is None:
            raise NotFoundError(f"no node of this graph is {node!r:.100}")
        return number

    def _find(self, node: Any) -> int | None:
        if self._index is not None:
            return self._index.get(node)
        number = hash(node)  # that of a number is the number itself
        return number if 0 <= number < len(self._nodes) and node == number else None

    def _numbers(self, nodes: Iterable[Any]) -> array[int]:
        """Look up the numbers of nodes."""
        return array("I", [self._number(node) for node in nodes])

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._nodes)

    def __contains__(self, node: object) -> bool:
        return self._find(node) is not None

    def __repr__(self) -> str:
        return f"<exia.{type(self).__name__} of {len(self)} nodes>"

    # ---- edges ----------------------------------------------------------------------------------

    def add_edges(self, before: Any, after: Any = None) -> None:
        """Add many edges: `before[i]` comes before `after[i]`; new nodes are added.

        Parameters
        ----------
        before, after
            Two sequences of equal length; or one iterable of pairs (before, after), or an array of
            two columns.  Arrays of integers of any width and layout - numpy's, and whatever else
            has the buffer protocol or `__arrow_c_array__` - are handed over in bulk; 32 bits
            without gaps are read where they lie.  What is new in them becomes a node, ascending.

        Raises
        ------
        InvalidError
            An array does not hold integers; the lengths differ.
        CycleError
            After `keep_order`: an edge would close a cycle.  None is added.

        Examples
        --------
        >>> from exia import Dag
        >>> dag = Dag()
        >>> dag.add_edges([("a", "b"), ("b", "c")])
        >>> dag.order()
        ['a', 'b', 'c']
        """
        ends = self._ends(before, after)
        if len(ends[0]) == 0:
            return
        with self._use() as c:
            if self._add_in_place(c, *ends):
                return
            self._add_edges(c, [self._numbers_of_new(end) for end in self._with_nodes(ends)])

    def remove_edges(self, before: Any, after: Any = None) -> None:
        """Remove edges, given as to `add_edges`; their nodes stay.

        Raises
        ------
        NotFoundError
            A node or an edge is not there; then none is removed.
        """
        ends = self._ends(before, after)
        with self._use() as c:
            numbers = [_in_c(self._numbers_of(end)) for end in ends]
            call(lib.exia_dag_remove_edges, c, *numbers, len(numbers[0]))

    def edges(self) -> list[tuple[Any, Any]]:
        """List the edges (before, after) as they were added, also those that were added twice."""
        before, after = ffi.new("const uint32_t **"), ffi.new("const uint32_t **")
        size = ffi.new("size_t *")
        with self._use() as c:
            call(lib.exia_dag_edges, before, after, size, c)
            ends = self._named(before[0], size[0]), self._named(after[0], size[0])
        return list(zip(*ends, strict=True))

    def _ends(self, before: Any, after: Any) -> tuple[Any, Any]:
        """Make what names edges two columns or lists of equal length."""
        if after is None and getattr(before, "ndim", 0) == 2 and before.shape[1] == 2:
            before, after = before[:, 0], before[:, 1]
        if after is None:
            pairs = iterable(before, "edges")
            if numbers := of_pairs(pairs, self._plain_below()):
                return memoryview(numbers[0]).cast("I"), memoryview(numbers[1]).cast("I")
            _check_pairs(pairs)
            return [b for b, _ in pairs], [a for _, a in pairs]
        ends = self._column_or_list(before, "before"), self._column_or_list(after, "after")
        if len(ends[0]) != len(ends[1]):
            raise InvalidError(f"{len(ends[0])} nodes before, {len(ends[1])} after: give as many")
        return ends

    def _column_or_list(self, values: Any, what: str) -> Any:
        if isinstance(values, list):
            numbers = of_list(values, self._plain_below())
            return values if numbers is None else memoryview(numbers).cast("I")
        view = column(values)
        return iterable(values, what) if view is None else view

    def _plain_below(self) -> int:
        """Tell below what an integer is the number of a node."""
        return len(self._nodes) if self._index is None else 0

    @staticmethod
    def _edge_count(c: Any) -> int:
        size = ffi.new("size_t *")
        call(
            lib.exia_dag_edges, ffi.new("const uint32_t **"), ffi.new("const uint32_t **"), size, c
        )
        return int(size[0])

    def _add_in_place(self, c: Any, *ends: Any) -> bool:
        """Let C read arrays where they lie, if they can be and name no new node."""
        if self._index is not None or not all(isinstance(end, memoryview) for end in ends):
            return False
        below = min(len(self._nodes), 2**31)  # what is negative must be no node
        numbers = [end if in_place(end) else narrow(end, below) for end in ends]
        if below < len(self._nodes) or any(number is None for number in numbers):
            return False
        try:
            self._add_edges(c, numbers)
        except InvalidError as error:
            if isinstance(error, CycleError) or error.status != lib.EXIA_EINVAL:
                raise
            return False  # an index is no node yet
        return True

    def _add_edges(self, c: Any, numbers: Sequence[Any]) -> None:
        views = [_in_c(number) for number in numbers]
        try:
            call(lib.exia_dag_add_edges, c, *views, len(views[0]))
        except CycleError as error:
            tell(error, "this would close a cycle", self._would_close(c, *views))
            raise

    def _would_close(self, c: Any, before: Any, after: Any) -> list[Any]:
        """Find the cycle for which edges were refused."""
        if len(before) == 1:
            nodes, size = ffi.new("const uint32_t **"), ffi.new("size_t *")
            call(lib.exia_dag_path, nodes, size, c, after[0], before[0])
            return self._named(nodes[0], size[0])
        tried, ours = Graph(), [ffi.new("const uint32_t **") for _ in range(2)]
        size = ffi.new("size_t *")
        call(lib.exia_dag_edges, *ours, size, c)
        tried._add_range(len(self._nodes))
        call(lib.exia_dag_add_edges, tried._c, ours[0][0], ours[1][0], size[0])
        call(lib.exia_dag_add_edges, tried._c, before, after, len(before))
        return [self._nodes[i] for i in tried._a_cycle(tried._c)]

    def _with_nodes(self, ends: Sequence[Any]) -> Sequence[Any]:
        """Add the nodes that edges name."""
        if not all(isinstance(end, memoryview) for end in ends):
            ends = [integers(end) if isinstance(end, memoryview) else end for end in ends]
            self._add([node for pair in zip(*ends, strict=True) for node in pair])
            return ends
        new = sorted({value for end in ends for value in distinct(end)})
        first = len(self._nodes)
        if isinstance(self._nodes, range) and new[0] >= 0:
            added = [value for value in new if value >= first]
            if not added or added[-1] - first + 1 == len(added):
                self._add_range(first + len(added))
                return ends
        self._add(new)
        return ends

    def _numbers_of_new(self, end: Any) -> Any:
        """Look up the numbers of nodes that are there by now."""
        if isinstance(end, memoryview):
            if self._index is None:
                return end if in_place(end) else narrow(end, len(self._nodes))
            return looked_up(end, self._index)
        return self._numbers(end)

    def _numbers_of(self, end: Any) -> Any:
        """Look up the numbers of nodes that may be there."""
        if not isinstance(end, memoryview):
            return self._numbers(end)
        if self._index is None:
            found = narrow(end, len(self._nodes))
            return self._numbers(integers(end)) if found is None else found  # which names it
        try:
            return looked_up(end, self._index)
        except KeyError as error:
            raise NotFoundError(f"no node of this graph is {error}") from None

    # ---- answers of C ---------------------------------------------------------------------------

    def _named(self, numbers: Any, count: int) -> list[Any]:
        plain = ffi.unpack(numbers, count) if count else []
        return plain if self._index is None else [self._nodes[i] for i in plain]

    @staticmethod
    def _check_unchanged(given: int, there: int) -> None:
        if given != there:
            raise InvalidError(f"{given} values for {there}: give one each, and change nothing yet")

    def _ask(self, c: Any, function: Any, *arguments: Any) -> None:
        """Call; what the error of a cycle says is said with Python's nodes."""
        try:
            call(function, *arguments)
        except CycleError as error:
            tell(error, "a cycle", self._a_cycle(c))
            raise

    def _a_cycle(self, c: Any) -> list[Any]:
        """Find the shortest cycle through the first node that lies on one."""
        groups = ffi.new("exia_groups *")
        call(lib.exia_dag_cycles, groups, c)
        return self._a_cycle_through(c, groups.nodes[0]) if groups.count else []

    def _a_cycle_through(self, c: Any, number: int) -> list[Any]:
        nodes, size = ffi.new("const uint32_t **"), ffi.new("size_t *")
        call(lib.exia_dag_cycle, nodes, size, c, number)
        return self._named(nodes[0], size[0])


def tell(error: CycleError, what: str, cycle: list[Any]) -> None:
    """Say and hold a cycle in its error."""
    shown = [f"{node!r:.60}" for node in cycle[:SHOWN]] + ["..."] * (len(cycle) > SHOWN)
    error.args = (f"{what} of {len(cycle)}: {' -> '.join([*shown, shown[0]])}",)
    error.cycle = cycle


def _check_pairs(pairs: list[Any]) -> None:
    for pair in pairs:
        if isinstance(pair, str | bytes) or not isinstance(pair, Sequence):
            refuse(pair, "an edge", "a pair (before, after)")
        if len(pair) != 2:
            raise InvalidError(f"an edge is a pair (before, after), not {pair!r:.100}")


def _in_c(numbers: Any) -> Any:
    """View numbers as C reads them."""
    if isinstance(numbers, memoryview):
        numbers = numbers.cast("B")
    return ffi.from_buffer("uint32_t[]", numbers)


def _name(node: Any) -> Any:
    """Name a node for the library's texts; NULL: its number must do."""
    shown = node if isinstance(node, str) else repr(node)
    if not shown or "\0" in shown or len(shown) > 200:
        return NULL
    try:
        return ffi.new("char[]", shown.encode())
    except UnicodeEncodeError:
        return NULL
