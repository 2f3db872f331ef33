"""Nodes: for C by number, for Python by object.

While they are 0, 1, 2 ... a range says all there is to say, and while they are integers from arrays
an array of them, which C looks up by name; any other node, and a question for one, makes it a list
and a dict of their numbers.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any, TypeVar

from exia._arguments import integer, iterable, refuse
from exia._handle import NULL, Handle, call
from exia._native import ffi, lib
from exia.errors import ExistsError, InvalidError, NotFoundError

MOST = 2**32 - 2  # nodes: their numbers have 32 bits
Self = TypeVar("Self", bound="Nodes")


class _Use:
    """What `Nodes._use` gives: a class, as a generator would take longer than most questions."""

    __slots__ = ("_changes", "_graph")

    def __init__(self, graph: Nodes, changes: bool) -> None:
        self._graph, self._changes = graph, changes

    def __enter__(self) -> Any:
        graph = self._graph
        pointer = graph._c
        graph._lock.acquire()
        if graph._running or (self._changes and graph._inside):
            said = "being run: ask and change it before or after"
            if not graph._running:
                said = "in use: a node's __hash__ or __eq__ must not change it"
            graph._lock.release()
            raise InvalidError(f"this graph is {said}")
        graph._inside += 1
        graph._changes += self._changes
        return pointer

    def __exit__(self, *_: object) -> None:
        self._graph._inside -= 1
        self._graph._lock.release()


class Nodes(Handle):
    """The nodes of a `Dag`, and who may use it when."""

    __slots__ = ("_at", "_changes", "_index", "_inside", "_nodes", "_running")

    def _take(self, pointer: Any) -> None:
        super().__init__(pointer, lib.exia_dag_free)
        self._at = int(ffi.cast("uintptr_t", pointer))  # for `_numbers`, while `_pointer` is held
        self._lock: Any = threading.RLock()  # a node's __eq__ may ask the graph it is looked up in
        self._nodes: Any = range(0)  # or an array or a list of them
        self._index: dict[Any, int] | None = None
        self._running = False
        self._inside = 0  # calls of the thread that has the lock
        self._changes = 0

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
        return _Use(self, False)

    def _change(self) -> _Use:
        """Give it to be changed: not by a node's `__eq__` while that node is looked up in it."""
        return _Use(self, True)

    def _check_same(self, changes: int) -> None:
        """Refuse to go on with what was made of the nodes as they were."""
        if changes != self._changes:
            raise InvalidError("this graph was changed meanwhile: change nothing until it answers")

    # ---- change ---------------------------------------------------------------------------------

    def add_nodes(self, nodes: int | Iterable[Any]) -> None:
        """Add nodes without edges; a number adds that many, numbered on from those there are."""
        with self._change() as c:
            first = len(self._nodes)
            if isinstance(nodes, Iterable) and getattr(nodes, "ndim", 1) != 0:
                self._add_those(c, nodes if isinstance(nodes, range) else iterable(nodes, "nodes"))
                return
            more = integer(nodes, "nodes", 0)
            if more > MOST - first:
                raise InvalidError(
                    f"{more} more nodes would be too many: {first} are there, {MOST} can be"
                )
            self._add_those(c, range(first, first + more))

    def remove_nodes(self, nodes: Iterable[Any]) -> None:
        """Remove nodes with their edges; the others stay as they are, in the same order.

        Raises
        ------
        NotFoundError
            One is not there; then none is removed.
        """
        gone = iterable(nodes, "nodes")
        with self._change() as c:
            numbers = self._numbers(gone)
            out = set(numbers)
            if not out:
                return
            stay = [node for i, node in enumerate(self._nodes) if i not in out]
            index = {node: i for i, node in enumerate(stay)}
            try:
                call(lib.exia_dag_remove_nodes, NULL, c, in_c(numbers), len(numbers))
            finally:
                if lib.exia_dag_node_count(c) == len(stay):
                    self._nodes, self._index = stay, index

    def _add(self, c: Any, nodes: Sequence[Any]) -> array[int]:
        """Add those that are new; answer with the numbers of all."""
        size = len(self._nodes)
        try:
            if size and isinstance(self._nodes, range):
                found = [self._find(node) for node in nodes]
                if None not in found:
                    return array("I", found)  # type: ignore[arg-type]
            index = self._as_dict()
            numbers = array("I", [index.setdefault(node, len(index)) for node in nodes])
            new = [*islice(reversed(index), len(index) - size)][::-1]
            if new:
                self._nodes += new
                _add_named(c, new)
            return numbers
        except BaseException as error:
            if self._index is not None and lib.exia_dag_node_count(c) == size:
                while len(self._index) > size:
                    self._index.popitem()
                del self._nodes[size:]
            if isinstance(error, TypeError):
                for node in nodes:
                    if not isinstance(node, Hashable):
                        refuse(node, "a node", "hashable")
            raise

    def _add_those(self, c: Any, nodes: range | array[int] | list[Any]) -> None:
        """Add them as they are best kept."""
        first = len(self._nodes)
        if isinstance(nodes, array) and first == 0:
            self._intern(c, nodes)
        elif isinstance(self._nodes, range) and nodes == range(first, first + len(nodes)):
            self._add_range(c, first + len(nodes))
        else:
            self._add(c, nodes)

    def _add_range(self, c: Any, count: int) -> None:
        """Let the nodes be 0 ... count - 1."""
        if count > len(self._nodes):
            try:
                call(lib.exia_dag_add_nodes, NULL, c, NULL, count - len(self._nodes))
            finally:  # Ctrl-C may come when it is done
                self._nodes = range(lib.exia_dag_node_count(c))

    def _intern(self, c: Any, values: Any) -> array[int]:
        """Add those of different integers that are new to integers; answer with all numbers."""
        numbers = array("I", bytes(4 * len(values)))
        nodes = self._nodes if isinstance(self._nodes, array) else array("q")
        size = len(nodes)
        try:
            ours = in_c(numbers), c, ffi.from_buffer("int64_t[]", values), len(values)
            call(lib.exia_dag_intern, *ours)
        finally:
            if lib.exia_dag_node_count(c) > size:
                new = values
                if size > 0:
                    pairs = zip(values.tolist(), numbers, strict=True)
                    new = array("q", [value for value, number in pairs if number >= size])
                nodes.frombytes(memoryview(new).cast("B"))
                self._nodes = nodes
        return numbers

    def _as_dict(self) -> dict[Any, int]:
        """Leave the range or the array: from now on nodes may be anything."""
        if self._index is None:
            nodes = list(self._nodes)
            self._index, self._nodes = dict(zip(nodes, range(len(nodes)), strict=True)), nodes
        return self._index

    # ---- look-up --------------------------------------------------------------------------------

    def _number(self, node: Any) -> int:
        """Look up the number of a node."""
        number = self._find(node)
        if number is None:
            raise NotFoundError(f"no node of this graph is {node!r:.100}")
        return number

    def _find(self, node: Any) -> int | None:
        if not isinstance(self._nodes, range):
            return self._as_dict().get(node)
        number = hash(node)  # that of a number is the number itself
        return number if 0 <= number < len(self._nodes) and node == number else None

    def _numbers(self, nodes: Iterable[Any]) -> array[int]:
        """Look up the numbers of nodes."""
        return array("I", [self._number(node) for node in nodes])

    def _named(self, numbers: Any, count: int) -> list[Any]:
        """List the nodes of these numbers."""
        plain = ffi.unpack(numbers, count) if count else []
        return plain if isinstance(self._nodes, range) else [self._nodes[i] for i in plain]

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._nodes)

    def __contains__(self, node: object) -> bool:
        with self._lock:
            return self._find(node) is not None

    def __repr__(self) -> str:
        return f"<exia.{type(self).__name__} of {len(self)} nodes>"


def _add_named(c: Any, nodes: Sequence[Any]) -> None:
    names = [_name(node) for node in nodes]
    try:
        call(lib.exia_dag_add_nodes, NULL, c, ffi.new("const char *[]", names), len(nodes))
    except ExistsError:  # two nodes that look alike, such as 1 and "1": numbers must do
        call(lib.exia_dag_add_nodes, NULL, c, NULL, len(nodes))


def _name(node: Any) -> Any:
    """Name a node for the library's texts; NULL: its number must do."""
    shown = node if isinstance(node, str) else repr(node)
    if not shown or "\0" in shown or len(shown) > 200:
        return NULL
    try:
        return ffi.new("char[]", shown.encode())
    except UnicodeEncodeError:
        return NULL


def in_c(numbers: Any) -> Any:
    """View numbers as C reads them."""
    if isinstance(numbers, memoryview):
        numbers = numbers.cast("B")
    return ffi.from_buffer("uint32_t[]", numbers)
