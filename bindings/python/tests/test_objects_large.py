"""Objects that are large: in bytes, in arrays, in one array; what they cost in time and memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import exia
from exia import _objects, _tensors

np = pytest.importorskip("numpy")

TRUSTED = {"trusted": True}


def grown(code: str, directory: Path) -> int:
    """Run code in a process of its own; answer by how many MiB it made its peak grow."""
    program = (
        "import sys, resource, numpy as np, exia\n"
        "from exia import _objects\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "library = exia.Library(sys.argv[1])\n"
        "library.write('warm', [np.zeros(1000)])\n" + code + "print(peak() - before)\n"
    )
    command = [sys.executable, "-c", program, str(directory / "library")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


# ---- in bytes -----------------------------------------------------------------------------------


def test_a_large_model_is_written_without_a_second_copy(tmp_path: Path) -> None:
    code = (
        "big = [np.ones(16 << 20), 'text', np.ones(16 << 20)]\n"  # 256 MiB
        "before = peak()\n"
        "library.write('big', big)\n"
    )
    assert grown(code, tmp_path) < 32


def test_an_array_in_fortran_order_is_copied_once(tmp_path: Path) -> None:
    code = (
        "big = np.ones((4096, 2048)).T\n"  # 64 MiB
        "before = peak()\n"
        "library.write('big', big)\n"
    )
    assert grown(code, tmp_path) < 64 + 32


def test_a_file_beyond_four_gib_is_read_where_its_tensors_are(
    library: exia.Library, tmp_path: Path
) -> None:
    library.write("m", {"w": np.zeros(3)})
    library.export("m", tmp_path / "plain")
    (file,) = (f for f in (tmp_path / "plain").iterdir() if f.name != "version.json")
    hole = 5 << 30
    entries = {
        "hole": {"dtype": "U8", "shape": [hole], "data_offsets": [0, hole]},
        "w": {"dtype": "F64", "shape": [3], "data_offsets": [hole, hole + 24]},
    }
    header = json.dumps(entries).encode()
    file.chmod(0o600)
    with open(file, "wb") as out:  # a sparse file: it takes no room
        out.write(len(header).to_bytes(8, "little") + header)
        out.seek(hole, os.SEEK_CUR)
        out.write(np.arange(3.0).tobytes())
    facts = tmp_path / "plain" / "version.json"
    said = json.loads(facts.read_text())
    (part,) = said["version"]["parts"]
    part["size"] = file.stat().st_size
    facts.chmod(0o600)
    facts.write_text(json.dumps(said))
    with exia.open_model(tmp_path / "plain") as model:
        assert model.tensors["w"].tolist() == [0, 1, 2]
        assert model.tensors["hole"].shape == (hole,)
        assert not model.tensors["hole"][-1000:].any()
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(file, "np") as theirs:
        assert theirs.get_tensor("w").tolist() == [0, 1, 2]


@pytest.mark.parametrize("wrap", [lambda a: {"big": a, "w": np.arange(3.0)}, lambda a: [a, "w"]])
def test_a_file_beyond_four_gib_is_laid_out_without_a_copy(wrap: Any, tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as out:
        out.truncate(5 << 30)
    big = np.memmap(tmp_path / "sparse", np.uint8, "r")
    big = np.frombuffer(big, np.uint8)
    pieces = _objects.encode(wrap(big)).pieces
    length = sum(piece.nbytes for piece in pieces)
    assert length > 5 << 30
    assert any(piece.nbytes == 5 << 30 for piece in pieces)
    header = json.loads(bytes(pieces[0][8:]))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    assert max(ends) == length - pieces[0].nbytes


# ---- in arrays ----------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(np.stack(list(one)), np.stack(list(other))))


def test_a_dict_of_a_hundred_thousand_arrays_comes_back_from_few_pieces() -> None:
    arrays = {f"a{i}": np.full(8, i, np.float32) for i in range(100_000)}
    pieces = _objects.encode(arrays).pieces
    assert len(pieces) == 2  # what the C library, and the disk, are given
    twin = _objects.decode(memoryview(bytearray(b"".join(pieces))), TRUSTED, "x@1")
    assert list(twin) == list(arrays)
    assert same(twin.values(), arrays.values())


def test_two_hundred_thousand_arrays_in_an_object_come_back(library: exia.Library) -> None:
    arrays = [np.full(6, i, np.int32) for i in range(200_000)]
    library.write("m", {"arrays": arrays, "why": "no dict of arrays"})
    twin = library.read("m")
    assert twin["why"] == "no dict of arrays"
    assert same(twin["arrays"], arrays)


def test_a_hundred_thousand_arrays_take_little_memory_to_write_and_read(tmp_path: Path) -> None:
    code = (
        "arrays = {f'a{i}': np.zeros(8) for i in range(100_000)}\n"
        "before = peak()\n"
        "library.write('m', arrays)\n"
        "arrays = library.read('m')\n"
    )
    assert grown(code, tmp_path) < 220  # the header alone has 8 MiB, as Python objects 70


def test_ten_thousand_large_arrays_lie_each_on_a_boundary_of_its_own() -> None:
    arrays = [np.full(4097, i % 251, np.uint8) for i in range(10_000)]
    data = memoryview(bytearray(b"".join(_objects.encode(arrays).pieces)))
    _, tensors = _tensors.parse(data)
    assert len(tensors) == 10_001
    assert all(start % 64 == 0 for name, (*_, start, _) in tensors.items() if name != "__pickle__")
    assert same(_objects.decode(data, TRUSTED, "x@1"), arrays)


def test_the_time_grows_with_the_arrays_and_not_with_their_square() -> None:
    def seconds(count: int) -> float:
        arrays = {f"a{i}": np.zeros(8) for i in range(count)}
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            data = b"".join(_objects.encode(arrays).pieces)
            _objects.decode(memoryview(bytearray(data)), TRUSTED, "x@1")
            best = min(best, time.process_time() - start)
        return best

    assert seconds(40_000) < 8 * seconds(10_000)


# ---- the collector ------------------------------------------------------------------------------


class Spy:
    """Notes whether the collector ran while it was pickled and made again."""

    seen: list[bool]

    def __init__(self) -> None:
        self.seen = []

    def __reduce__(self) -> Any:
        return _spied, (gc.isenabled(),)


def _spied(before: bool) -> Spy:
    spy = Spy()
    spy.seen = [before, gc.isenabled()]
    return spy


@pytest.mark.parametrize("running", [True, False])
def test_the_collector_rests_and_is_as_it_was_after(running: bool) -> None:
    try:
        (gc.enable if running else gc.disable)()
        data = memoryview(bytearray(b"".join(_objects.encode(Spy()).pieces)))
        assert gc.isenabled() == running
        assert _objects.decode(data, TRUSTED, "x@1").seen == [False, False]
        assert gc.isenabled() == running
        with pytest.raises(exia.CorruptError):
            _objects.decode(memoryview(b"none"), TRUSTED, "x@1")
        with pytest.raises(TypeError):
            _objects.encode(threading.Lock())
        assert gc.isenabled() == running
    finally:
        gc.enable()
