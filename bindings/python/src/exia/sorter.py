"""graphlib's TopologicalSorter, at the speed of arrays."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Generator, Hashable, Iterable
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar

from exia._handle import NULL, call, not_copied, own
from exia._native import ffi, lib
from exia.dag import Dag
from exia.errors import CycleError, InvalidError

T = TypeVar("T", bound=Hashable)
Key = TypeVar("Key", bound=Hashable, covariant=True)

AGAIN = sys.version_info >= (3, 14)  # there graphlib's prepare() may be called until it starts


class Graph(Protocol[Key]):
    """Node -> the nodes that it comes after."""

    def items(self) -> Iterable[tuple[Key, Iterable[Key]]]:
        """Pair each node with those that it comes after."""


class TopologicalSorter(Generic[T]):
    """Hand out the nodes of a graph, each when all before it are done.

    It is graphlib.TopologicalSorter, method by method: the same answers in the same order, the same
    exceptions (which are also ExiaErrors), whatever a node's `__hash__` or `__eq__` raises.  Three
    things are its own: it can be copied, also on its way; an `add` that fails adds nothing; and of
    several cycles its error may hold another one.

    Parameters
    ----------
    graph
        Node -> the nodes that it comes after.

    Examples
    --------
    >>> sorter = TopologicalSorter({"train": ["load", "clean"], "clean": ["load"]})
    >>> list(sorter.static_order())
    ['load', 'clean', 'train']
    """

    __slots__ = (
        "__weakref__", "_adding", "_after", "_before", "_closed", "_cursor", "_lock", "_nodes",
        "_numbers", "_started",
    )  # fmt: skip

    def __init__(self, graph: Graph[T] | None = None) -> None:
        self._numbers: dict[T, int] = {}
        self._nodes: list[T] = []  # from prepare() on
        self._before, self._after = array("I"), array("I")
        self._cursor: Any = None
        self._closed: list[T] = []  # the cycle that prepare() found
        self._started = False
        self._adding = False
        self._lock = RLock()  # one thread at a time; a node's __eq__ may come back to us
        if graph is not None:
            for node, predecessors in graph.items():
                self.add(node, *predecessors)

    __reduce__ = not_copied

    def add(self, node: T, *predecessors: T) -> None:
        """Add a node, and nodes that come before it; more to those that were given before.

        Raises
        ------
        InvalidError
            After `prepare`.  It is a ValueError.
        TypeError
            A node is not hashable.
        """
        with self._lock:
            if self._cursor is not None:
                raise InvalidError("Nodes cannot be added after a call to prepare()")
            self._check_idle()
            numbers, size = self._numbers, len(self._numbers)
            self._adding = True
            try:
                number = numbers.setdefault(node, size)
                before = [numbers.setdefault(other, len(numbers)) for other in predecessors]
            except BaseException:
                while len(numbers) > size:
                    numbers.popitem()
                raise
            finally:
                self._adding = False
            self._before.extend(before)
            self._after.extend([number] * len(before))

    def _check_idle(self) -> None:
        if self._adding:
            raise InvalidError(
                "this sorter is being added to: a node's __hash__ or __eq__ must not use it"
            )

    def prepare(self) -> None:
        """End the adding, and look for cycles.

        Raises
        ------
        CycleError
            There is one; `args[1]` holds it as graphlib's does.  `get_ready` hands out all the same
            what neither lies on a cycle nor behind one.
        InvalidError
            It was called before.  It is a ValueError.
        """
        with self._lock:
            if self._cursor is None:
                self._check_idle()
                self._open()
            elif not AGAIN:
                raise InvalidError("cannot prepare() more than once")
            elif self._started:
                raise InvalidError("cannot prepare() after starting iteration")
        if self._closed:
            raise CycleError("nodes are in a cycle", self._closed)

    def _open(self) -> None:
        out = ffi.new("exia_dag_cursor **")
        with Dag() as dag:
            dag.add_nodes(len(self._numbers))
            dag.add_edges(self._before, self._after)
            nodes = list(self._numbers)
            with dag._use() as c:
                call(lib.exia_dag_cursor_open, out, c)
            self._take(out[0])
            self._nodes = nodes
            self._before, self._after = array("I"), array("I")
            try:
                dag.order()
            except CycleError as error:
                self._closed = [nodes[i] for i in error.args[1]]

    def _take(self, cursor: Any) -> None:
        self._cursor = own(cursor, lib.exia_dag_cursor_free)

    def get_ready(self) -> tuple[T, ...]:
        """Hand out all nodes that became ready since the last call: at first those behind none.

        Raises
        ------
        InvalidError
            Before `prepare`.  It is a ValueError.
        """
        cursor = self._prepared()
        numbers, count = ffi.new("const uint32_t **"), ffi.new("size_t *")
        with self._lock:
            lib.exia_dag_cursor_ready(numbers, count, cursor, NULL)
        if not count[0]:
            return ()
        self._started = True
        nodes = self._nodes
        return tuple([nodes[i] for i in ffi.unpack(numbers[0], count[0])])

    def _prepared(self) -> Any:
        if self._cursor is None:
            raise InvalidError("prepare() must be called first")
        return self._cursor

    def is_active(self) -> bool:
        """Tell whether nodes are ready or out, so that more may come.

        Raises
        ------
        InvalidError
            Before `prepare`.  It is a ValueError.
        """
        cursor = self._prepared()
        with self._lock:
            return bool(lib.exia_dag_cursor_active(cursor))

    def __bool__(self) -> bool:
        return self.is_active()

    def done(self, *nodes: T) -> None:
        """Take nodes back that were handed out: what waits for them alone becomes ready.

        Raises
        ------
        InvalidError
            Before `prepare`; a node was not added, not handed out, or is done already: then those
            that were given before it are done.  It is a ValueError.
        """
        self._prepared()
        numbers: list[int] = []
        try:
            for node in nodes:
                number = self._numbers.get(node)
                if number is None:
                    raise InvalidError(f"node {node!r} was not added using add()")
                numbers.append(number)
        finally:
            self._done(ffi.new("uint32_t[]", numbers), len(numbers))

    def _done(self, numbers: Any, count: int) -> None:
        taken = ffi.new("size_t *")
        with self._lock:
            status = lib.exia_dag_cursor_done(taken, self._cursor, numbers, count, NULL)
        if status < 0:
            node = self._nodes[numbers[taken[0]]]
            if status == lib.EXIA_EEXISTS:
                raise InvalidError(f"node {node!r} was already marked done")
            raise InvalidError(f"node {node!r} was not passed out (still not ready)")

    def static_order(self) -> Generator[T, None, None]:
        """Go through all nodes, each after all before it; calls `prepare` itself.

        Raises
        ------
        CycleError
            There is a cycle; `args[1]` holds it.
        """
        self.prepare()
        self._started = True
        nodes, cursor, lock = self._nodes, self._cursor, self._lock
        numbers, count = ffi.new("const uint32_t **"), ffi.new("size_t *")
        while True:
            with lock:
                lib.exia_dag_cursor_ready(numbers, count, cursor, NULL)
            size = count[0]
            if size == 1:
                yield nodes[numbers[0][0]]
            elif size:
                for number in ffi.unpack(numbers[0], size):
                    yield nodes[number]
            elif not self.is_active():
                return
            self._done(numbers[0], size)

    def copy(self) -> TopologicalSorter[T]:
        """Make another one that stands where this one stands; neither changes the other.

        Examples
        --------
        >>> sorter = TopologicalSorter({"b": "a"})
        >>> sorter.prepare()
        >>> sorter.copy().get_ready(), sorter.get_ready()
        (('a',), ('a',))
        """
        twin = type(self).__new__(type(self))
        TopologicalSorter.__init__(twin)
        with self._lock:
            self._check_idle()
            twin._numbers = self._numbers.copy()
            twin._before, twin._after = self._before[:], self._after[:]
            if self._cursor is not None:
                out = ffi.new("exia_dag_cursor **")
                call(lib.exia_dag_cursor_copy, out, self._cursor)
                twin._take(out[0])
                twin._nodes, twin._closed, twin._started = self._nodes, self._closed, self._started
        return twin

    __copy__ = copy
