"""Edges: what a graph holds, for C by number and for Python by object."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from exia._arguments import iterable, mapping, refuse
from exia._columns import column, distinct, gapless, in_place, integers, narrow, taken, wide
from exia._handle import call
from exia._native import ffi, lib
from exia._nodes import Nodes, in_c
from exia._numbers import add_edges, of_list, of_pairs
from exia.errors import CycleError, InvalidError


class Graph(Nodes):
    """The nodes and the edges of a `Dag`."""

    __slots__ = ()

    def __init__(self, after: Mapping[Any, Iterable[Any]] | None = None) -> None:
        out = ffi.new("exia_dag **")
        call(lib.exia_dag_open, out)
        self._take(out[0])
        if after is not None:
            pairs = [
                (node, iterable(befores, f"what {node!r} comes after"))
                for node, befores in mapping(after, "after", texts=False).items()
            ]
            with self._change() as c:
                numbers = iter(
                    self._add(c, [n for node, befores in pairs for n in (node, *befores)])
                )
                ends = array("I"), array("I")
                for _, befores in pairs:
                    node = next(numbers)
                    ends[0].extend(islice(numbers, len(befores)))
                    ends[1].extend([node] * len(befores))
                self._add_edges(c, ends)

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
        with self._change() as c:
            numbers = self._add(c, [*after, node])
            self._add_edges(c, [numbers[:-1], numbers[-1:] * len(after)])

    # ---- edges ----------------------------------------------------------------------------------

    def add_edges(self, before: Any, after: Any = None) -> None:
        """Add many edges: `before[i]` comes before `after[i]`; new nodes are added.

        Parameters
        ----------
        before, after
            Two sequences of equal length; or one iterable of pairs (before, after), or an array of
            two columns.  Arrays of integers of any width and layout - numpy's, and whatever else
            has the buffer protocol, `__arrow_c_array__` or `__arrow_c_stream__` - are handed over
            in bulk; 32 bits in one piece are read where they lie, if the nodes are 0, 1, 2 ...
            What is new in them becomes a node, ascending.

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
        cycle = None
        with self._lock:
            held = self._pointer
            if held and type(self._nodes) is range and not self._running and not self._inside:
                self._changes += 1
                cycle = add_edges(self._at, before, after)
        if cycle is None:
            ends = self._ends(before, after)
            with self._change() as c:
                self._add_ends(c, *ends)
        elif cycle:
            raise CycleError.of("this would close a cycle", cycle)

    def remove_edges(self, before: Any, after: Any = None) -> None:
        """Remove edges, given as to `add_edges`; their nodes stay.

        Raises
        ------
        NotFoundError
            A node or an edge is not there; then none is removed.
        """
        ends = self._ends(before, after)
        with self._change() as c:
            numbers = [in_c(self._numbers_of(end)) for end in ends]
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
        return len(self._nodes) if isinstance(self._nodes, range) else 0

    @staticmethod
    def _edge_count(c: Any) -> int:
        size = ffi.new("size_t *")
        call(
            lib.exia_dag_edges, ffi.new("const uint32_t **"), ffi.new("const uint32_t **"), size, c
        )
        return int(size[0])

    def _add_ends(self, c: Any, *ends: Any) -> None:
        if len(ends[0]) == 0:
            return
        if all(isinstance(end, memoryview) for end in ends):
            if not self._add_in_place(c, *ends):
                self._add_edges(c, self._numbers_with_new(c, ends))
            return
        lists = [integers(end) if isinstance(end, memoryview) else end for end in ends]
        numbers = self._add(c, [node for pair in zip(*lists, strict=True) for node in pair])
        self._add_edges(c, [numbers[::2], numbers[1::2]])

    def _add_in_place(self, c: Any, *ends: memoryview) -> bool:
        """Let C read arrays where they lie, if they can be and name no new node."""
        below = min(len(self._nodes), 2**31)  # what is negative must be no node
        if not isinstance(self._nodes, range) or below < len(self._nodes):
            return False
        numbers = [end if in_place(end) else narrow(end, below) for end in ends]
        if any(number is None for number in numbers):
            return False
        try:
            self._add_edges(c, numbers)
        except InvalidError as error:
            if isinstance(error, CycleError) or error.status != lib.EXIA_EINVAL:
                raise
            return False  # an index is no node yet
        return True

    def _numbers_with_new(self, c: Any, ends: Sequence[memoryview]) -> list[Any]:
        """Look up the numbers of integers, after adding those that are new."""
        if isinstance(self._nodes, range):
            count = gapless(ends, len(self._nodes))
            if count is not None:
                self._add_range(c, count)
                return [end if in_place(end) else narrow(end, count) for end in ends]
        columns = [wide(end) for end in ends]
        if any(column is None for column in columns):
            lists = [integers(end) for end in ends]
            self._add(c, sorted({value for values in lists for value in values}))
            return [self._numbers(values) for values in lists]
        values, places = distinct(columns)
        interned = isinstance(self._nodes, array) or len(self._nodes) == 0
        numbers = self._intern(c, values) if interned else self._add(c, values.tolist())
        return [taken(numbers, place) for place in places]

    def _add_edges(self, c: Any, numbers: Sequence[Any]) -> None:
        views = [in_c(number) for number in numbers]
        try:
            call(lib.exia_dag_add_edges, c, *views, len(views[0]))
        except CycleError:
            raise CycleError.of("this would close a cycle", self._cycle_shown(c)) from None

    def _numbers_of(self, end: Any) -> Any:
        """Look up the numbers of nodes that may be there."""
        if not isinstance(end, memoryview):
            return self._numbers(end)
        numbers = narrow(end, len(self._nodes)) if isinstance(self._nodes, range) else None
        return self._numbers(integers(end)) if numbers is None else numbers

    # ---- answers of C ---------------------------------------------------------------------------

    @staticmethod
    def _check_unchanged(given: int, there: int) -> None:
        if given != there:
            raise InvalidError(f"{given} values for {there}: give one each, and change nothing yet")

    def _ask(self, c: Any, function: Any, *arguments: Any) -> None:
        """Call; what the error of a cycle says is said with Python's nodes."""
        try:
            call(function, *arguments)
        except CycleError:
            raise CycleError.of("a cycle", self._cycle_shown(c)) from None

    def _cycle_shown(self, c: Any) -> list[Any]:
        """List all of the cycle that the error of C showed."""
        nodes, size = ffi.new("const uint32_t **"), ffi.new("size_t *")
        call(lib.exia_dag_cycle_shown, nodes, size, c)
        return self._named(nodes[0], size[0])

    def _a_cycle_through(self, c: Any, number: int) -> list[Any]:
        nodes, size = ffi.new("const uint32_t **"), ffi.new("size_t *")
        call(lib.exia_dag_cycle, nodes, size, c, number)
        return self._named(nodes[0], size[0])


def _check_pairs(pairs: list[Any]) -> None:
    for pair in pairs:
        if isinstance(pair, str | bytes) or not isinstance(pair, Sequence):
            refuse(pair, "an edge", "a pair (before, after)")
        if len(pair) != 2:
            raise InvalidError(f"an edge is a pair (before, after), not {pair!r:.100}")
