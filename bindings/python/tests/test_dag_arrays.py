"""Edges from arrays: any integers, any layout, without a copy where they lie right."""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
from array import array
from typing import Any

import pytest

import exia
from exia import _columns
from exia._arrow import Array, Schema, Stream

np = pytest.importorskip("numpy")

BEFORE, AFTER = [0, 1, 0, 3, 2], [1, 2, 2, 4, 3]
EDGES = list(zip(BEFORE, AFTER, strict=True))

# ---- Arrow, made by hand ------------------------------------------------------------------------


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Arrow:
    """An array as Arrow hands it over, and nothing else."""

    def __init__(
        self, kind: bytes, values: Any, offset: int = 0, valid: list[int] | None = None
    ) -> None:
        self.values = values
        bits = sum(1 << i for i, is_valid in enumerate(valid or []) if is_valid)
        self.bitmap = ctypes.create_string_buffer(bits.to_bytes(16, "little"), 16)
        self.buffers = (ctypes.c_void_p * 2)(
            ctypes.addressof(self.bitmap) if valid else None, values.ctypes.data
        )
        self.schema = Schema(format=kind)
        self.array = Array(
            length=len(values) - offset,
            null_count=-1 if valid else 0,
            offset=offset,
            n_buffers=2,
            buffers=self.buffers,
        )

    def __len__(self) -> int:
        return int(self.array.length)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        return (
            new_capsule(ctypes.addressof(self.schema), b"arrow_schema", None),
            new_capsule(ctypes.addressof(self.array), b"arrow_array", None),
        )


class Chunked:
    """Arrays as Arrow streams them, and nothing else; `alive` counts what is not released."""

    def __init__(self, *chunks: Arrow, fails: int = 0) -> None:
        self.chunks, self.alive, self.fails = chunks, 0, fails
        self.said = ctypes.create_string_buffer(b"the disk is full")
        self.release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._release)
        kinds = dict(Stream._fields_)
        self.stream = Stream(
            get_schema=kinds["get_schema"](self._get_schema),
            get_next=kinds["get_next"](self._get_next),
            get_last_error=kinds["get_last_error"](lambda _: ctypes.addressof(self.said)),
        )

    def _hand_out(self, kind: Any, like: Any, out: int) -> int:
        ctypes.memmove(out, ctypes.addressof(like), ctypes.sizeof(like))
        kind.from_address(out).release = ctypes.cast(self.release, ctypes.c_void_p)
        self.alive += 1
        return 0

    def _release(self, it: int) -> None:
        self.alive -= 1

    def _get_schema(self, _: int, out: int) -> int:
        return self._hand_out(Schema, self.chunks[0].schema, out)

    def _get_next(self, _: int, out: int) -> int:
        chunk = next(self.left, None)
        if chunk is not None:
            return self._hand_out(Array, chunk.array, out)
        if not self.fails:
            ctypes.memset(out, 0, ctypes.sizeof(Array))
        return self.fails

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        self.left = iter(self.chunks)
        return new_capsule(ctypes.addressof(self.stream), b"arrow_array_stream", None)


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        np.array([0.5]),
        np.array([1 + 2j]),
        np.array([True]),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros((1, 1), np.uint32),
        np.array(7),
        array("d", [1.0]),
        memoryview(np.zeros(1, np.float32)),
        Arrow(b"g", np.zeros(1)),
        Arrow(b"u", np.zeros(1, np.int32)),
        Chunked(Arrow(b"g", np.zeros(1))),
        Chunked(Arrow(b"+s", np.zeros(1, np.int32))),
    ],
    ids=repr,
)
@pytest.mark.parametrize("swapped", [False, True])
def test_what_holds_no_integers_in_one_dimension_is_refused(bad: Any, swapped: bool) -> None:
    dag = exia.Dag()
    ends = (np.array([1]), bad) if swapped else (bad, np.array([1]))
    for change in (dag.add_edges, dag.remove_edges):
        with pytest.raises(exia.InvalidError, match=r"integers in one dimension, not .+ in \d"):
            change(*ends)
    assert len(dag) == 0


def test_nulls_of_arrow_are_refused_where_there_are_any() -> None:
    ids = np.array([9, 0, 1], np.uint32)
    whole = Arrow(b"I", ids, 1, [0, 1, 1])
    with pytest.raises(exia.InvalidError, match="1 nulls"):
        exia.Dag().add_edges(whole, Arrow(b"I", ids, 1, [1, 0, 1]))
    dag = exia.Dag()
    dag.add_edges(whole, np.array([2, 3]))
    assert dag.edges() == [(0, 2), (1, 3)]


def test_what_is_masked_is_refused_where_it_hides_anything() -> None:
    dag = exia.Dag()
    dag.add_edges(np.ma.array([0, 1], mask=[0, 0]), np.ma.array([1, 2]))
    for mask in ([0, 1], True):
        hidden = np.ma.array([5, 6], mask=mask)
        for ends in ((hidden, [1, 2]), ([1, 2], hidden)):
            with pytest.raises(exia.InvalidError, match=r"holds [12] nulls"):
                dag.add_edges(*ends)
    assert dag.edges() == [(0, 1), (1, 2)]


def test_what_gives_no_capsules_is_refused() -> None:
    class Liar:
        def __arrow_c_array__(self, requested_schema: object = None) -> Any:
            return (1, 2)

    with pytest.raises(TypeError, match="two capsules"):
        exia.Dag().add_edges(Liar(), [1])


def test_a_dictionary_of_arrow_is_no_integers() -> None:
    ids = Arrow(b"i", np.zeros(1, np.int32))
    ids.schema.dictionary = ctypes.addressof(ids.schema)
    with pytest.raises(
        exia.InvalidError, match="integers in one dimension, not Arrow's a dictionary"
    ):
        exia.Dag().add_edges(ids, ids)


def test_a_stream_that_fails_tells_why_and_nothing_is_left_of_it() -> None:
    ids = Arrow(b"l", np.arange(3))
    broken, holey = Chunked(ids, fails=5), Chunked(ids, Arrow(b"l", np.arange(2), 0, [1, 0]))
    dag = exia.Dag()
    with pytest.raises(exia.InvalidError, match="the disk is full"):
        dag.add_edges(broken, ids)
    with pytest.raises(exia.InvalidError, match="1 nulls"):
        dag.add_edges(ids, holey)
    broken.chunks = (Arrow(b"u", np.arange(3)),)
    with pytest.raises(exia.InvalidError, match="integers"):
        dag.add_edges(broken, ids)
    assert (broken.alive, holey.alive, len(dag)) == (0, 0, 0)
    holey.__arrow_c_stream__ = lambda: 7  # type: ignore[method-assign]
    with pytest.raises(TypeError, match="a capsule"):
        dag.add_edges(holey, ids)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint32, ">i8"])
def test_arrays_of_unequal_length_are_refused(dtype: Any) -> None:
    dag = exia.Dag()
    with pytest.raises(exia.InvalidError, match="2 nodes before, 1 after"):
        dag.add_edges(np.zeros(2, dtype), np.ones(1, dtype))
    assert len(dag) == 0


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64, ">i8"])
def test_numbers_out_of_range_are_nodes_of_their_own_and_never_others(dtype: Any) -> None:
    extremes = [np.iinfo(dtype).min, np.iinfo(dtype).max]
    dag = exia.Dag()
    dag.add_nodes(3)
    dag.add_edges(np.array([1, 1], dtype), np.array(extremes, dtype))
    assert set(dag) == {0, 1, 2, *map(int, extremes)}
    assert dag.edges() == [(1, int(extreme)) for extreme in extremes]
    numbered = exia.Dag()
    numbered.add_nodes(3)
    for extreme in extremes:
        if extreme != 0:
            with pytest.raises(exia.NotFoundError):
                numbered.remove_edges(np.array([1], dtype), np.array([extreme], dtype))


def test_an_empty_array_is_no_edge() -> None:
    dag = exia.Dag()
    for empty in (np.array([], np.int64), array("I"), Arrow(b"i", np.array([], np.int32))):
        dag.add_edges(empty, empty)
        dag.remove_edges(empty, empty)
    assert len(dag) == 0


# ---- any integers -------------------------------------------------------------------------------

KINDS = [
    order + kind for order in "<>" for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
]


def read_only(values: Any) -> Any:
    values = values.copy()
    values.flags.writeable = False
    return values


def unaligned(values: Any) -> Any:
    raw = np.frombuffer(b"x" + values.tobytes(), np.uint8)[1:]
    return raw.view(values.dtype)


LAYOUTS = {
    "plain": lambda values: values,
    "strided": lambda values: np.repeat(values, 3)[::3],
    "reversed": lambda values: values[::-1].copy()[::-1],
    "read-only": read_only,
    "unaligned": unaligned,
    "memoryview": lambda values: memoryview(values),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_edges_are_the_same_from_every_kind_and_layout(kind: str, layout: str) -> None:
    before, after = (LAYOUTS[layout](np.array(v, kind)) for v in (BEFORE, AFTER))
    new, known, named = exia.Dag(), exia.Dag(), exia.Dag({"a": ["b"]})
    known.add_nodes(5)
    for dag in (new, known, named):
        dag.add_edges(before, after)
        assert dag.edges()[-5:] == EDGES
        assert all(type(node) is int for edge in dag.edges()[-5:] for node in edge)
        dag.remove_edges(before, after)
        assert dag.edges() == ([("b", "a")] if dag is named else [])
    assert list(new) == list(known) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(b"c", "i1"), (b"C", "u1"), (b"s", "i2"), (b"S", "u2"), (b"i", "i4"), (b"I", "u4"),
     (b"l", "i8"), (b"L", "u8")],
)  # fmt: skip
def test_arrays_of_arrow_are_edges(kind: bytes, dtype: str) -> None:
    before, after = (Arrow(kind, np.array([99, *v], dtype), 1) for v in (BEFORE, AFTER))
    dag = exia.Dag()
    dag.add_edges(before, after)
    assert dag.edges() == EDGES


@pytest.mark.parametrize(
    ("kind", "dtype"), [(b"c", "i1"), (b"I", "u4"), (b"l", "i8"), (b"L", "u8")]
)
def test_chunks_of_arrow_are_edges(kind: bytes, dtype: str) -> None:
    before = Chunked(*(Arrow(kind, np.array(v, dtype)) for v in ([0, 1, 0], [], [3, 2])))
    after = Chunked(Arrow(kind, np.array([99, *AFTER], dtype), 1, [1] * 6))
    dag = exia.Dag()
    dag.add_edges(before, after)
    assert dag.edges() == EDGES
    dag.remove_edges(before, Arrow(kind, np.array(AFTER, dtype)))
    assert dag.edges() == []
    assert (before.alive, after.alive) == (0, 0)
    dag.add_edges(Chunked(Arrow(kind, np.array([], dtype))), [])


def test_columns_of_pyarrow_are_edges() -> None:
    pa = pytest.importorskip("pyarrow")
    for make in (pa.array, lambda values: pa.chunked_array([values[:2], values[2:]])):
        dag = exia.Dag()
        dag.add_edges(make(BEFORE), make(AFTER))
        assert dag.edges() == EDGES
        for bad in (make([1, None, 2, 3, 4]), make([0.5] * 5), make(["a"] * 5)):
            with pytest.raises(exia.InvalidError):
                dag.add_edges(bad, make(AFTER))


def test_columns_of_polars_are_edges() -> None:
    pl = pytest.importorskip("polars")
    dag = exia.Dag()
    dag.add_edges(pl.Series(BEFORE), pl.Series(AFTER, dtype=pl.UInt32))
    dag.add_edges(pl.Series(["a"]), pl.Series(["b"]))
    assert dag.edges() == [*EDGES, ("a", "b")]


def test_mixed_ends_are_edges() -> None:
    dag = exia.Dag()
    dag.add_edges(np.array([1, 2]), ["a", "b"])
    dag.add_edges(range(2), array("B", [5, 6]))
    dag.add_edges(np.array(["a", "c"]), np.array([None, 7], object))
    assert dag.edges() == [(1, "a"), (2, "b"), (0, 5), (1, 6), ("a", None), ("c", 7)]


def test_an_array_of_two_columns_is_edges() -> None:
    dag = exia.Dag()
    for kind in ("u4", ">i8"):
        dag.add_edges(np.array(EDGES, kind))
        assert dag.edges() == EDGES
        dag.remove_edges(np.array(EDGES, kind))
        assert dag.edges() == []


@pytest.mark.parametrize("kind", ["u4", "i4"])
def test_what_lies_right_is_not_copied(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def copied(*_: object) -> None:
        raise AssertionError("a copy")

    for name in ("narrow", "wide", "integers"):
        monkeypatch.setattr(_columns, name, copied)
    monkeypatch.setattr("exia._graph.narrow", copied)
    monkeypatch.setattr("exia._graph.wide", copied)
    for make in (
        lambda values: read_only(np.array(values, kind)),
        lambda values: array({"u4": "I", "i4": "i"}[kind], values),
        lambda values: Arrow({"u4": b"I", "i4": b"i"}[kind], np.array(values, kind)),
    ):
        dag = exia.Dag()
        dag.add_edges(make(BEFORE), make(AFTER))
        dag.add_edges(make(BEFORE), make(AFTER))
        assert dag.edges() == EDGES * 2


WITHOUT_NUMPY = """
import sys
from array import array
import exia
for kind in "bBhHiIlLqQ":
    dag = exia.Dag()
    dag.add_edges(array(kind, [3, 0, 1]), array(kind, [4, 1, 2]))
    dag.add_edges(memoryview(array(kind, [2, 9, 3, 9]))[::2], array(kind, [3, 4]))
    assert list(dag) == [0, 1, 2, 3, 4], list(dag)
    dag.add("end", 4)
    dag.add_edges(array(kind, [100]), array(kind, [0]))
    assert dag.edges() == [(3, 4), (0, 1), (1, 2), (2, 3), (3, 4), (4, "end"), (100, 0)]
    dag.remove_edges(array(kind, [3]), array(kind, [4]))
dag = exia.Dag()
dag.add_edges(array("q", [-1, 2**40]), array("q", [5, -1]))
assert dag.order() == [2**40, -1, 5]
try:
    dag.add_edges(array("f", [1.0]), array("I", [1]))
except ValueError as error:
    assert "integers" in str(error)
assert "numpy" not in sys.modules
"""


def test_arrays_need_no_numpy() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMPY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_random_arrays_are_the_edges_that_a_list_of_them_would_be() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        size, count = rng.randrange(1, 50), rng.randrange(1, 60)
        low = rng.choice([0, 0, -5])
        pairs = [(rng.randrange(low, size), rng.randrange(low, size)) for _ in range(count)]
        dag, plain = exia.Dag(), exia.Dag()
        for part in (pairs[: count // 2], pairs[count // 2 :]):
            kind = rng.choice(["<i4", ">i4", "<i8", "<i2"])
            dag.add_edges(np.array(part, kind).reshape(-1, 2))
            plain.add_edges(part)
        assert dag.edges() == plain.edges() == pairs
        assert set(dag) == set(plain)


@pytest.mark.parametrize("node", [True, np.int64(2), 2.0, -1, 3, 2**40, 2**70])
def test_lists_of_numbers_are_the_nodes_that_they_equal(node: Any) -> None:
    dag = exia.Dag()
    dag.add_nodes(3)
    dag.add_edges([(0, 1), [1, 2]])
    dag.add_edges([0, node], [2, 0])
    dag.add_edges([(node, 2)])
    numbered = [int(node) if node in (1, 2) else node, 0]
    expected = [(0, 1), (1, 2), (0, 2), tuple(numbered), (numbered[0], 2)]
    assert dag.edges() == expected
    assert len(dag) == 3 + (node not in (1, 2))
    dag.remove_edges([(0, 1), (node, 2)] * 2)
    assert dag.edges() == [edge for edge in expected if edge not in ((0, 1), (node, 2))]


@pytest.mark.parametrize("pair", [(0,), (0, 1, 2), [0], "01", 7, None, {0, 1}])
def test_what_is_no_pair_among_pairs_of_numbers_is_refused(pair: Any) -> None:
    dag = exia.Dag()
    dag.add_nodes(3)
    with pytest.raises((exia.InvalidError, TypeError), match="pair"):
        dag.add_edges([(0, 1), pair])
    assert dag.edges() == []
