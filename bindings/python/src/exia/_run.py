"""The run of a graph: how it shall go, what the workers share, and the report."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from exia._arguments import flag, integer, mapping, refuse, seconds, text
from exia._graph import Graph, tell
from exia._handle import call as ask
from exia._handle import callback, describe, failure, thread
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, take_rows
from exia.errors import CancelledError, CycleError, InvalidError

NO_RESOURCE = 2**32 - 1  # EXIA_DAG_NO_RESOURCE, which is a macro


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

    def _fill(self, nodes: Sequence[Any], run: Run) -> None:
        self.results, self.errors = run.results, run.errors
        for row in self:
            node = nodes[row["node"]]
            try:
                name = str(node)
            except Exception:  # what was done is told all the same
                name = object.__repr__(node)
            row.update(node=node, name=name)


class Options:
    """How a run shall go, for C."""

    def __init__(
        self,
        nodes: Sequence[Any],
        stop: bool,
        priority: str | None,
        resources: Mapping[str, int] | None,
        uses: Any,
    ) -> None:
        self.c = ffi.new("exia_dag_run_options *")
        self.c.struct_size = ffi.sizeof("exia_dag_run_options")
        self.c.on_failure = lib.EXIA_DAG_STOP if flag(stop, "stop") else 0
        priorities = {None: 0, "critical": lib.EXIA_DAG_CRITICAL, "given": lib.EXIA_DAG_GIVEN}
        if priority not in priorities:
            raise InvalidError(f'priority is "critical", "given" or None, not {priority!r:.80}')
        self.c.priority = priorities[priority]
        self.counts: list[int] = []  # how many nodes there are to be
        self._kept: list[Any] = []  # what the struct points to
        limits = mapping({} if resources is None else resources, "resources")
        if limits:
            self._limit(limits)
        if uses is not None:
            self._use(list(nodes), list(limits), uses)

    def weigh(self, weights: array[float] | None) -> None:
        """Set the weights of the nodes."""
        if weights is not None:
            self.counts.append(len(weights))
            self._kept.append(ffi.from_buffer("double[]", weights))
            self.c.weights = self._kept[-1]

    def retry(self, retries: int, wait: float, most: float) -> None:
        """Set how often to try again, and when."""
        self.c.retries = integer(retries, "retries", 0, 2**32 - 1)
        self.c.retry_ms = round(seconds(wait, "retry_wait") * 1000)
        self.c.retry_most_ms = max(1, round(seconds(most, "retry_most") * 1000))

    def _limit(self, limits: dict[str, Any]) -> None:
        found = ffi.new("exia_dag_resource[]", len(limits))
        for resource, (name, limit) in zip(found, limits.items(), strict=True):
            self._kept.append(ffi.new("char[]", text(name, "a resource")))
            resource.name = self._kept[-1]
            resource.limit = integer(limit, f"the limit of {name!r}", 1, 2**32 - 1)
        self._kept.append(found)
        self.c.resources, self.c.resource_count = found, len(limits)

    def _use(self, nodes: list[Any], names: list[str], uses: Any) -> None:
        if not callable(uses):
            uses = mapping(uses, "uses", texts=False).get
        index: dict[Any, int] = {None: NO_RESOURCE} | {name: i for i, name in enumerate(names)}
        used = array("I")
        for node in nodes:
            name = uses(node)
            if name not in index:
                raise InvalidError(f"{node!r:.80} uses {name!r:.80}, which is no resource")
            used.append(index[name])
        self.counts.append(len(used))
        self._kept.append(ffi.from_buffer("uint32_t[]", used))
        self.c.uses = self._kept[-1]


class Run:
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
    run: Run = ffi.from_handle(payload)
    if run.job.stop is not None:
        return int(lib.EXIA_ECANCELLED)
    node = run.nodes[number]
    try:
        run.results[node] = run.call(node)
        run.errors.pop(node, None)  # of an attempt before
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


class Runnable(Graph):
    """A graph that can be run."""

    __slots__ = ()

    def run(
        self,
        call: Callable[[Any], Any],
        threads: int = 1,
        *,
        check: bool = True,
        stop: bool = False,
        priority: str | None = None,
        weights: Any = None,
        retries: int = 0,
        retry_wait: float = 0,
        retry_most: float = 60,
        resources: Mapping[str, int] | None = None,
        uses: Any = None,
    ) -> Report:
        """Call `call(node)` once a node, after all before it.

        A failure skips what comes after that node, and nothing else; the rest runs to its end.
        Ctrl-C lets what runs end and starts nothing more; so does `cancel`.

        Parameters
        ----------
        threads
            How many to run at a time; 1: all in this thread; 0: one a core.
        check
            Raise the first failure, the very exception that `call` raised.  False: read them, and
            whether the run was cancelled, from the report.
        stop
            After a failure start nothing more.
        priority
            Which of the nodes that are ready goes first: "critical", the one with the longest way
            before it, by `weights` (each 1 without them); "given", the one that weighs most.
        weights
            The weight of each node, as to `longest_path`.
        retries
            How often a node that failed is called again.
        retry_wait, retry_most
            The seconds before that, doubled each time, and the most; they hold up no thread.
        resources
            Name -> how many nodes may use it at the same time.
        uses
            What each node uses: a function of the node, or a mapping, to the name of a resource or
            None.

        Returns
        -------
        Report
            A row a node, with the results and the exceptions.

        Raises
        ------
        CancelledError
            It was cancelled.

        Examples
        --------
        >>> from exia import Dag
        >>> Dag({"b": ["a"]}).run(str.upper).results
        {'a': 'A', 'b': 'B'}
        """
        threads = integer(threads, "threads", 0, 2**32 - 1)
        flag(check, "check")
        if not callable(call):
            refuse(call, "call", "callable")
        nodes = list(self._nodes)
        options = Options(nodes, stop, priority, resources, uses)
        options.weigh(weights_of(weights, lambda: ((node,) for node in nodes), "weights"))
        options.retry(retries, retry_wait, retry_most)
        with self._use() as c:
            for given in options.counts:
                self._check_unchanged(given, len(self._nodes))
            self._running = True
        out = ffi.new("exia_rows **")
        try:
            with Job(threads, unit="") as job:
                run = Run(self._nodes, call, job)
                handle = ffi.new_handle(run)
                status = lib.exia_dag_run_with(
                    out, c, lib.on_task, handle, options.c, job.c, thread.err
                )
                error = failure(status) if status < 0 else None
        finally:
            self._running = False
        report = Report(take_rows(out))
        report._fill(self._nodes, run)
        if isinstance(error, CycleError):
            with self._use() as c:
                tell(error, "a cycle", self._a_cycle(c))
        cancelled = isinstance(error, CancelledError)
        if job.stop is not None:
            error = job.stop
        elif run.errors and not cancelled:
            error = next(iter(run.errors.values())) if check else None
        elif cancelled and not check:
            error = None
        try:
            if error is not None:
                raise error
            return report
        finally:
            del error, run, job, handle, report  # or the traceback would hold itself

    def cancel(self) -> None:
        """Ask the run of this graph to stop, from another thread or from a node's call.

        Nothing more is started; the run returns when what was started has returned.

        Raises
        ------
        NotFoundError
            It is not being run.
        """
        ask(lib.exia_dag_cancel, self._c)


def weights_of(weights: Any, items: Callable[[], Iterable[Any]], what: str) -> array[float] | None:
    """Make a function, a mapping or numbers the weights of all nodes or edges."""
    if weights is None:
        return None
    if isinstance(weights, Mapping):
        keys = (item[0] if len(item) == 1 else item for item in items())
        found: Iterable[Any] = (weights.get(key, 0) for key in keys)
    elif callable(weights):
        found = (weights(*item) for item in items())
    elif isinstance(weights, Iterable) and not isinstance(weights, str | bytes):
        found = weights
    else:
        refuse(weights, what, "a function, a mapping or numbers")
    return array("d", found)
