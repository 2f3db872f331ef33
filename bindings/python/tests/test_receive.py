"""Packages from whatever can be read."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

import exia


@pytest.fixture
def veda(tmp_path: Path) -> Path:
    exia.new_workspace(tmp_path / "w", "hello")
    (tmp_path / "w" / "data").write_bytes(os.urandom(3_000_000))
    return Path(exia.pack(tmp_path / "w", tmp_path / "hello.veda"))


class Source:
    """Gives bytes in small pieces, or what a test wants it to do."""

    def __init__(self, data: bytes, piece: int = 10_000) -> None:
        self.data, self.piece, self.calls = data, piece, 0

    def read(self, size: int) -> bytes:
        self.calls += 1
        head, self.data = self.data[: self.piece], self.data[self.piece :]
        return head


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [None, "hello.veda", b"bytes", object(), True, 1.5])
def test_what_cannot_be_read_is_a_type_error(source: object) -> None:
    with pytest.raises(TypeError, match="source"):
        exia.receive(source)  # type: ignore[arg-type]


def test_text_is_no_package(veda: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        exia.receive(io.StringIO("text"), tmp_path / "to")
    with pytest.raises(exia.CorruptError, match="no package"):
        exia.receive(io.BytesIO(b"PK and so on"), tmp_path / "to")
    with pytest.raises(exia.CorruptError, match="no package"):
        exia.receive(io.BytesIO(), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_source_is_not_read_on_when_what_came_is_bad(veda: Path, tmp_path: Path) -> None:
    data = bytearray(veda.read_bytes())
    data[100] ^= 1
    source = Source(bytes(data) * 20)
    with pytest.raises(exia.CorruptError):
        exia.receive(source, tmp_path / "to")
    assert len(source.data) > 10 * len(data)
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("w", "hello.veda")] == []


def test_what_a_source_raises_is_raised_and_nothing_is_left(veda: Path, tmp_path: Path) -> None:
    class Broken(Source):
        def read(self, size: int) -> bytes:
            if self.calls == 20:
                raise ConnectionResetError("the other side is gone")
            return super().read(size)

    before = threading.active_count()
    with pytest.raises(ConnectionResetError, match="the other side"):
        exia.receive(Broken(veda.read_bytes()), tmp_path / "to")
    assert not (tmp_path / "to").exists()
    assert threading.active_count() == before
    assert len(os.listdir(tmp_path)) == 2


def test_the_name_of_a_file_stands_in_the_error(veda: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(veda.read_bytes()[:-1])
    for buffering in (-1, 0):
        with (
            open(tmp_path / "cut", "rb", buffering=buffering) as file,
            pytest.raises(exia.CorruptError, match="/cut is no package, or cut short"),
        ):
            exia.receive(file)


def test_a_signature_is_required_where_it_is_asked_for(veda: Path, tmp_path: Path) -> None:
    exia.new_key(tmp_path / "key.pem")
    trust = tmp_path / "trust.json"
    trust.write_text('{"format": 1}')
    with open(veda, "rb") as file, pytest.raises(exia.UntrustedError, match="not signed"):
        exia.receive(file, tmp_path / "to", require_signature=True, trust=trust)
    exia.sign(veda, key=tmp_path / "key.pem")
    with open(veda, "rb") as file, pytest.raises(exia.UntrustedError, match="not trusted"):
        exia.receive(file, tmp_path / "to", require_signature=True, trust=trust)
    assert not (tmp_path / "to").exists()
    exia.trust_key("me", tmp_path / "key.pub", trust=trust)
    with open(veda, "rb") as file:
        came = exia.receive(file, tmp_path / "to", require_signature=True, trust=trust)
    assert [row["state"] for row in came.signatures] == ["good"]
    assert (tmp_path / "to" / "data").exists()


# ---- what comes ---------------------------------------------------------------------------------


def test_every_kind_of_source_gives_the_same(veda: Path, tmp_path: Path) -> None:
    facts = exia.Package(veda).metadata
    data = veda.read_bytes()
    sources: list[object] = [io.BytesIO(data), Source(data), Source(data, 1 << 30)]
    sources += [open(veda, "rb"), open(veda, "rb", buffering=0), os.open(veda, os.O_RDONLY)]  # noqa: SIM115
    for number, source in enumerate(sources):
        target = tmp_path / f"to-{number}"
        assert exia.receive(source, target).metadata == facts  # type: ignore[arg-type]
        assert (target / "data").read_bytes() == (tmp_path / "w" / "data").read_bytes()
        if isinstance(source, int):
            os.close(source)
        elif hasattr(source, "close"):
            source.close()


def test_what_was_read_ahead_is_not_lost(veda: Path) -> None:
    with open(veda, "rb") as file:
        file.peek()  # type: ignore[attr-defined]
        assert exia.receive(file).metadata["manifest"]["name"] == "hello"


def test_a_pipe_and_a_socket_give_a_package(veda: Path) -> None:
    with subprocess.Popen(["cat", veda], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        assert [row["path"] for row in exia.receive(cat.stdout).files] == ["data", "veda.json"]
    here, there = socket.socketpair()
    with here, there:
        sending = threading.Thread(target=lambda: (there.sendall(veda.read_bytes()), there.close()))
        sending.start()
        here.settimeout(10)
        assert exia.receive(here).metadata["members"] == 2
        sending.join()
