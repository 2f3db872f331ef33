"""A run whose tasks an executor does: the same answers, and what can go wrong out there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor as Threads
from typing import Any

import pytest

import exia


class Here(Executor):
    """Has only submit, and does it at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Kept(Executor):
    """Does nothing until it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, Future[Any]]] = []
        self.came = threading.Semaphore(0)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given.append((args[0], Future()))
        self.came.release()
        return self.given[-1][1]


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2) as executor:
        yield executor


def states(report: exia.dag.Report) -> dict[Any, str]:
    return {row["node"]: row["state"] for row in report}


def pair(node: str, *before: Any) -> tuple[Any, ...]:
    return node, before


def work(node: str, *_: Any) -> Any:
    """Do what the node's name says, in another process."""
    if node == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if node == "leaves":
        raise SystemExit(7)
    if node == "opaque":
        return threading.Lock()
    return node


@pytest.mark.parametrize("executor", ["here", "threads", "processes"])
def test_every_executor_gives_the_same_report(executor: str, processes: Executor) -> None:
    dag = exia.Dag({"c": ["b", "a"], "d": ["c"]})
    with {"here": Here(), "threads": Threads(2)}.get(executor) or ProcessPoolExecutor(1) as own:
        report = dag.run(pair, executor=own, results=True, keep=True)
    a, b = ("a", ()), ("b", ())
    c = ("c", (b, a))
    assert report.results == {"a": a, "b": b, "c": c, "d": ("d", (c,))}
    assert report.errors == {}
    for row, plain in zip(report, dag.run(pair, results=True), strict=True):
        assert {**row, "queued_ns": 0, "started_ns": 0, "ended_ns": 0} == {
            **plain, "queued_ns": 0, "started_ns": 0, "ended_ns": 0
        }  # fmt: skip
        assert 0 <= row["queued_ns"] <= row["started_ns"] <= row["ended_ns"]


def test_no_thread_is_started_for_an_executor() -> None:
    def which(node: int) -> threading.Thread:
        return threading.current_thread()

    dag = exia.Dag()
    dag.add_nodes(5)
    assert set(dag.run(which, 4, executor=Here()).results.values()) == {threading.current_thread()}


@pytest.mark.parametrize("pool", [Here, lambda: Threads(2)])
def test_the_options_are_the_same(pool: Callable[[], Executor]) -> None:
    ran: list[str] = []

    def work(node: str) -> str:
        ran.append(node)
        if node == "x" and ran.count("x") < 3:
            raise OSError(node)
        return node

    dag = exia.Dag()
    dag.add_nodes([*"abcx"])
    with pool() as executor:
        report = dag.run(
            work,
            1,
            executor=executor,
            priority="given",
            weights={"c": 3, "x": 2, "b": 1},
            retries=2,
            retry_wait=0.001,
        )
        assert ran[:2] == ["c", "x"]
        assert {row["node"]: row["attempts"] for row in report} == {"a": 1, "b": 1, "c": 1, "x": 3}
        assert report.errors == {}
        ran.clear()
        report = dag.run(work, 1, executor=executor, stop=True, check=False, priority="given",
                         weights={"x": 2})  # fmt: skip
        assert states(report) == {
            "a": "cancelled",
            "b": "cancelled",
            "c": "cancelled",
            "x": "failed",
        }
        ran.clear()
        with pytest.raises(OSError, match="x"):
            dag.run(work, executor=executor)


def test_no_more_are_handed_out_than_threads_and_resources_allow() -> None:
    dag = exia.Dag()
    dag.add_nodes(6)
    for options, most in (
        ({"threads": 4}, 4),
        ({}, 6),
        ({"resources": {"gpu": 2}, "uses": lambda node: "gpu"}, 2),
    ):
        kept, at_once = Kept(), []

        def finish(kept: Kept = kept, most: int = most, at_once: list[int] = at_once) -> None:
            for i in range(6):
                for _ in range(most if i == 0 else i + most <= 6):
                    kept.came.acquire()
                at_once.append(len(kept.given) - i)
                kept.given[i][1].set_result(i)

        helper = threading.Thread(target=finish)
        helper.start()
        report = dag.run(print, executor=kept, **options)
        helper.join()
        assert max(at_once) == most
        assert report.results == {i: i for i in range(6)}


def test_what_cannot_be_pickled_fails_alone(processes: Executor) -> None:
    dag = exia.Dag({"after": ["lambda"], "opaque": [], "fine": []})
    functions = {
        "lambda": lambda: 1,
        "after": list,
        "opaque": threading.Lock,
        "fine": list,
    }
    report = dag.run(functions, executor=processes, check=False)
    assert states(report) == {
        "lambda": "failed", "after": "skipped", "opaque": "failed", "fine": "done"
    }  # fmt: skip
    for node in ("lambda", "opaque"):
        assert "pickle" in str(report.errors[node])
        assert f"in node {node!r} of the graph" in report.errors[node].__notes__
    assert report.results == {"fine": []}
    assert exia.Dag({"b": ["a"]}).run(pair, executor=processes).results["b"] == ("b", ())


def test_a_killed_worker_ends_the_run_with_a_clear_error() -> None:
    dag = exia.Dag({"killed": ["first"], "after": ["killed"]})
    dag.add_nodes([str(i) for i in range(50)])
    dag.add_edges([("first", str(i)) for i in range(50)])
    for check in (False, True):
        with ProcessPoolExecutor(1) as executor:
            options: dict[str, Any] = {
                "executor": executor, "retries": 3, "priority": "given", "weights": {"killed": 1}
            }  # fmt: skip
            if check:
                with pytest.raises(BrokenExecutor) as caught:
                    dag.run(work, 1, **options)
                assert any("in node" in note for note in caught.value.__notes__)
                continue
            report = dag.run(work, 1, check=False, **options)
            assert states(report)["first"] == "done"
            assert states(report)["after"] in ("skipped", "cancelled")
            assert "cancelled" in states(report).values()
            assert report.errors
            assert all(isinstance(e, BrokenExecutor) for e in report.errors.values())
    assert dag.order()


def test_a_future_that_somebody_cancels_is_a_cancelled_task() -> None:
    kept = Kept()

    def meddle() -> None:
        for _ in range(2):
            kept.came.acquire()
        for node, future in kept.given:
            future.cancel() if node == "a" else future.set_result(node)

    dag = exia.Dag({"after": ["a"], "b": []})
    for check in (False, True):
        kept.given.clear()
        helper = threading.Thread(target=meddle)
        helper.start()
        if check:
            with pytest.raises(exia.CancelledError, match="its future was cancelled"):
                dag.run(pair, executor=kept)
        else:
            report = dag.run(pair, executor=kept, check=False, retries=3)
            assert states(report) == {"a": "cancelled", "after": "skipped", "b": "done"}
        helper.join()


def test_a_cancelled_run_takes_back_what_nobody_has_begun() -> None:
    dag = exia.Dag({100: range(100)})
    begun = []

    def work(node: int) -> None:
        begun.append(node)
        dag.cancel()
        taken_back.wait(60)

    def out(nodes: list[int], stops: bool) -> None:
        if stops:
            taken_back.set()

    taken_back = threading.Event()
    with Threads(1) as executor:
        report = dag.run(work, executor=executor, check=False, out=out)
        assert begun == [0]
        assert states(report) == {0: "done"} | dict.fromkeys(range(1, 101), "cancelled")
        taken_back.clear()
        with pytest.raises(exia.CancelledError):
            dag.run(work, executor=executor, out=out)


def test_ctrl_c_lets_end_what_runs_and_takes_back_the_rest(ctrl_c: Callable[[], None]) -> None:
    dag = exia.Dag()
    dag.add_nodes(100)
    submitted, stopped = threading.Event(), threading.Event()
    ended = []

    def work(node: int) -> None:
        submitted.wait(60)
        ctrl_c()
        stopped.wait(60)
        ended.append(node)

    def out(nodes: list[int], stops: bool) -> None:
        if len(nodes) == 100:
            submitted.set()
        if stops:
            stopped.set()

    with Threads(1) as executor, pytest.raises(KeyboardInterrupt):
        dag.run(work, executor=executor, out=out)
    assert ended == [0]
    assert len(dag.order()) == 100


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt("mine"), GeneratorExit()])
@pytest.mark.parametrize("where", ["here", "threads", "executor"])
def test_what_is_no_mere_error_in_a_task_ends_the_run(where: str, raised: BaseException) -> None:
    ran = []

    def work(node: int) -> None:
        ran.append(node)
        raise raised

    dag = exia.Dag({i + 1: [i] for i in range(9)})
    with Threads(1) as executor:
        how = {"here": {}, "threads": {"threads": 2}, "executor": {"executor": executor}}[where]
        for check in (True, False):
            ran.clear()
            with pytest.raises(type(raised)) as caught:
                dag.run(work, check=check, retries=2, **how)
            assert caught.value is raised
            assert ran == [0]
    assert dag.run(lambda node: node).results[9] == 9


def test_a_process_that_leaves_by_system_exit_ends_the_run(processes: Executor) -> None:
    with pytest.raises(SystemExit, match="7"):
        exia.Dag({"b": ["leaves"]}).run(work, executor=processes, check=False)


def test_a_task_can_neither_change_nor_run_its_graph() -> None:
    dag = exia.Dag({"b": ["a"]})
    misuses: list[Callable[[], Any]] = [
        lambda: dag.add("c", "a"),
        lambda: dag.run(print),
        dag.order,
    ]
    with Threads(2) as executor:
        for misuse in misuses:
            for on in (executor, Here()):
                with pytest.raises(exia.InvalidError, match="being run"):
                    dag.run(lambda node, misuse=misuse: misuse(), executor=on)
                assert dag.edges() == [("a", "b")]
        other = exia.Dag({"y": ["x"]})
        assert dag.run(lambda node: other.run(str.upper).results["y"], executor=Here()).results == {
            "a": "Y",
            "b": "Y",
        }


def test_an_executor_that_takes_nothing_fails_each_task() -> None:
    closed = Threads(1)
    closed.shutdown()
    dag = exia.Dag({"c": ["a"], "b": []})
    report = dag.run(pair, executor=closed, check=False)
    assert states(report) == {"a": "failed", "b": "failed", "c": "skipped"}
    with pytest.raises(RuntimeError, match="after shutdown"):
        dag.run(pair, executor=closed)


def test_what_is_no_executor_is_refused() -> None:
    class Wrong:
        def submit(self, fn: Any, *args: Any) -> Any:
            return fn(*args)

    dag = exia.Dag({"b": ["a"]})
    with pytest.raises(TypeError, match=r"executor must be a concurrent.futures.Executor, not int"):
        dag.run(pair, executor=2)
    with pytest.raises(
        TypeError, match=r"what executor.submit answers must be a future, not tuple"
    ):
        dag.run(pair, executor=Wrong())
    with pytest.raises(exia.CycleError):
        exia.Dag({"a": ["b"], "b": ["a"]}).run(pair, executor=Here())
    assert exia.Dag().run(pair, executor=Here()) == []
