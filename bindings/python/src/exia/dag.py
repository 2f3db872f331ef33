"""Graphs of what comes before what: order, levels, cycles, parallel runs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import count, pairwise
from typing import Any

from exia._arguments import flag, integer, iterable, mapping, refuse, text
from exia._handle import NULL, Handle, call, callback, describe, failure, take_text, thread
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, take_rows
from exia.errors import CycleError, ExistsError, InvalidError

MOST = 2**32 - 2  # nodes: their numbers have 32 bits
SHOWN = 10  # nodes of a cycle in its error


class Dag(Handle):
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
        # Nodes by number, and numbers by node.  While the nodes are 0, 1, 2 ... a range is enough.
        self._nodes: range | list[Any] = range(0)
        self._index: dict[Any, int] | None = None
        self._running = False

    @classmethod
    def _from_c(cls, pointer: Any) -> Dag:
        """Take over a C graph whose nodes all have names."""
        dag = cls.__new__(cls)
        dag._take(pointer)
        names = map(lib.exia_dag_name, [pointer] * lib.exia_dag_node_count(pointer), count())
        dag._nodes = [ffi.string(name).decode() for name in names]
        dag._index = {name: i for i, name in enumerate(dag._nodes)}
        return dag

    @contextlib.contextmanager
    def _use(self) -> Generator[Any]:
        """Give the C graph to one thread at a time, and to none while it is being run."""
        pointer = self._c
        with self._lock:
            if self._running:
                raise InvalidError("this graph is being run: ask and change it before or after")
            yield pointer

    # ---- nodes and edges ------------------------------------------------------------------------

    def add(self, node: Any, *after: Any) -> None:
        """Add a node that comes after others, which are added too where they are new.

        Examples
        --------
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

    def add_edges(self, before: Any, after: Any = None) -> None:
        """Add many edges: `before[i]` comes before `after[i]`; new nodes are added.

        Parameters
        ----------
        before, after
            Two sequences of equal length; or one iterable of pairs (before, after).  Arrays of
            integers, numpy's or the standard library's, are handed over in bulk, and what is new in
            them becomes a node in ascending order.

        Examples
        --------
        >>> dag = Dag()
        >>> dag.add_edges([("a", "b"), ("b", "c")])
        >>> dag.order()
        ['a', 'b', 'c']
        """
        if after is None:
            if getattr(before, "ndim", 0) == 2 and before.shape[1] == 2:
                before, after = before[:, 0], before[:, 1]
            else:
                pairs = iterable(before, "edges")
                for pair in pairs:
                    if isinstance(pair, str | bytes) or not isinstance(pair, Sequence):
                        refuse(pair, "an edge", "a pair (before, after)")
                    if len(pair) != 2:
                        raise InvalidError(f"an edge is a pair (before, after), not {pair!r:.100}")
                before, after = [b for b, _ in pairs], [a for _, a in pairs]
        else:
            before = before if hasattr(before, "ndim") else iterable(before, "before")
            after = after if hasattr(after, "ndim") else iterable(after, "after")
        if len(before) != len(after):
            raise InvalidError(f"{len(before)} nodes before, {len(after)} after: give as many")
        if len(before) == 0:
            return
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(before, numpy.ndarray):
            ours = self._number_array(numpy, before), self._number_array(numpy, after)
        else:
            before, after = list(before), list(after)
            self._add([node for pair in zip(before, after, strict=True) for node in pair])
            ours = self._numbers(before), self._numbers(after)
        views = [ffi.from_buffer("uint32_t[]", array) for array in ours]
        with self._use() as c:
            call(lib.exia_dag_add_edges, c, *views, len(views[0]))

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

    def _numbers(self, nodes: list[Any]) -> Any:
        """Look up the numbers of nodes that are all there."""
        from array import array

        index = self._as_dict()
        return array("I", [index[node] for node in nodes])

    def _number_array(self, numpy: Any, values: Any) -> Any:
        """Look up the numbers of an array of integers, adding what is new."""
        values = numpy.asarray(values)
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise InvalidError(
                f"an array of edges holds integers in one dimension, not {values.dtype} in "
                f"{values.ndim}"
            )
        if isinstance(self._nodes, range):
            low, high = int(values.min()), int(values.max())
            if low >= 0 and high < len(self._nodes):
                return numpy.ascontiguousarray(values, numpy.uint32)
            if low >= 0 and high < len(self._nodes) + 4 * len(values) + 1024:
                seen = numpy.zeros(high + 1, bool)
                seen[values] = True
                if seen[len(self._nodes) :].all():
                    self._add_range(high + 1)
                    return numpy.ascontiguousarray(values, numpy.uint32)
        unique, inverse = numpy.unique(values, return_inverse=True)
        nodes = unique.tolist()
        self._add(nodes)
        index = self._as_dict()
        numbers = numpy.array([index[node] for node in nodes], numpy.uint32)
        return numpy.ascontiguousarray(numbers[inverse])

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._nodes)

    def __contains__(self, node: object) -> bool:
        return node in (self._nodes if self._index is None else self._index)

    def __repr__(self) -> str:
        return f"<exia.Dag of {len(self)} nodes>"

    # ---- answers --------------------------------------------------------------------------------

    def order(self) -> list[Any]:
        """List all nodes so that every edge points forward.

        Raises
        ------
        CycleError
            There is a cycle; `.cycle` holds it.
        """
        nodes, size = ffi.new("const uint32_t **"), ffi.new("size_t *")
        with self._use() as c:
            self._ask(c, lib.exia_dag_order, nodes, size, c)
            return self._named(nodes[0], size[0])

    def levels(self) -> list[list[Any]]:
        """Group the nodes: level i holds those whose longest way from a source has i edges.

        Raises
        ------
        CycleError
            There is a cycle; `.cycle` holds it.
        """
        return self._groups(lib.exia_dag_levels)

    def cycles(self) -> list[list[Any]]:
        """List the strongly connected groups of nodes; none: the graph is acyclic.

        Examples
        --------
        >>> Dag({"a": ["b"], "b": ["a"], "c": ["a"]}).cycles()
        [['a', 'b']]
        """
        return self._groups(lib.exia_dag_cycles)

    def export(self, format: str = "dot") -> str:
        """Write the graph as text.

        Parameters
        ----------
        format
            "dot" (Graphviz), "mermaid" or "json".
        """
        with self._use() as c:
            return self._export(c, format)

    @staticmethod
    def _export(c: Any, format: str) -> str:
        out = ffi.new("char **")
        call(lib.exia_dag_export, out, c, text(format, "format"))
        return take_text(out)

    def _groups(self, function: Callable[..., int]) -> list[list[Any]]:
        out = ffi.new("exia_groups *")
        with self._use() as c:
            self._ask(c, function, out, c)
            starts = ffi.unpack(out.starts, out.count + 1)
            nodes = self._named(out.nodes, starts[-1])
        return [nodes[a:b] for a, b in pairwise(starts)]

    def _named(self, numbers: Any, count: int) -> list[Any]:
        plain = ffi.unpack(numbers, count) if count else []
        return plain if self._index is None else [self._nodes[i] for i in plain]

    def _ask(self, c: Any, function: Callable[..., int], *arguments: Any) -> None:
        """Call; a cycle found is put into its error."""
        try:
            call(function, *arguments)
        except CycleError as error:
            error.cycle = cycle = [self._nodes[i] for i in self._find_cycle(c)]
            shown = [f"{node!r:.60}" for node in cycle[:SHOWN]] + ["..."] * (len(cycle) > SHOWN)
            error.args = (f"a cycle of {len(cycle)}: {' -> '.join([*shown, shown[0]])}",)
            raise

    def _find_cycle(self, c: Any) -> list[int]:
        """Find a short cycle through the first node that lies on one, breadth first."""
        groups = ffi.new("exia_groups *")
        call(lib.exia_dag_cycles, groups, c)
        first = groups.nodes[0]
        follow: dict[int, list[int]] = {}
        for before, after in json.loads(self._export(c, "json"))["edges"]:
            follow.setdefault(before, []).append(after)
        came_from: dict[int, int] = {}
        queue = deque([first])
        while first not in came_from:
            node = queue.popleft()
            for target in follow.get(node, ()):
                if target not in came_from:
                    came_from[target] = node
                    queue.append(target)
        cycle = [came_from[first]]
        while cycle[-1] != first:
            cycle.append(came_from[cycle[-1]])
        return cycle[::-1]

    # ---- work -----------------------------------------------------------------------------------

    def run(self, call: Callable[[Any], Any], threads: int = 1, *, check: bool = True) -> Report:
        """Call `call(node)` once a node, after all before it.

        A failure skips what comes after that node, and nothing else; the rest runs to its end.
        Ctrl-C lets what runs end and starts nothing more.

        Parameters
        ----------
        threads
            How many to run at a time; 1: all in this thread; 0: one a core.
        check
            Raise the first failure, the very exception that `call` raised.  False: read them from
            the report.

        Returns
        -------
        Report
            A row a node, with the results and the exceptions.

        Examples
        --------
        >>> Dag({"b": ["a"]}).run(str.upper).results
        {'a': 'A', 'b': 'B'}
        """
        threads = integer(threads, "threads", 0, 2**32 - 1)
        flag(check, "check")
        if not callable(call):
            refuse(call, "call", "callable")
        with self._use() as c:
            self._running = True
        out = ffi.new("exia_rows **")
        try:
            with Job(threads, unit="") as job:
                run = _Run(self._nodes, call, job)
                handle = ffi.new_handle(run)
                status = lib.exia_dag_run(out, c, lib.on_task, handle, job.c, thread.err)
                error = failure(status) if status < 0 else None
        finally:
            self._running = False
        report = Report(take_rows(out))
        report._fill(self._nodes, run)
        if isinstance(error, CycleError):
            self.order()  # raises it with the cycle
        if job.stop is not None:
            error = job.stop
        elif run.errors:
            error = next(iter(run.errors.values())) if check else None
        try:
            if error is not None:
                raise error
            return report
        finally:
            del error, run, job, handle, report  # or the traceback would hold itself


class Report(Rows):
    """What a run did.

    Rows of {node, name, state, queued_ns, started_ns, ended_ns, attempts, error, worker}.

    Attributes
    ----------
    results : dict
        Node -> what the call answered.
    errors : dict
        Node -> the exception that the call raised, first failure first.
    """

    __slots__ = ("errors", "results")
    results: dict[Any, Any]
    errors: dict[Any, BaseException]

    def _fill(self, nodes: Sequence[Any], run: _Run) -> None:
        self.results, self.errors = run.results, run.errors
        for row in self:
            node = nodes[row["node"]]
            row.update(node=node, name=str(node))


class _Run:
    """What the workers of one run share."""

    def __init__(self, nodes: Sequence[Any], call: Callable[[Any], Any], job: Job) -> None:
        self.nodes = nodes
        self.call = call
        self.job = job
        self.results: dict[Any, Any] = {}
        self.errors: dict[Any, BaseException] = {}


@callback(lib.EXIA_EUSER)
def on_task(number: int, payload: Any, err: Any) -> int:
    """Do the work of one node."""
    run: _Run = ffi.from_handle(payload)
    if run.job.stop is not None:
        return int(lib.EXIA_ECANCELLED)
    node = run.nodes[number]
    try:
        run.results[node] = run.call(node)
    except BaseException as error:
        if not isinstance(error, Exception):
            run.job.stop = error  # Ctrl-C: the next report ends the run
        elif hasattr(error, "add_note"):
            error.add_note(f"in node {node!r} of the graph")
        run.errors[node] = error
        describe(error, err)
        return int(lib.EXIA_EUSER)
    finally:
        del run  # which holds the error, whose traceback holds this frame
    return 0


def _name(node: Any) -> Any:
    """Name a node for the library's texts; NULL: its number must do."""
    shown = node if isinstance(node, str) else repr(node)
    if not shown or "\0" in shown or len(shown) > 200:
        return NULL
    try:
        return ffi.new("char[]", shown.encode())
    except UnicodeEncodeError:
        return NULL
