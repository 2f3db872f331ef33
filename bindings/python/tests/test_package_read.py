"""One file out of a package: read, opened, written to a descriptor, verified, unpacked."""

from __future__ import annotations

import io
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import exia

LARGE = random.Random(7).randbytes(9_000_000)  # several frames
NAMES = {
    "code/a.py": b"x = 1\n",
    "code/empty": b"",
    "code/one": b"1",
    "data/a b": b"hello" * 1000,
    "data/large.bin": LARGE,
}


@pytest.fixture
def package(tmp_path: Path) -> exia.Package:
    workspace = tmp_path / "workspace"
    exia.new_workspace(workspace, "hello")
    for name, data in NAMES.items():
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_bytes(data)
    (workspace / "data" / "same").hardlink_to(workspace / "data" / "a b")
    (workspace / "data" / "link").symlink_to("a b")
    manifest = (workspace / "veda.json").read_text()
    component = '"components": [{"path": "code", "kind": "code"}]'
    (workspace / "veda.json").write_text(manifest.replace('"components": []', component))
    return exia.Package(exia.pack(workspace, tmp_path / "hello.veda"))


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["none", "", "data/", "/data/a b", "../hello", "data/a%20b"])
def test_a_path_that_is_not_there_is_refused(package: exia.Package, path: str) -> None:
    for refused in (package.read, package.open, lambda p: package.verify(path=p)):
        with pytest.raises(exia.NotFoundError, match="no member"):
            refused(path)


def test_what_is_no_file_is_refused_and_a_link_says_what_it_leads_to(
    package: exia.Package,
) -> None:
    with pytest.raises(exia.InvalidError, match="directory"):
        package.read("data")
    with pytest.raises(exia.InvalidError, match='file that "a b" is'):
        package.open("data/link")
    for wrong in (None, 7, b"data".hex, "a\0b"):
        with pytest.raises((TypeError, exia.InvalidError)):
            package.read(wrong)  # type: ignore[arg-type]


def test_a_flipped_bit_is_seen_by_whoever_reads_it_and_by_nobody_else(
    package: exia.Package, tmp_path: Path
) -> None:
    raw = bytearray(Path(package.file).read_bytes())
    raw[len(raw) // 2] ^= 1  # in the large file, which takes nearly all of it
    bad = tmp_path / "bad.veda"
    bad.write_bytes(raw)
    broken = exia.Package(bad)
    broken.verify(quick=True)
    broken.verify(path="code")
    assert broken.read("code/a.py") == NAMES["code/a.py"]
    for refused in (
        broken.verify,
        lambda: broken.verify(path="data"),
        lambda: broken.read("data/large.bin"),
        lambda: broken.open("data/large.bin").read(),
    ):
        with pytest.raises(exia.CorruptError):
            refused()
    with open(tmp_path / "out", "wb") as out, pytest.raises(exia.CorruptError):
        broken.cat("data/large.bin", out)


def test_a_pipe_that_nobody_reads_is_an_error(package: exia.Package) -> None:
    out, into = os.pipe()
    os.close(out)
    with pytest.raises(OSError, match="Broken pipe"), os.fdopen(into, "wb") as file:
        package.cat("data/large.bin", file)


def test_a_closed_package_or_file_is_refused(package: exia.Package) -> None:
    file = package.open("code/a.py")
    other = package.open("data/large.bin")
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read()
    package.close()
    with pytest.raises(exia.ClosedError):
        package.read("code/a.py")
    with pytest.raises(exia.ClosedError):
        other.read()


def test_no_component_of_that_path_is_refused(package: exia.Package, tmp_path: Path) -> None:
    for wrong in ("data", "code/a.py", ""):
        with pytest.raises(exia.NotFoundError, match="no component"):
            package.unpack(tmp_path / "out", component=wrong)
    with pytest.raises(exia.NotFoundError, match="matches"):
        package.unpack(tmp_path / "out", "data/*", component="code")
    assert not (tmp_path / "out").exists()


# ---- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_opened_and_written_as_it_was_packed(
    package: exia.Package, tmp_path: Path, name: str
) -> None:
    data = NAMES[name]
    assert package.read(name) == data
    with package.open(name) as file:
        assert file.read() == data
        assert file.read() == b""
    with open(tmp_path / "out", "wb") as out:
        package.cat(name, out)
    assert (tmp_path / "out").read_bytes() == data
    package.verify(path=name)


def test_a_hard_link_is_read_as_its_file(package: exia.Package) -> None:
    assert package.read("data/same") == package.read("data/a b") == NAMES["data/a b"]
    package.verify(path="data/same")


def test_an_open_file_answers_as_one_in_memory(package: exia.Package) -> None:
    ours, theirs = package.open("data/large.bin"), io.BytesIO(LARGE)
    chance = random.Random(3)
    for _ in range(40):
        at, size = chance.randrange(len(LARGE) + 10), chance.choice([0, 1, 100, 5_000_000])
        whence = chance.choice([io.SEEK_SET, io.SEEK_END])
        offset = at if whence == io.SEEK_SET else -min(at, len(LARGE))
        assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        assert ours.read(size) == theirs.read(size)
        assert ours.tell() == theirs.tell()
    with pytest.raises(ValueError, match="before the beginning"):
        ours.seek(-1)
    assert not ours.writable()
    assert ours.name == "data/large.bin"


def test_threads_share_a_package(package: exia.Package) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(package.read, list(NAMES) * 3))
    assert found == list(NAMES.values()) * 3


def test_lines_are_read_as_of_any_file(package: exia.Package) -> None:
    assert list(io.TextIOWrapper(package.open("code/a.py"))) == ["x = 1\n"]


def test_a_component_is_unpacked_by_itself(package: exia.Package, tmp_path: Path) -> None:
    package.unpack(tmp_path / "code only", component="code", sync=False)
    found = sorted(
        str(p.relative_to(tmp_path / "code only")) for p in (tmp_path / "code only").rglob("*")
    )
    assert found == ["code", "code/a.py", "code/empty", "code/one"]
    package.unpack(tmp_path / "one", "*/a.py", component="code")
    assert [p.name for p in (tmp_path / "one" / "code").iterdir()] == ["a.py"]


def test_a_large_file_is_unpacked_with_its_mode_and_its_holes(tmp_path: Path) -> None:
    exia.new_workspace(tmp_path / "w", "hello")
    file = tmp_path / "w" / "sparse"
    with file.open("wb") as out:
        out.write(b"begin")
        out.seek(64 << 20)
        out.write(b"end")
    file.chmod(0o555)
    package = exia.Package(exia.pack(tmp_path / "w", tmp_path / "w.veda"))
    package.unpack(tmp_path / "out")
    there = tmp_path / "out" / "sparse"
    assert there.stat().st_mode & 0o777 == 0o555
    assert there.stat().st_blocks * 512 < 16 << 20
    assert there.read_bytes() == file.read_bytes()
