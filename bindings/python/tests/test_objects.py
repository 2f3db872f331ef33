"""Python objects as safetensors files: what comes back, without a copy, for whom to read."""

from __future__ import annotations

import functools
import gc
import hashlib
import itertools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import exia
from exia import _objects, _tensors

np = pytest.importorskip("numpy")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

TRUSTED = {"trusted": True}


def joined(obj: Any) -> bytes:
    return b"".join(_objects.encode(obj).pieces)


def again(obj: Any) -> Any:
    return _objects.decode(memoryview(bytearray(joined(obj))), TRUSTED, "x@1")


def kind(obj: Any) -> str:
    return _tensors.parse(memoryview(joined(obj)))[0]["exia"]


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 8,
        b"\x02\0\0\0\0\0\0\0{}"[:9],
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x04\0\0\0\0\0\0\0\xff\xff\xff\xff",
        b"\x08\0\0\0\0\0\0\0" + b"[" * 8,
    ],
)
def test_a_file_that_is_none_is_corrupt(data: bytes) -> None:
    with pytest.raises(exia.CorruptError, match="safetensors"):
        _objects.decode(memoryview(data), TRUSTED, "x@1")


@pytest.mark.parametrize("metadata", ["[]", "7", "null", '"x"', '{"exia":7}', '{"exia":null}'])
def test_metadata_that_are_no_texts_are_corrupt(metadata: str) -> None:
    header = f'{{"__metadata__":{metadata}}}'.encode()
    data = memoryview(len(header).to_bytes(8, "little") + header)
    for read in (lambda: _objects.decode(data, TRUSTED, "x@1"), lambda: _objects.source(data)):
        if metadata != "[]":
            with pytest.raises(exia.CorruptError, match="safetensors"):
                read()
        else:
            assert read() == {}


@pytest.mark.parametrize("dtype", ["[]", "{}", "7", "null"])
def test_a_dtype_that_is_no_text_is_corrupt(dtype: str) -> None:
    header = f'{{"w":{{"dtype":{dtype},"shape":[0],"data_offsets":[0,0]}}}}'.encode()
    with pytest.raises(exia.CorruptError, match="dtype"):
        _objects.decode(memoryview(len(header).to_bytes(8, "little") + header), TRUSTED, "x@1")


def test_a_header_nested_without_end_is_corrupt() -> None:
    deep = b'{"a":' * 100_000
    with pytest.raises(exia.CorruptError):
        _objects.decode(memoryview(len(deep).to_bytes(8, "little") + deep), TRUSTED, "x@1")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]},
        {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0.0, 4.0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "more": 1},
        7,
    ],
)
def test_a_tensor_that_cannot_be_is_corrupt(entry: Any) -> None:
    header = json.dumps({"w": entry}).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(4)
    with pytest.raises(exia.CorruptError):
        _objects.decode(memoryview(data), TRUSTED, "x@1")


def test_a_dtype_that_numpy_does_not_have_is_named() -> None:
    header = b'{"w":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}'
    data = len(header).to_bytes(8, "little") + header + bytes(1)
    with pytest.raises(exia.UnsupportedError, match="F4"):
        _objects.decode(memoryview(data), TRUSTED, "x@1")


def test_every_flipped_bit_of_a_pickle_is_seen() -> None:
    data = bytearray(joined({"a": [1, 2, 3], "b": "text"}))
    start = 8 + int.from_bytes(data[:8], "little")
    for bit in range(start * 8, len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(exia.CorruptError, match="not what was written"):
            _objects.decode(memoryview(data), TRUSTED, "x@1")
        data[bit // 8] ^= 1 << bit % 8


def test_a_later_form_is_refused_by_name() -> None:
    data = joined(np.zeros(1)).replace(b"tensors/1", b"tensors/9")
    with pytest.raises(exia.VersionError, match="tensors/9"):
        _objects.decode(memoryview(data), TRUSTED, "x@1")


def test_an_object_without_its_buffers_is_corrupt() -> None:
    data = joined([np.zeros(1000)]).replace(b"__buffer.0", b"__buffer.1")
    with pytest.raises(exia.CorruptError, match=r"__buffer\.0"):
        _objects.decode(memoryview(data), TRUSTED, "x@1")


def test_what_cannot_be_pickled_says_so() -> None:
    import threading

    with pytest.raises(TypeError, match="lock"):
        _objects.encode(threading.Lock())


# ---- plain tensors ------------------------------------------------------------------------------

DTYPES = "bool uint8 int8 uint16 int16 float16 uint32 int32 float32 uint64 int64 float64 complex64"


@pytest.mark.parametrize("dtype", DTYPES.split())
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2, 3, 4), (4097,)])
def test_arrays_come_back_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(int(np.prod(shape))) % 2).reshape(shape).astype(dtype)
    assert kind(array) == "tensors/1"
    twin = again(array)
    assert type(twin) is np.ndarray
    assert (twin.dtype, twin.shape) == (array.dtype, array.shape)
    assert np.array_equal(twin, array)
    assert twin.flags.writeable


@pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2", "float8_e4m3fn", "float8_e8m0fnu"])
def test_the_small_floats_are_tensors_too(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([[1, 2, 0.5], [4, 8, 0.25]]).astype(getattr(ml_dtypes, name))
    assert kind(array) == "tensors/1"
    twin = again({"w": array})["w"]
    assert twin.dtype == array.dtype
    assert np.array_equal(twin.astype(float), array.astype(float))


def test_without_ml_dtypes_they_come_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    data = joined(np.array([1.0], ml_dtypes.bfloat16))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    monkeypatch.setattr(_tensors, "_reader", _tensors._reader.__wrapped__)
    twin = _objects.decode(memoryview(data), TRUSTED, "x@1")
    assert (twin.dtype, twin[0]) == (np.uint16, 0x3F80)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(20.0)[::-2],
        np.broadcast_to(np.float32(3), (4, 5)),
    ],
    ids=["transposed", "fortran", "strided", "broadcast"],
)
def test_an_array_of_any_layout_is_a_tensor_in_c_order(array: Any) -> None:
    assert kind(array) == "tensors/1"
    assert np.array_equal(again(array), array)
    assert np.array_equal(safetensors_numpy.load(joined({"w": array}))["w"], array)


def test_the_safetensors_package_reads_our_files_and_we_read_its() -> None:
    arrays = {
        "weights": np.random.default_rng(0).random((100, 33), dtype=np.float32),
        "bias": np.arange(33, dtype=np.float64),
        "empty": np.zeros((0, 3), np.int8),
        "scalar": np.array(7, np.int64),
        "mask": np.array([True, False, True]),
        "größe": np.zeros(5000, np.int8),
        "late": np.zeros((3, 3), np.float16),
    }
    theirs = safetensors_numpy.load(joined(arrays))
    for name, array in arrays.items():
        assert theirs[name].dtype == array.dtype
        assert np.array_equal(theirs[name], array)
    assert all(name.startswith("__pad.") for name in set(theirs) - set(arrays))
    ours = _objects.decode(memoryview(safetensors_numpy.save(arrays)), TRUSTED, "x@1")
    assert all(np.array_equal(ours[name], array) for name, array in arrays.items())


def test_objects_are_valid_safetensors_files() -> None:
    stored = {"deep": [np.arange(1000.0), {"x": np.arange(3)}], "text": "abc"}
    tensors = safetensors_numpy.load(joined(stored))
    assert set(tensors) >= {"__pickle__", "__buffer.0"}
    assert tensors["__buffer.0"].tobytes() == np.arange(1000.0).tobytes()


def test_a_dict_keeps_its_order() -> None:
    arrays = {name: np.zeros(n + 1, "u1") for n, name in enumerate("zyxabc")}
    assert list(again(arrays)) == list("zyxabc")


def test_large_tensors_begin_on_64_bytes_and_nothing_overlaps() -> None:
    arrays = {f"t{n}": np.zeros(n * 1023 + 1, np.uint8) for n in range(12)}
    _, tensors = _tensors.parse(memoryview(joined(arrays)))
    ends = sorted((start, end) for *_, start, end in tensors.values())
    assert all(start % 64 == 0 for start, end in ends if end - start >= 4096)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))


# ---- objects ------------------------------------------------------------------------------------


class Model:
    """A class of this module."""

    def __init__(self) -> None:
        self.large = np.arange(10_000.0)
        self.fortran = np.asfortranarray(np.arange(10_000.0).reshape(100, 100))
        self.small = np.arange(3)
        self.name = "model"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and all(
            np.array_equal(value, other.__dict__[key]) for key, value in self.__dict__.items()
        )

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "obj",
    [
        None,
        7,
        "text",
        {},
        {"a": 1},
        [1, [2, (3,)]],
        {1, 2},
        1 + 2j,
        np.float32(3),
        bytearray(b"abc"),
        {"__w": np.zeros(3)},
        {"": np.zeros(3)},
        {1: np.zeros(3)},
        {"w": np.zeros(3), "n": 3},
        np.array(["a", "b"]),
        np.array([1, None]),
        np.array([(1, 2.0)], [("a", int), ("b", float)]),
        np.zeros(3, ">f8"),
        np.zeros(3, np.complex128),
        np.ma.masked_array([1, 2], [True, False]),
        np.datetime64("2020-01-01"),
        Model(),
    ],
    ids=lambda obj: f"{type(obj).__name__}",
)
def test_objects_come_back_equal_and_of_the_same_type(obj: Any) -> None:
    assert kind(obj) == "object/1"
    twin = again(obj)
    assert type(twin) is type(obj)
    if isinstance(obj, np.ndarray):
        assert twin.dtype == obj.dtype
    assert (
        np.array_equal(twin, obj)
        if isinstance(obj, np.ndarray)
        else str(twin) == str(obj) or twin == obj
    )


def test_the_layout_of_arrays_inside_an_object_is_kept() -> None:
    twin = again(Model())
    assert twin == Model()
    assert twin.fortran.flags.f_contiguous
    assert all(array.flags.writeable for array in (twin.large, twin.fortran, twin.small))


def test_a_read_only_array_inside_an_object_stays_read_only() -> None:
    array = np.arange(10_000)
    array.flags.writeable = False
    assert not again([array])[0].flags.writeable


def test_small_buffers_stay_in_the_stream() -> None:
    _, tensors = _tensors.parse(memoryview(joined([np.zeros(511), np.zeros(512)])))
    assert set(tensors) == {"__pickle__", "__buffer.0"}
    *_, start, _ = tensors["__buffer.0"]
    assert start % 64 == 0


def test_writing_makes_no_copy_of_large_arrays_and_bytes() -> None:
    array, data = np.zeros(1_000_000), b"x" * 10_000_000
    pieces = _objects.encode([array, data]).pieces
    assert any(piece.obj is data for piece in pieces)
    addresses = [np.frombuffer(piece, "u1").ctypes.data for piece in pieces if piece.nbytes]
    assert array.ctypes.data in addresses


# ---- code ---------------------------------------------------------------------------------------


def scale(value: float) -> float:
    return value * 2


def test_a_function_of_a_module_goes_by_reference() -> None:
    encoded = _objects.encode(functools.reduce)
    assert encoded.imports == {"_functools.reduce"}
    assert again(os.path.join) is os.path.join


def test_a_closure_goes_by_value_with_its_text() -> None:
    factor, offset = 3, np.arange(4)

    def model(x: Any, *, more: int = 1) -> Any:
        return x * factor + offset + more

    data = memoryview(joined(model))
    twin = _objects.decode(data, TRUSTED, "x@1")
    assert twin is not model
    assert np.array_equal(twin(2, more=5), model(2, more=5))
    (text,) = _objects.source(data).values()
    assert "return x * factor + offset + more" in text


def test_a_function_of_main_runs_in_another_process_without_its_file(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import exia, math, sys\n"
        "class Model:\n"
        "    def __init__(self, k): self.k = k\n"
        "    def predict(self, x): return helper(x) * self.k\n"
        "def helper(x): return math.sqrt(x)\n"
        "exia.Library(sys.argv[1]).write('m', Model(3))\n"
        "exia.Library(sys.argv[1]).write('f', lambda x: helper(x) + 1)\n"
    )
    where = str(tmp_path / "library")
    subprocess.run([sys.executable, script, where], check=True, cwd=tmp_path)
    script.unlink()
    with exia.Library(where) as library:
        assert library.read("m").predict(16) == 12
        assert library.read("f")(16) == 5
        with library.open("m") as model:
            assert "def predict(self, x)" in model.source["Model"]


def test_code_of_another_python_is_refused_and_its_text_is_there() -> None:
    data = memoryview(joined(lambda x: x).replace(b"cpython-3", b"cpython-9"))
    with pytest.raises(exia.VersionError, match=r"cpython-9.*source"):
        _objects.decode(data, TRUSTED, "x@1")
    assert "lambda x: x" in next(iter(_objects.source(data).values()))


def test_a_code_object_alone_is_of_one_python_too() -> None:
    data = memoryview(joined([scale.__code__]))
    assert "return value * 2" in _objects.source(data)["scale"]
    other = memoryview(bytes(data).replace(b"cpython-3", b"cpython-9"))
    with pytest.raises(exia.VersionError, match=r"cpython-9.*source"):
        _objects.decode(other, TRUSTED, "x@1")


def test_what_is_imported_by_name_is_of_every_python() -> None:
    data = joined([functools.reduce, os.path.join, Model, np.arange(3)])
    assert b"cpython" not in data


# ---- through the library ------------------------------------------------------------------------


def file_digest(library: exia.Library, selector: str) -> str:
    path = library.open(selector).path
    assert path is not None
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_arrays_are_views_of_the_file_and_writing_never_changes_it(library: exia.Library) -> None:
    library.write("m", {"w": np.zeros(100_000)})
    before = file_digest(library, "m")
    with library.open("m") as model:
        array = model.tensors["w"]
        view = model.view()
        assert not array.flags.owndata
        start = np.frombuffer(view, "u1").ctypes.data
        assert start <= array.ctypes.data < start + len(view)
        assert array.ctypes.data % 64 == 0
    array += 1
    assert array.sum() == 100_000
    assert library.read("m")["w"].sum() == 0
    assert file_digest(library, "m") == before


def test_arrays_outlive_the_model_and_the_library(tmp_path: Path) -> None:
    library = exia.Library(tmp_path / "l")
    library.write("m", [np.arange(1_000_000), {"x": np.ones(50_000)}])
    read = library.read("m")
    library.close()
    del library
    gc.collect()
    assert read[0][-1] == 999_999
    read[0][:] = 0
    assert read[1]["x"].sum() == 50_000
    part = read[0][10:20]
    del read
    gc.collect()
    assert part.sum() == 0


def test_a_mapping_goes_with_its_last_array(library: exia.Library) -> None:
    library.write("m", np.zeros(1_000_000))

    path = str(library.open("m").path)
    array = library.read("m")
    assert path in Path("/proc/self/maps").read_text()
    del array
    gc.collect()
    assert path not in Path("/proc/self/maps").read_text()


def test_bytes_files_and_objects_are_parts_of_one_version(
    library: exia.Library, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("a file")
    weights = tmp_path / "w.safetensors"
    safetensors_numpy.save_file({"w": np.arange(5.0)}, weights)
    library.write("m", {"a": 1}, parts={"raw": b"\0bytes", "file": file, "w": weights, "none": b""})
    with library.open("m") as model:
        assert model.read() == {"a": 1}
        assert model.read("raw") == b"\0bytes"
        assert bytes(model.read("file")) == b"a file"
        assert np.array_equal(model.part("w").tensors["w"], np.arange(5.0))
        assert model.read("none") == b""
        assert {name: part["format"] for name, part in model.parts.items()} == {
            "model": "safetensors", "raw": "bytes", "file": "file", "w": "safetensors",
            "none": "bytes",
        }  # fmt: skip
    assert library.read("m", part="raw") == b"\0bytes"


def test_pickles_are_of_protocol_5() -> None:
    stream = safetensors_numpy.load(joined([1]))["__pickle__"].tobytes()
    assert stream[:2] == b"\x80\x05"
    assert pickle.loads(stream) == [1]
