"""Objects of more than 4 GiB, really written and read, where the sizes no longer fit 32 bits.

It takes 15 GB of disk, 12 GB of memory and minutes: `make test-huge` runs it, nothing else does.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest

import exia

np = pytest.importorskip("numpy")

pytestmark = pytest.mark.skipif("EXIA_HUGE" not in os.environ, reason="make test-huge runs it")

GIB = 1 << 30
COUNT = 4 * GIB // 8 + 1000  # of eight bytes each


@pytest.fixture(scope="module")
def big() -> Any:
    return np.arange(COUNT, dtype=np.uint64)


def peak() -> int:
    """The most memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def check(found: Any, start: int = 0) -> None:
    """Every number, without another copy of them all."""
    assert (found.dtype, found[0], found[-1]) == (np.uint64, start, start + len(found) - 1)
    for at in range(0, len(found) - 1, 1 << 24):
        piece = found[at : at + (1 << 24) + 1]
        assert (piece[1:] == piece[:-1] + np.uint64(1)).all()


@pytest.mark.parametrize("kind", ["object", "tensors"])
def test_it_comes_back_whole_and_was_never_copied(
    kind: str, big: Any, library: exia.Library, tmp_path: Path
) -> None:
    tail = np.arange(5000.0)
    library.write("warm", [tail])
    before = peak()
    library.write("m", [big, "text", tail] if kind == "object" else {"big": big, "tail": tail})
    assert peak() - before < 64
    with library.open("m") as model:
        part = model.part()
        assert part.size > 4 * GIB
        assert os.stat(str(part.path)).st_size == part.size
        back = model.read()
        found, end = (back[0], back[2]) if kind == "object" else (back["big"], back["tail"])
        assert not found.flags.owndata
        check(found)
        assert (end == tail).all()
        part.advise("populate", offset=4 * GIB + 5, size=1000)
        last = bytearray(8)
        part.read_into(last, offset=part.size - 8)
        assert last == part.view()[-8:]


def test_it_is_verified_exported_checked_and_every_byte_counts(
    big: Any, library: exia.Library, tmp_path: Path
) -> None:
    library.write("m", big)
    check(library.open("m", verify=True).read())
    assert not library.fsck()
    library.export("m", tmp_path / "plain")
    with exia.open_model(tmp_path / "plain", verify=True) as model:
        check(model.tensors["array"])
        into = np.empty(1000, np.uint64)
        part = model.part()
        part.read_into(into, offset=part.size - 8000)
        check(into, COUNT - 1000)
    file = tmp_path / "plain" / "model"
    file.chmod(0o600)
    with open(file, "r+b") as out:
        out.seek(4 * GIB + 4096)
        out.write(b"\xff")
    with pytest.raises(exia.CorruptError, match="SHA-256"):
        exia.open_model(tmp_path / "plain", verify=True)
