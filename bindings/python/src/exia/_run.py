"""The run of a graph: how it shall go, from beginning to end, and the report."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from exia._arguments import flag, integer, iterable, mapping, refuse, seconds, text
from exia._graph import Graph
from exia._handle import call as ask
from exia._handle import failure, thread
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, take_rows
from exia._tasks import Results, Submitted, Tasks, Tell
from exia.errors import CallbackError, CancelledError, CycleError, InvalidError, NotFoundError

NO_RESOURCE = 2**32 - 1  # EXIA_DAG_NO_RESOURCE, which is a macro


class Report(Rows):
    """What a run did.

    Rows of {node, name, state, queued_ns, started_ns, ended_ns, attempts, error, worker}.

    Attributes
    ----------
    results : dict
        Node -> what the call answered, where it was kept.
    errors : dict
        Node -> the exception that the call raised, first failure first.
    """

    __slots__ = ("errors", "results")
    results: dict[Any, Any]
    errors: dict[Any, BaseException]

    def _fill(self, nodes: Sequence[Any], tasks: Tasks) -> None:
        self.results, self.errors = tasks.results.kept, tasks.errors
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
        self.weight_count: int | None = None
        self._kept: list[Any] = []  # what the struct points to
        limits = mapping({} if resources is None else resources, "resources")
        if limits:
            self._limit(limits)
        if uses is not None:
            self._use(list(nodes), list(limits), uses)

    def weigh(self, weights: array[float] | None) -> None:
        """Set the weights of the nodes."""
        if weights is not None:
            self.weight_count = len(weights)
            self._kept.append(ffi.from_buffer("double[]", weights))
            self.c.weights = self._kept[-1]

    def retry(self, retries: int, wait: float, most: float) -> None:
        """Set how often to try again, and when."""
        self.c.retries = integer(retries, "retries", 0, 2**32 - 1)
        self.c.retry_ms = round(seconds(wait, "retry_wait") * 1000)
        self.c.retry_most_ms = max(1, round(seconds(most, "retry_most") * 1000))

    def tell(self, told: Any) -> None:
        """Set whom to tell what is out."""
        self.c.out, self.c.payload = lib.on_out, told

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
        self._kept.append(ffi.from_buffer("uint32_t[]", used))
        self.c.uses = self._kept[-1]


class Runnable(Graph):
    """A graph that can be run."""

    __slots__ = ()

    def run(
        self,
        call: Callable[..., Any] | Mapping[Any, Callable[..., Any]],
        threads: int | None = None,
        *,
        executor: Any = None,
        results: bool | None = None,
        keep: bool | Iterable[Any] | None = None,
        check: bool = True,
        stop: bool = False,
        priority: str | None = None,
        weights: Any = None,
        retries: int = 0,
        retry_wait: float = 0,
        retry_most: float = 60,
        resources: Mapping[str, int] | None = None,
        uses: Any = None,
        out: Tell | None = None,
    ) -> Report:
        """Call `call(node)` once a node, after all before it.

        A failure skips what comes after that node, and nothing else; the rest runs to its end.
        Ctrl-C lets what runs end and starts nothing more; so does `cancel`.

        Parameters
        ----------
        call
            A function of the node; or node -> a function of its own for each node, which is given
            the results of the nodes that its node comes directly after.
        threads
            How many to run at a time; 1, as without it: all in this thread; 0: one a core.  With an
            executor, how many it is given at a time; without it all that are ready, so that
            `priority` decides only between those that became ready together.
        executor
            Runs the tasks: any concurrent.futures.Executor.  A task counts as started when it is
            submitted, and what a cancelled run has in the executor's queue is taken back.  A pool
            of processes pickles what is called, its arguments and its result.
        results
            `call(node, *results)`: hand on what the nodes directly before it answered, in the order
            in which their edges were added.  With a function a node it is so unless this is False.
        keep
            Which results the report has: True, all; False, none; or those of some nodes.  None:
            all, or if results are handed on those of the nodes that nothing comes after.  Any other
            result is let go when the last node that it is handed to is done.
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
        out
            `out(nodes, stops)` is called here about ten times a second, with the nodes whose tasks
            have begun and not ended, and whether nothing more will be started.  Not where all runs
            in this thread.

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
        >>> dag = Dag({"b": ["a"]})
        >>> dag.run(str.upper).results
        {'a': 'A', 'b': 'B'}
        >>> dag.run({"a": lambda: 20, "b": lambda a: a + 1}).results
        {'b': 21}
        """
        flag(check, "check")
        if out is not None and not callable(out):
            refuse(out, "out", "callable")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            refuse(executor, "executor", "a concurrent.futures.Executor")
        changes, nodes = self._changes, list(self._nodes)
        least = 1 if executor is None else max(1, len(nodes))
        threads = least if threads is None else integer(threads, "threads", 0, 2**32 - 1)
        options = Options(nodes, stop, priority, resources, uses)
        options.weigh(weights_of(weights, lambda: ((node,) for node in nodes), "weights"))
        options.retry(retries, retry_wait, retry_most)
        work = self._work(nodes, call)
        passed = isinstance(work, list) if results is None else flag(results, "results")
        with self._use() as c:
            self._check_same(changes)
            if options.weight_count is not None:
                self._check_unchanged(options.weight_count, len(nodes))
            found = self._results(passed, keep)
            self._running = True
        rows = ffi.new("exia_rows **")
        try:
            with Job(threads, unit="") as job:
                arguments = c, self._nodes, work, found, job, out
                tasks = Tasks(*arguments) if executor is None else Submitted(executor, *arguments)
                status = self._do(rows, c, tasks, options, job)
                error = failure(status) if status < 0 else thread.parked
                thread.parked = None
        finally:
            self._running = False
        report = Report(take_rows(rows))
        report._fill(self._nodes, tasks)
        if isinstance(error, CycleError):
            with self._use() as c:
                error = CycleError.of("a cycle", self._cycle_shown(c))
        error = raised(error, tasks, job, check)
        try:
            if error is not None:
                raise error
            return report
        finally:
            del error, tasks, arguments, found, job, report  # or the traceback would hold itself

    def _work(self, nodes: list[Any], call: Any) -> Callable[..., Any] | list[Callable[..., Any]]:
        """See to what is to be called: one function, or one a node."""
        if callable(call):
            function: Callable[..., Any] = call
            return function
        if not isinstance(call, Mapping):
            refuse(call, "call", "callable, or a mapping from nodes to callables")
        for node in call:
            self._number(node)
        work = []
        for node in nodes:
            if node not in call:
                raise NotFoundError(f"call has no function for node {node!r:.100}")
            if not callable(call[node]):
                refuse(call[node], f"call[{node!r:.100}]", "callable")
            work.append(call[node])
        return work

    def _results(self, passed: bool, keep: Any) -> Results:
        """Make room for results."""
        edges = self._edges_by_number() if passed else []
        if keep is None and passed:
            kept = set(range(len(self._nodes))).difference(before for before, _ in edges)
        elif keep is None or keep is True:
            return Results(self._nodes, edges, None)
        else:
            kept = set(self._numbers([] if keep is False else iterable(keep, "keep")))
        return Results(self._nodes, edges, kept)

    def _edges_by_number(self) -> list[tuple[int, int]]:
        before, after = ffi.new("const uint32_t **"), ffi.new("const uint32_t **")
        size = ffi.new("size_t *")
        with self._use() as c:
            ask(lib.exia_dag_edges, before, after, size, c)
            if not size[0]:
                return []
            return list(zip(*(ffi.unpack(end[0], size[0]) for end in (before, after)), strict=True))

    @staticmethod
    def _do(rows: Any, c: Any, tasks: Tasks, options: Options, job: Job) -> int:
        """Run."""
        handle = ffi.new_handle(tasks)
        if isinstance(tasks, Submitted):
            options.c.ends = lib.EXIA_DAG_APART
        if isinstance(tasks, Submitted) or tasks.tell is not None:
            options.tell(handle)
        status = lib.exia_dag_run_with(rows, c, lib.on_task, handle, options.c, job.c, thread.err)
        del handle, tasks  # the frames of an error in a task begin with this one
        return int(status)

    def cancel(self) -> None:
        """Ask the run of this graph to stop, from another thread or from a node's call.

        Nothing more is started; the run returns when what was started has returned.

        Raises
        ------
        NotFoundError
            It is not being run.
        """
        ask(lib.exia_dag_cancel, self._c)


def raised(
    error: BaseException | None, tasks: Tasks, job: Job, check: bool
) -> BaseException | None:
    """Choose what a run raises, of what C says, what its tasks raised and who stopped it."""
    if job.stop is not None:
        return job.stop
    if isinstance(error, CancelledError) and not tasks.broken:
        return error if check else None
    if isinstance(error, CallbackError) or (tasks.errors and isinstance(error, Exception)):
        return next(iter(tasks.errors.values()), error) if check else None
    return error


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
