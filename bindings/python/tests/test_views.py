"""Parts from Python: where they lie, views and tensors without a copy, advice, filled buffers."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import exia

SIZE = 100_000


@pytest.fixture
def library(tmp_path: Path) -> exia.Library:
    library = exia.Library(tmp_path / "library")
    arrays = {"w": np.arange(SIZE, dtype=np.float32), "n": np.arange(6).reshape(2, 3)}
    library.write("m", arrays, parts={"raw": bytes(range(256)) * 400, "note": b"short"})
    return library


def test_a_part_that_is_not_there_is_named_and_those_that_are(library: exia.Library) -> None:
    with pytest.raises(exia.NotFoundError, match="'other'; it has: model, raw, note"):
        library.open("m").part("other")


def test_a_part_tells_where_it_lies(library: exia.Library) -> None:
    raw, note = library.open("m").part("raw"), library.write("s", b"short")
    assert (raw.name, raw.format, raw.size, raw.writable) == ("raw", "bytes", 102_400, True)
    assert raw.path is not None
    assert raw.path.read_bytes() == bytes(raw.view())
    assert raw.fd is not None
    assert os.pread(raw.fd, 3, 255) == b"\xff\0\x01"
    assert repr(raw) == "<exia.Part 'raw': bytes, 102400 bytes>"
    small = library.open(f"s@{note}").part()
    assert (small.path, small.fd, bytes(small.view())) == (None, None, b"short")


def test_a_part_outlives_its_model(library: exia.Library) -> None:
    with library.open("m") as model:
        part = model.part("raw")
    assert bytes(part.view()[:3]) == b"\0\x01\x02"
    part.advise("random")


def test_tensors_are_views_that_dlpack_hands_on_without_a_copy(library: exia.Library) -> None:
    tensors = library.open("m").part().tensors
    assert list(tensors) == ["w", "n"]
    taken = np.from_dlpack(tensors["w"])
    assert np.shares_memory(taken, tensors["w"])
    assert taken[-1] == SIZE - 1
    tensors["w"][0] = 7
    assert taken[0] == 7
    assert library.open("m").tensors["w"][0] == 0


def test_torch_takes_a_tensor_without_a_copy(library: exia.Library) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    array = library.open("m").tensors["w"]
    assert torch.from_dlpack(array).data_ptr() == array.ctypes.data


@pytest.mark.parametrize("verify", [False, True])
def test_what_is_opened_for_reading_cannot_be_written_to(
    library: exia.Library, verify: bool
) -> None:
    model = library.open("m", read_only=True, verify=verify)
    assert not model.part("raw").writable
    assert model.view("raw").readonly
    with pytest.raises(ValueError, match="read-only"):
        model.tensors["w"][0] = 1
    assert np.array_equal(model.read()["n"], [[0, 1, 2], [3, 4, 5]])


def test_a_plain_directory_is_opened_for_reading_too(library: exia.Library, tmp_path: Path) -> None:
    library.export("m", tmp_path / "plain")
    model = exia.open_model(tmp_path / "plain", read_only=True, populate=True)
    assert model.view("raw").readonly


def test_beyond_the_limit_of_the_system_arrays_come_for_reading(library: exia.Library) -> None:
    code = """
import resource, sys, exia, numpy
library = exia.Library(sys.argv[1])
library.open("m").tensors["w"]  # what this needs is there
resource.setrlimit(resource.RLIMIT_DATA, (1, resource.RLIM_INFINITY))
w = library.open("m").tensors["w"]
print(w.flags.writeable, w[-1])
"""
    if resource.getrlimit(resource.RLIMIT_DATA)[1] != resource.RLIM_INFINITY:
        pytest.skip("the limit of data cannot be lowered and raised here")
    command = [sys.executable, "-c", code, str(library.url)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"False {SIZE - 1}.0\n", 0), done.stderr


@pytest.mark.parametrize("advice", ["normal", "random", "sequential", "will need", "populate"])
def test_advice_is_taken_for_all_and_for_some_of_the_bytes(
    library: exia.Library, advice: str
) -> None:
    part = library.open("m").part("raw")
    part.advise(advice)
    part.advise(advice, offset=5000, size=10)
    part.advise(advice, offset=part.size)
    part.advise(advice, offset=part.size, size=0)


def test_advice_that_there_is_not_is_refused(library: exia.Library) -> None:
    part = library.open("m").part("raw")
    with pytest.raises(exia.InvalidError, match="'huge'; there are: normal, random"):
        part.advise("huge")
    with pytest.raises(exia.InvalidError, match="beyond its end"):
        part.advise("random", offset=1, size=part.size)
    with pytest.raises(ValueError, match="offset"):
        part.advise("random", offset=-1)


@pytest.mark.parametrize("verify", [False, True])
def test_a_buffer_is_filled_from_the_file(library: exia.Library, verify: bool) -> None:
    part = library.open("m", verify=verify).part("raw")
    into = np.zeros(300, dtype=np.uint8)
    part.read_into(into, offset=1)
    assert bytes(into) == (bytes(range(256)) * 3)[1:301]
    part.read_into(memoryview(into)[:2], offset=part.size - 2)
    assert bytes(into[:3]) == b"\xfe\xff\x03"


@pytest.mark.parametrize("buffer", [b"bytes", 7, None, np.zeros((4, 4))[:, 1]])
def test_a_buffer_that_cannot_be_filled_is_a_type_error(
    library: exia.Library, buffer: object
) -> None:
    with pytest.raises(TypeError, match="writable and contiguous"):
        library.open("m").part("raw").read_into(buffer)


def test_a_buffer_that_is_too_large_stays_as_it_is(library: exia.Library) -> None:
    into = bytearray(10)
    part = library.open("m").part("raw")
    with pytest.raises(exia.InvalidError, match="beyond its end"):
        part.read_into(into, offset=part.size - 9)
    assert into == bytes(10)
