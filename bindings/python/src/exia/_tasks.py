"""The tasks of a run: what is called at each node, with what and where, and what came of it.

A result that is handed on lies in a box.  Those who wait for it hold the box, each until it is done
itself, so that Python's own counting lets a result go with the last of them.

No frame of a traceback may hold the tasks, which hold the errors: a run that failed would be kept
by its own exception until the garbage collector comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from exia._arguments import refuse
from exia._handle import NULL, callback, describe, thread
from exia._native import ffi, lib
from exia._progress import Job

Tell = Callable[[list[Any], bool], Any]


class Results:
    """What the tasks answered: kept for the report, handed on, or let go.

    Parameters
    ----------
    edges
        Pairs of numbers (before, after), whose results are handed on in this order.
    keep
        The numbers of the nodes whose results the report has; None: all.
    """

    def __init__(
        self, nodes: Sequence[Any], edges: Iterable[tuple[int, int]], keep: set[int] | None
    ) -> None:
        self.kept: dict[Any, Any] = {}
        self._nodes = nodes
        self._keep = keep
        self._boxes: dict[int, list[Any]] = {}  # of those who are to fill them
        self._given: dict[int, dict[int, list[Any]]] = {}  # a box for each node before
        for before, after in edges:
            self._given.setdefault(after, {})[before] = self._boxes.setdefault(before, [])

    def before(self, number: int) -> list[Any]:
        """List the results of the nodes that this one comes directly after."""
        return [box[0] for box in self._given.get(number, {}).values()]

    def put(self, number: int, result: Any) -> None:
        """Take the result of a node, which needs those before it no more."""
        if self._keep is None or number in self._keep:
            self.kept[self._nodes[number]] = result
        box = self._boxes.pop(number, None)
        if box is not None:
            box.append(result)
        self._given.pop(number, None)


class Tasks:
    """Tasks that are called in the threads of the run.

    Parameters
    ----------
    c
        The graph.
    work
        What to call at each node, given the node; or a function a node, given no node.
    tell
        Whom to tell what is out.
    """

    broken = False  # where they are handed to

    def __init__(
        self,
        c: Any,
        nodes: Sequence[Any],
        work: Callable[..., Any] | list[Callable[..., Any]],
        results: Results,
        job: Job,
        tell: Tell | None,
    ) -> None:
        self._c = c
        self.nodes = nodes
        self._work = work
        self.results = results
        self._job = job
        self.tell = tell
        self.errors: dict[Any, BaseException] = {}

    def task(self, number: int) -> tuple[Any, ...]:
        """Answer with what to call at a node, and its arguments."""
        before = self.results.before(number)
        if isinstance(self._work, list):
            return self._work[number], *before
        return self._work, self.nodes[number], *before

    def succeeded(self, number: int, result: Any) -> None:
        """Take what the task of a node answered."""
        self.results.put(number, result)
        self.errors.pop(self.nodes[number], None)  # of an attempt before

    def failed(self, number: int, error: BaseException) -> None:
        """Take what the task of a node raised."""
        node = self.nodes[number]
        self.errors[node] = error
        if not isinstance(error, Exception):
            self.stop(error)  # such as Ctrl-C
        elif hasattr(error, "add_note"):
            error.add_note(f"in node {node!r} of the graph")

    def stop(self, error: BaseException) -> None:
        """End the run, which then raises this."""
        if self._job.stop is None:
            self._job.stop = error
        lib.exia_dag_cancel(self._c, NULL)

    def take_back(self) -> None:
        """Take back what is handed out, and not begun, as the run stops: here nothing."""


class Submitted(Tasks):
    """Tasks that are handed to an executor, and are over when their futures are."""

    def __init__(self, executor: Any, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.executor = executor
        self._futures: dict[int, Any] = {}

    def follow(self, number: int, future: Any) -> None:
        """Wait for a future."""
        if not callable(getattr(future, "add_done_callback", None)):
            refuse(future, "what executor.submit answers", "a future")
        self._futures[number] = future
        future.add_done_callback(partial(self._over, number))

    def _over(self, number: int, future: Any) -> None:
        why = ffi.new("exia_error *")
        try:
            if future.cancelled():
                why.status, why.text = lib.EXIA_ECANCELLED, b"its future was cancelled"
            elif (error := future.exception()) is not None:
                why.status = lib.EXIA_EUSER
                self.failed(number, error)
                self._see(error)
                describe(error, why)
            else:
                self.succeeded(number, future.result())
        except BaseException as error:  # a __repr__ or __hash__ that raises, say
            why.status = lib.EXIA_EUSER
            self.stop(error)
        finally:
            lib.exia_dag_end(self._c, number, why, NULL)
            if self._futures.get(number) is future:  # and not that of the next attempt
                del self._futures[number]

    def refused(self, error: BaseException) -> None:
        """Stop if an executor that took no task will never take one again."""
        self._see(error)
        if self.broken:
            lib.exia_dag_cancel(self._c, NULL)

    def _see(self, error: BaseException) -> None:
        from concurrent.futures import BrokenExecutor

        self.broken = self.broken or isinstance(error, BrokenExecutor)

    def take_back(self) -> None:
        """Cancel the futures that no worker has begun; their ends are told here.

        Ctrl-C may come in between, so it is looked at again whether they were.  A broken executor
        ends them itself, and stumbles over those that are cancelled.
        """
        if self.broken:
            return
        for number, future in list(self._futures.items()):
            future.cancel()
            if future.done() and number in self._futures:
                self._over(number, future)


def submit(executor: Any, task: tuple[Any, ...]) -> Any:
    """Hand a task to an executor.

    It may fork here: its process must not take the C frames below us for frames that go on.
    """
    inside, thread.inside = thread.inside, 0
    try:
        return executor.submit(*task)
    finally:
        thread.inside = inside


@callback(lib.EXIA_EUSER)
def on_task(number: int, payload: Any, err: Any) -> int:
    """Do the work of one node, or have it done."""
    tasks: Tasks = ffi.from_handle(payload)
    try:
        task = tasks.task(number)
        if isinstance(tasks, Submitted):
            tasks.follow(number, submit(tasks.executor, task))
        else:
            tasks.succeeded(number, task[0](*task[1:]))
    except BaseException as error:
        tasks.failed(number, error)
        if isinstance(tasks, Submitted):
            tasks.refused(error)
        describe(error, err)
        return int(lib.EXIA_EUSER)
    finally:
        del tasks  # which holds the error, whose traceback holds this frame
    return 0


@callback()
def on_out(numbers: Any, count: int, stops: int, payload: Any) -> None:
    """Tell what is out."""
    tasks: Tasks = ffi.from_handle(payload)
    try:
        if stops:
            tasks.take_back()
        if tasks.tell is not None:
            tasks.tell([tasks.nodes[numbers[i]] for i in range(count)], bool(stops))
    except BaseException as error:
        tasks.stop(error)
    finally:
        del tasks
