"""TopologicalSorter does what graphlib's does."""

from __future__ import annotations

import contextlib
import copy
import graphlib
import importlib.util
import itertools
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import exia

Sorter = Callable[..., Any]
BOTH = pytest.mark.parametrize("sorter", [exia.TopologicalSorter, graphlib.TopologicalSorter])


# ---- misuse, the same in both -------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("method", ["get_ready", "done", "is_active", "__bool__"])
def test_nothing_is_handed_out_before_prepare(sorter: Sorter, method: str) -> None:
    with pytest.raises(ValueError, match=r"prepare\(\) must be called first"):
        getattr(sorter(), method)()


@BOTH
def test_nothing_is_added_after_prepare(sorter: Sorter) -> None:
    ts = sorter({"b": ["a"]})
    ts.prepare()
    with pytest.raises(ValueError, match=r"cannot be added after a call to prepare\(\)"):
        ts.add("c")
    assert list(ts.get_ready()) == ["a"]


@BOTH
def test_prepare_is_refused_once_nodes_were_handed_out(sorter: Sorter) -> None:
    ts = sorter({"b": ["a"]})
    ts.prepare()
    if sys.version_info >= (3, 14):
        ts.prepare()
    else:
        with pytest.raises(ValueError, match=r"cannot prepare\(\) more than once"):
            ts.prepare()
    ts.get_ready()
    with pytest.raises(ValueError, match=r"cannot prepare\(\)"):
        ts.prepare()


@BOTH
def test_done_refuses_a_node_in_any_other_state_and_keeps_those_before_it(sorter: Sorter) -> None:
    ts = sorter({"c": ["a", "b"], "d": ["a"], "e": ["c"]})
    ts.prepare()
    assert ts.get_ready() == ("a", "b")
    with pytest.raises(ValueError, match=r"node 'x' was not added using add\(\)"):
        ts.done("a", "x", "b")
    with pytest.raises(ValueError, match="node 'a' was already marked done"):
        ts.done("a")
    with pytest.raises(ValueError, match=r"node 'd' was not passed out \(still not ready\)"):
        ts.done("d")
    assert ts.get_ready() == ("d",)
    with pytest.raises(ValueError, match="node 'e' was not passed out"):
        ts.done("b", "e", "x")
    assert ts.get_ready() == ("c",)


@BOTH
@pytest.mark.parametrize("bad", [({}, 1), (1, {}), ({}, {})])
def test_what_is_not_hashable_is_no_node(sorter: Sorter, bad: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        sorter().add(*bad)


@BOTH
@pytest.mark.parametrize("graph", [7, ["a"], {"a": 7}])
def test_what_is_no_graph_is_refused(sorter: Sorter, graph: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        sorter(graph)


class Fault(Exception):
    pass


class Key:
    """A node whose hash, or whose comparison with another one, fails when it is told to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.fails = ""

    def __hash__(self) -> int:
        if self.fails == "hash":
            raise Fault("hash")
        return 1

    def __eq__(self, other: object) -> bool:
        if "eq" in (self.fails, getattr(other, "fails", "")):
            raise Fault("eq")
        return self is other


@BOTH
@pytest.mark.parametrize("fails", ["hash", "eq"])
def test_what_a_key_raises_comes_through(sorter: Sorter, fails: str) -> None:
    first, second, bad = Key(1), Key(2), Key(3)
    ts = sorter({second: [first]})
    bad.fails = fails
    for arguments in ((bad,), (Key(4), bad), (bad, first)):
        with pytest.raises(Fault, match=fails):
            ts.add(*arguments)
    ts.prepare()
    assert first in ts.get_ready()
    with pytest.raises(Fault, match=fails):
        ts.done(first, bad)
    with pytest.raises(ValueError, match="already marked done"):
        ts.done(first)  # which came before the fault
    assert second in ts.get_ready()


def test_an_add_that_fails_adds_nothing() -> None:
    ts: exia.TopologicalSorter[Any] = exia.TopologicalSorter({"b": ["a"]})
    with pytest.raises(TypeError):
        ts.add("b", "new", [])
    with pytest.raises(TypeError):
        ts.add("other", {})
    assert list(ts.static_order()) == ["a", "b"]


# ---- order --------------------------------------------------------------------------------------


def groups(ts: Any) -> list[tuple[Any, ...]]:
    """Take group by group, done in another order than handed out."""
    found = []
    with contextlib.suppress(graphlib.CycleError):
        ts.prepare()
    while ts.is_active():
        group = ts.get_ready()
        found.append(group)
        assert ts.get_ready() == ()
        if len(found) % 3:
            ts.done(*reversed(group))
        else:
            for node in group:
                ts.done(node)
    assert not ts
    return found


def random_calls(seed: int) -> list[tuple[Any, ...]]:
    rng = random.Random(seed)
    size = rng.randrange(1, 40)
    names: list[Any] = [*range(size // 2), *(f"n{i}" for i in range(size - size // 2))]
    rng.shuffle(names)
    calls = []
    for _ in range(rng.randrange(1, 2 * size)):
        i = rng.randrange(size)
        among = names if seed % 4 == 0 else names[:i]  # cycles in a quarter of the graphs
        calls.append((names[i], *rng.choices(among, k=rng.randrange(4) if among else 0)))
    return calls


@pytest.mark.parametrize("part", range(4))
def test_a_thousand_graphs_are_handed_out_as_graphlib_hands_them_out(part: int) -> None:
    for seed in range(part, 1000, 4):
        ours: Any = exia.TopologicalSorter()
        theirs: Any = graphlib.TopologicalSorter()
        for arguments in random_calls(seed):
            ours.add(*arguments)
            theirs.add(*arguments)
        twin = ours.copy()
        assert groups(ours) == groups(theirs), seed
        again: Any = graphlib.TopologicalSorter()
        for arguments in random_calls(seed):
            again.add(*arguments)
        try:
            expected = list(again.static_order())
        except graphlib.CycleError:
            with pytest.raises(graphlib.CycleError):
                list(twin.static_order())
        else:
            assert list(twin.static_order()) == expected, seed


def test_a_graph_is_taken_as_graphlib_takes_it() -> None:
    graph = {0: (2 * i + 1 for i in range(5))}
    assert list(exia.TopologicalSorter(graph).static_order()) == [1, 3, 5, 7, 9, 0]
    assert list(exia.TopologicalSorter({"ab": "cd"}).static_order()) == ["c", "d", "ab"]
    assert list(exia.TopologicalSorter().static_order()) == []
    assert list(exia.TopologicalSorter({None: ()}).static_order()) == [None]


def test_equal_nodes_are_one_and_the_first_is_handed_out() -> None:
    ts: exia.TopologicalSorter[float] = exia.TopologicalSorter({2: [1], 3: [1.0, True]})
    assert [repr(node) for node in ts.static_order()] == ["1", "2", "3"]


def test_the_order_does_not_change_with_the_seed_of_hashes() -> None:
    code = "import exia; ts = exia.TopologicalSorter(); ts.add('x', 'hola', 'abcd', 'b'); "
    code += "ts.add('hola', 'z', 'b', 'y'); print(*ts.static_order())"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1234", "31415")
    ]
    assert said == ["abcd b z y hola x\n"] * 2


def test_a_static_order_begins_when_it_is_asked() -> None:
    ts: exia.TopologicalSorter[str] = exia.TopologicalSorter({"b": ["a"]})
    order = ts.static_order()
    ts.add("c", "b")
    assert list(order) == ["a", "b", "c"]


def test_a_long_chain_is_no_recursion() -> None:
    ts: exia.TopologicalSorter[int] = exia.TopologicalSorter({i + 1: [i] for i in range(300_000)})
    assert list(ts.static_order()) == list(range(300_001))


# ---- cycles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("caught_as", [graphlib.CycleError, exia.CycleError, ValueError])
def test_a_cycle_is_in_the_error_as_in_graphlib(caught_as: type[Exception]) -> None:
    with pytest.raises(caught_as) as caught:
        exia.TopologicalSorter({1: {2}, 2: {3}, 3: {1}, 4: {1}, 5: {6}}).prepare()
    said, cycle = caught.value.args
    assert said == "nodes are in a cycle"
    assert cycle == [1, 3, 2, 1]
    with pytest.raises(caught_as) as caught:
        exia.TopologicalSorter({1: {1}}).prepare()
    assert caught.value.args[1] == [1, 1]


def test_each_node_of_a_cycle_is_a_predecessor_of_the_next_as_graphlib_promises() -> None:
    cycles = 0
    for seed in range(500):
        rng = random.Random(seed)
        size = rng.randrange(1, 12)
        graph = {node: rng.choices(range(size), k=rng.randrange(3)) for node in range(size)}
        found = []
        for sorter in (graphlib.TopologicalSorter, exia.TopologicalSorter):
            try:
                sorter(graph).prepare()
            except graphlib.CycleError as error:
                found.append(error.args[1])
        for cycle in found:
            assert cycle[0] == cycle[-1]
            assert len({*cycle}) == len(cycle) - 1
            assert all(before in graph[node] for before, node in itertools.pairwise(cycle)), seed
        assert len(found) in (0, 2)
        cycles += len(found) > 0
    assert cycles > 100


def test_the_error_of_a_cycle_survives_a_pickle() -> None:
    with pytest.raises(exia.CycleError) as caught:
        exia.TopologicalSorter({"a": "b", "b": "a"}).prepare()
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert twin.args == caught.value.args
        assert twin.cycle == ["a", "b"] or twin.cycle == ["b", "a"]
        assert str(twin) == "nodes are in a cycle"


def test_what_is_on_no_cycle_is_handed_out_all_the_same() -> None:
    ts = exia.TopologicalSorter({"b": ["a"], "c": ["d"], "d": ["c"], "e": ["c"]})
    with pytest.raises(exia.CycleError):
        ts.prepare()
    assert groups_from(ts) == [("a",), ("b",)]


def groups_from(ts: Any) -> list[tuple[Any, ...]]:
    found = []
    while ts:
        found.append(ts.get_ready())
        ts.done(*found[-1])
    return found


# ---- copies, threads, types ---------------------------------------------------------------------


def test_a_copy_goes_on_from_where_the_other_stands() -> None:
    ts = exia.TopologicalSorter({"c": ["a", "b"], "d": ["c"]})
    early = ts.copy()
    early.add("z", "d")
    ts.prepare()
    ts.get_ready()
    ts.done("a")
    twins = [ts.copy(), copy.copy(ts)]
    assert groups_from(early_prepared(early)) == [("a", "b"), ("c",), ("d",), ("z",)]
    for each in (*twins, ts):
        each.done("b")
        assert groups_from(each) == [("c",), ("d",)]
        with pytest.raises(ValueError, match="cannot be added"):
            each.add("more")


def early_prepared(ts: Any) -> Any:
    ts.prepare()
    return ts


def test_a_sorter_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="TopologicalSorter"):
        pickle.dumps(exia.TopologicalSorter())


def test_threads_take_each_node_once() -> None:
    width, depth = 50, 40
    ts = exia.TopologicalSorter(
        {
            (d, w): [(d - 1, w), (d - 1, (w + 1) % width)]
            for d in range(1, depth)
            for w in range(width)
        }
    )
    ts.prepare()
    taken: list[Any] = []

    def work() -> None:
        while ts.is_active():
            for node in ts.get_ready():
                taken.append(node)
                ts.done(node)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == width * depth


def test_it_is_generic_and_may_be_derived_from() -> None:
    class Strings(exia.TopologicalSorter[str]):
        def add(self, node: str, *predecessors: str) -> None:
            super().add(node.upper(), *(p.upper() for p in predecessors))

    assert list(Strings({"b": ["a"]}).copy().static_order()) == ["A", "B"]


# ---- the installation's own tests of graphlib ---------------------------------------------------

# Debian's Python comes without; then `make test` puts those of its package here.
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
FETCHED = Path(__file__).parents[3] / f"build/graphlib/usr/lib/python{VERSION}/test"
OWN_TESTS = f"""
import graphlib, sys, test, unittest, exia
test.__path__.append({str(FETCHED)!r})
graphlib.TopologicalSorter = exia.TopologicalSorter
import test.test_graphlib as tests
result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromModule(tests))
sys.exit(not (result.wasSuccessful() and result.testsRun > 10))
"""


def has_own_tests() -> bool:
    try:
        return importlib.util.find_spec("test.test_graphlib") is not None
    except ImportError:
        return False


@pytest.mark.skipif(
    not has_own_tests() and not FETCHED.is_dir(),
    reason=f"this Python came without its tests: apt-get install libpython{VERSION}-testsuite",
)
def test_the_tests_of_graphlib_pass() -> None:
    done = subprocess.run([sys.executable, "-c", OWN_TESTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_threads_may_add_to_one_sorter() -> None:
    sorter: exia.TopologicalSorter[tuple[int, int]] = exia.TopologicalSorter()
    interval = sys.getswitchinterval()

    def add(part: int) -> None:
        for i in range(800):
            sorter.add((part, i + 1), (part, i))

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=add, args=(part,)) for part in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    places = {node: place for place, node in enumerate(sorter.static_order())}
    assert len(places) == 3 * 801
    assert all(places[part, i] < places[part, i + 1] for part in range(3) for i in range(800))
