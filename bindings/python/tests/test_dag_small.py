"""Small questions and changes between numbers go a short way: it says what the long one says."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

import exia


def said(ask: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except Exception as error:
        return type(error), str(error), getattr(error, "cycle", None)


def pair_of(nodes: int, keeps: bool) -> tuple[exia.Dag, exia.Dag]:
    """Make two graphs of the same nodes; one of them has had another, and goes the long way."""
    small, large = exia.Dag(), exia.Dag()
    small.add_nodes(nodes)
    large.add_nodes([*range(nodes), "gone"])
    large.remove_nodes(["gone"])
    if keeps:
        small.keep_order()
        large.keep_order()
    return small, large


@pytest.mark.parametrize("seed", range(200))
def test_the_short_way_answers_as_the_long_one_does(seed: int) -> None:
    rng = random.Random(seed)
    nodes = rng.randrange(1, 12)
    small, large = pair_of(nodes, keeps=seed % 3 > 0)
    odd = [True, -1, nodes + 5, 2**70, 1.0, "0", None, [1]]
    for _ in range(12):
        count = rng.randrange(4)
        ends = [
            [rng.choice([*range(nodes)] * 9 + odd) for _ in range(count)] for end in ("from", "to")
        ]
        given: tuple[Any, ...] = (*ends,) if rng.random() < 0.5 else ([*zip(*ends, strict=True)],)
        was = small.edges()
        answer = said(small.add_edges, *given)
        assert answer == said(large.add_edges, *given)
        assert small.edges() == large.edges()
        if answer is not None:
            assert small.edges() == was
        a, b = rng.choice([*range(nodes), *odd]), rng.choice(range(nodes))
        for question in ("descendants", "ancestors", "path"):
            answers = [said(getattr(dag, question), a, b) for dag in (small, large)]
            assert answers[0] == answers[1]


def test_a_refused_edge_names_a_cycle_of_edges_that_are_there() -> None:
    dag = exia.Dag()
    dag.add_edges([(i, i + 1) for i in range(99)])
    dag.keep_order()
    with pytest.raises(exia.CycleError) as caught:
        dag.add_edges([98], [3])
    error = caught.value
    assert error.cycle == [*range(3, 99)]
    dag.remove_nodes([5])  # the error stays as it was
    text = "this would close a cycle of 96: 3 -> 4 -> 5 -> 6 -> 7 -> 8 -> 9 -> 10 -> 11 -> 12 -> "
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(one) == text + "... -> 3"
        assert one.args[1] == [*range(3, 99), 3]
        assert one.status == exia.CycleError.status


@pytest.mark.parametrize("edges", [1, 15, 16, 17, 40])
def test_a_refused_batch_adds_nothing_whatever_its_size(edges: int) -> None:
    dag = exia.Dag()
    dag.add_nodes(100)
    order = dag.keep_order()
    ring = [*range(99, 99 - edges, -1)]
    with pytest.raises(exia.CycleError) as caught:
        dag.add_edges(ring, ring[1:] + ring[:1])
    assert sorted(caught.value.cycle) == sorted(ring)
    assert dag.edges() == []
    assert dag.keep_order() == order


@pytest.mark.parametrize(
    "ask",
    [
        lambda dag: dag.descendants(0),
        lambda dag: dag.ancestors(0),
        lambda dag: dag.path(0, 1),
        lambda dag: dag.add_edges([0], [1]),
    ],
)
def test_what_is_closed_or_being_run_is_not_asked_the_short_way(
    ask: Callable[[exia.Dag], Any],
) -> None:
    dag = exia.Dag()
    dag.add_nodes(2)
    refused: list[BaseException] = []

    def work(node: int) -> None:
        try:
            ask(dag)
        except exia.InvalidError as error:
            refused.append(error)

    dag.run(work, threads=2)
    assert len(refused) == 2
    assert all("being run" in str(error) for error in refused)
    ask(dag)
    dag.close()
    with pytest.raises(exia.ClosedError):
        ask(dag)


def test_threads_that_ask_and_change_take_turns() -> None:
    dag = exia.Dag()
    dag.add_nodes(400)
    dag.keep_order()
    failed: list[BaseException] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(300):
                a, b = sorted(rng.sample(range(400), 2))
                dag.add_edges([a], [b])
                assert b in dag.descendants(a)
                assert a in dag.ancestors(b)
                assert dag.path(a, b) == [a, b]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(dag.edges()) == 1200


@pytest.mark.parametrize(
    "keys",
    [
        [2**63 - 1, -(2**63), 0, -1, 0, 2**62],
        [2**63, -1, 5, -(2**64)],
        [True, 0, 1, False, -1],
        [0.5, 0, -1, 1e300],
        ["", "b", "a", "a\0", "a", "ab", "zzzzzzzz", "é"],
        ["zzzzzzzz", "zzzzzzzzz", "zzzzzzz", "\U0001f600" * 2, "\uffff" * 2],
    ],
)
def test_keys_are_compared_as_python_does(keys: list[Any]) -> None:
    dag = exia.Dag()
    dag.add_nodes(len(keys))
    assert dag.order(key=keys.__getitem__) == sorted(range(len(keys)), key=keys.__getitem__)
