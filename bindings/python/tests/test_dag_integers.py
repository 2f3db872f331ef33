"""Arrays of integers that are not 0 ... n - 1: each is a node, named by its decimal text."""

from __future__ import annotations

import sys

import pytest

import exia

np = pytest.importorskip("numpy")


@pytest.mark.parametrize("first", ["empty", "integers", "numbers", "names"])
def test_new_integers_are_nodes_ascending_whatever_was_there(first: str) -> None:
    dag = exia.Dag()
    if first == "integers":
        dag.add_edges(np.array([70]), np.array([-7]))
    elif first == "numbers":
        dag.add_nodes(2)
    elif first == "names":
        dag.add("b", "7", "a")
    there = list(dag)
    before, after = np.array([9, 2**62, 1, 9]), np.array([-(2**63), 70, 2**63 - 1, 2**62])
    dag.add_edges(before, after)
    dag.add_edges(before.astype(">i8"), after)
    new = sorted({*before.tolist(), *after.tolist()} - {*there})
    assert list(dag) == there + new
    assert dag.edges()[-8:] == list(zip(before.tolist(), after.tolist(), strict=True)) * 2
    assert set(dag.order()) == {*dag}
    assert dag.descendants(1) == [2**63 - 1]
    assert f'"{2**62}"' in dag.export()
    dag.remove_edges(before, after)
    dag.remove_nodes([9])
    dag.add_edges(np.array([9, 2**62]), np.array([70, 9]))
    assert dag.path(2**62, 70) == [2**62, 9, 70]


def test_integers_and_texts_that_look_alike_stay_apart() -> None:
    dag = exia.Dag()
    dag.add_edges(np.array([5, 900]), np.array([900, 7]))
    dag.add("5", 5)
    dag.add_edges(np.array([5, 8]), np.array([8, 900]))
    assert list(dag) == [5, 7, 900, "5", 8]
    assert dag.descendants(5) == [900, "5", 8, 7]


def test_answers_about_integers_are_integers() -> None:
    dag = exia.Dag()
    dag.add_edges(np.array([900, 500]), np.array([500, 100]))
    assert 500 in dag
    twin = exia.Dag()
    twin.add_edges(np.array([900, 500, 900]), np.array([500, 100, 100]))
    reduced = twin.transitive_reduction()
    assert sorted(reduced.edges()) == sorted(dag.edges()) == [(500, 100), (900, 500)]
    assert list(reduced) == list(twin) == [100, 500, 900]
    assert twin.order() == [900, 500, 100]
    assert twin.run(lambda node: node + 1).results == {900: 901, 500: 501, 100: 101}
    assert "900" in twin._repr_html_()
    assert 901 not in twin
    twin.add_edges(np.array([100]), np.array([500]))
    with pytest.raises(exia.CycleError, match="100 -> 500 -> 100"):
        twin.order()


def test_a_million_new_integers_are_nodes_without_a_look_at_each_from_python() -> None:
    count, rng = 1_000_000, np.random.default_rng(1)
    ids = rng.permutation(count) * 7919 - 2**40
    dag, calls = exia.Dag(), 0

    def counted(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(counted)
    try:
        dag.add_edges(ids[:-1], ids[1:])
    finally:
        sys.setprofile(None)
    assert calls < 1000
    assert len(dag) == count
    assert dag.order() == ids.tolist()
