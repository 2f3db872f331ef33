"""How a run may go: priority, attempts, resources, stop, cancel."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

import exia


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"priority": "first"}, "'first'"),
        ({"retries": -1}, "retries"),
        ({"retries": 2**32}, "retries"),
        ({"retry_wait": float("nan")}, "retry_wait"),
        ({"resources": {"gpu": 0}}, "'gpu'"),
        ({"resources": {"gpu": 1}, "uses": {"a": "tpu"}}, "'a' uses 'tpu'"),
        ({"uses": {"a": "gpu"}}, "'a' uses 'gpu'"),
        ({"weights": [1.0], "priority": "critical"}, "1 values for 2"),
        ({"weights": [1.0, float("nan")], "priority": "given"}, "weight"),
        ({"weights": [1.0, -1.0], "priority": "critical"}, "weight"),
    ],
)
def test_bad_options_are_refused_and_nothing_runs(options: dict[str, Any], words: str) -> None:
    ran: list[str] = []
    dag = exia.Dag({"b": ["a"]})
    with pytest.raises(exia.InvalidError, match=words):
        dag.run(ran.append, **options)
    assert ran == []
    assert dag.order() == ["a", "b"]


def test_only_a_run_is_cancelled() -> None:
    with pytest.raises(exia.NotFoundError):
        exia.Dag({"b": ["a"]}).cancel()


def test_the_critical_path_or_what_weighs_most_goes_first() -> None:
    dag = exia.Dag()
    dag.add_nodes([*"abcd"])
    dag.add("e", "d")
    for options, first in (
        ({}, "a"),
        ({"priority": "critical"}, "d"),
        ({"priority": "critical", "weights": {"c": 9}}, "c"),
        ({"priority": "given", "weights": lambda node: node == "b"}, "b"),
    ):
        ran: list[str] = []
        dag.run(ran.append, **options)
        assert ran[0] == first
        assert sorted(ran) == list("abcde")


@pytest.mark.parametrize("threads", [1, 2])
def test_what_fails_is_called_again_and_its_last_attempt_counts(threads: int) -> None:
    calls: dict[str, int] = {}

    def work(node: str) -> int:
        calls[node] = calls.get(node, 0) + 1
        if node == "flaky" and calls[node] < 3:
            raise OSError(calls[node])
        if node == "bad":
            raise OSError(node)
        return calls[node]

    dag = exia.Dag({"after": ["flaky"], "never": ["bad"]})
    report = dag.run(work, threads, retries=2, retry_wait=0.001, check=False)
    assert calls == {"flaky": 3, "after": 1, "bad": 3}
    assert report.results == {"flaky": 3, "after": 1}
    assert list(report.errors) == ["bad"]
    rows = {row["node"]: row for row in report}
    assert rows["flaky"]["attempts"] == 3
    assert [rows[node]["state"] for node in ("flaky", "bad", "never")] == [
        "done",
        "failed",
        "skipped",
    ]
    with pytest.raises(OSError, match="bad"):
        dag.run(work, threads, retries=1)


def test_after_a_failure_nothing_more_is_started_if_so_wanted() -> None:
    ran: list[int] = []

    def work(node: int) -> None:
        ran.append(node)
        if node == 1:
            raise OSError

    dag = exia.Dag()
    dag.add_nodes(4)
    report = dag.run(work, stop=True, check=False)
    assert ran == [0, 1]
    assert [row["state"] for row in report] == ["done", "failed", "cancelled", "cancelled"]


def test_no_more_use_a_resource_than_it_allows() -> None:
    lock, at_once, most = threading.Lock(), 0, 0

    def work(node: int) -> None:
        nonlocal at_once, most
        if node % 2:
            with lock:
                at_once += 1
                most = max(most, at_once)
            threading.Event().wait(0.001)
            with lock:
                at_once -= 1

    dag = exia.Dag()
    dag.add_nodes(60)
    uses = dict.fromkeys(range(1, 60, 2), "gpu")
    for given in (uses, uses.get):
        dag.run(work, threads=6, resources={"disk": 9, "gpu": 2}, uses=given)
        assert 1 <= most <= 2


@pytest.mark.parametrize("threads", [1, 3])
def test_a_cancelled_run_ends_what_it_started_and_says_so(threads: int) -> None:
    dag = exia.Dag()
    dag.add_nodes(1000)
    ended: list[int] = []

    def work(node: int) -> None:
        if node == 0:
            canceller = threading.Thread(target=dag.cancel)
            canceller.start()
            canceller.join()
        ended.append(node)

    with pytest.raises(exia.CancelledError):
        dag.run(work, threads)
    ended.clear()
    report = dag.run(work, threads, check=False)
    states = [row["state"] for row in report]
    assert set(states) <= {"done", "cancelled"}
    assert states.count("done") == len(ended) == len(report.results)
    assert 0 in ended
    if threads == 1:
        assert ended == [0]


LEAVES = """
import ctypes, exia

def work(node):
    if node == "leaves":
        ctypes.CDLL(None).pthread_exit(None)
    return node

dag = exia.Dag({"after": ["leaves"], "c": ["b"], "b": ["a"]})
report = dag.run(work, 2, check=False)
print(*sorted((row["node"], row["state"]) for row in report))
print([row["error"] for row in report if row["node"] == "leaves"])
try:
    dag.run(work, 2)
except exia.CallbackError as error:
    print(error)
print(dag.run(lambda node: 1, 2).errors)
"""


def test_a_task_that_ends_its_thread_has_failed_and_the_rest_goes_on() -> None:
    command = [sys.executable, "-c", LEAVES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "('a', 'done') ('after', 'skipped') ('b', 'done') ('c', 'done') ('leaves', 'failed')",
        "['the task ended the thread that it ran in']",
        "node 'leaves': the task ended the thread that it ran in",
        "{}",
    ]
