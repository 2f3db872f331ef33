"""Pickles that would read memory at an address of theirs: numpy believes what poses as an array."""

from __future__ import annotations

import ctypes
import pickle
from collections import OrderedDict
from typing import Any

import pytest

import exia
from exia._trust import PolicyUnpickler

np = pytest.importorskip("numpy")

PACKAGES = ["numpy", "sklearn", "scipy", "collections"]
SECRET = ctypes.create_string_buffer(b"SECRET!!")
POSE = {
    "data": (ctypes.addressof(SECRET), False),
    "shape": (8,),
    "typestr": "|u1",
    "version": 3,
}


class Made:
    """Pickles into a call, then a state, then items."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def load(value: Any, constructors: tuple[str, ...] = ()) -> Any:
    return PolicyUnpickler(
        pickle.dumps(value, 5), (), packages=PACKAGES, constructors=constructors,
        what="evil@1", why="why",
    ).load()  # fmt: skip


def polynomial(state: Any) -> Made:
    return Made(np.polynomial.Polynomial, ([1.0],), state)


@pytest.mark.parametrize("name", ["__array_interface__", "__array_struct__", "__array__"])
@pytest.mark.parametrize("viewer", [np.polynomial.Polynomial, np.poly1d, np.float64])
def test_a_state_does_not_make_an_object_pose_as_an_array(name: str, viewer: Any) -> None:
    with pytest.raises(exia.UntrustedError, match=f"pose as an array by {name}"):
        load(Made(viewer, (polynomial({name: POSE}),)))


def test_nor_does_a_key_that_only_equals_the_name() -> None:
    class Name(str):
        def __reduce__(self) -> Any:
            return np.str_, (str(self),)

    with pytest.raises(exia.UntrustedError, match="pose as an array"):
        load(polynomial({Name("__array_interface__"): POSE}))


def test_nor_do_slots_or_a_class_without_a_state_of_its_own() -> None:
    for state in ({"__array_interface__": POSE}, (None, {"__array_interface__": POSE})):
        with pytest.raises(exia.UntrustedError, match="pose as an array"):
            load(Made(OrderedDict, (), state))


@pytest.mark.parametrize("count", [1, 2])  # SETITEM and SETITEMS
def test_nor_do_items_that_a_class_takes_for_attributes(count: int) -> None:
    utils = pytest.importorskip("sklearn.utils")
    items = [("__array_interface__", POSE), ("other", 1)][:count]
    with pytest.raises(exia.UntrustedError, match="pose as an array"):
        load(Made(np.float64, (Made(utils.Bunch, (), None, None, iter(items)),)))


def test_nor_does_a_constructor() -> None:
    tricks = pytest.importorskip("numpy.lib._stride_tricks_impl")
    for constructors in ((), ("numpy.lib._stride_tricks_impl.DummyArray",)):
        with pytest.raises(exia.UntrustedError, match="DummyArray"):
            load(Made(np.float64, (Made(tricks.DummyArray, (POSE,)),)), constructors)


@pytest.mark.parametrize("kind", [np.ndarray, np.matrix, np.recarray, np.ma.MaskedArray])
def test_the_class_of_an_array_is_not_called(kind: Any) -> None:
    pointer = id(SECRET).to_bytes(8, "little")
    with pytest.raises(
        exia.UntrustedError, match=f"to call {kind.__name__}, which no policy can allow"
    ):
        load(Made(kind, ((1,), "O", pointer)), (f"numpy.{kind.__name__}",))


@pytest.mark.parametrize("stream", [b"(K\x01inumpy\nndarray\n.", b"(cnumpy\nndarray\nK\x01o."])
def test_nor_is_it_by_the_opcodes_of_old(stream: bytes) -> None:
    with pytest.raises(exia.UntrustedError, match="to call ndarray, which"):
        PolicyUnpickler(
            stream, (), packages=PACKAGES, constructors=(), what="evil@1", why="why"
        ).load()


def test_objects_that_are_arrays_by_their_class_stay_what_they_are() -> None:
    value = [np.arange(3), np.float64(1), np.polynomial.Polynomial([1, 2]), OrderedDict(a=[1])]
    assert repr(load(value)) == repr(value)
    sparse = pytest.importorskip("scipy.sparse")
    assert (load(sparse.csr_matrix(np.eye(3))) != sparse.csr_matrix(np.eye(3))).nnz == 0


def test_a_state_that_scipy_would_run_is_refused() -> None:
    stats = pytest.importorskip("scipy.stats")
    state = {"_parse_arg_template": "raise SystemError('run')"}
    with pytest.raises(exia.UntrustedError, match="norm_gen"):
        load(Made(type(stats.norm), (), state))
