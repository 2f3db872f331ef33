"""The run of a graph: what the workers share, and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from exia._handle import callback, describe
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows


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
            row.update(node=node, name=str(node))


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
