"""Backups that somebody else made up are refused, and leave the library as it was."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import exia

LARGE = b"x" * 20000
Entries = list[dict[str, Any]]
REFUSED = (exia.CorruptError, exia.VersionError)


@pytest.fixture
def source(library: exia.Library, tmp_path: Path) -> Path:
    """A backup in a directory: one model of three versions, of both kinds of parts."""
    library.write("m", LARGE, alias="live")
    library.write("m", b"small", alias="live")
    library.write("m", b"y" * 20000)
    library.remove("m", 3)
    library.rollback("m", "live")
    library.backup(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def other(tmp_path: Path) -> exia.Library:
    return exia.Library(tmp_path / "other")


def log_of(source: Path) -> Path:
    return source / "logs" / "m" / "0000000000000001.jsonl"


def entries_of(source: Path) -> Entries:
    return [json.loads(line) for line in log_of(source).read_text().splitlines()]


def write_entries(source: Path, entries: Entries) -> None:
    """Put other entries there, with a list that fits them."""
    text = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
    log_of(source).write_bytes(text)
    digest = hashlib.sha256(text).hexdigest()
    log = {"first": 1, "last": len(entries), "size": len(text), "sha256": digest}
    change_list(source, models={"m": {"head": len(entries), "logs": [log]}})


def change_list(source: Path, **members: Any) -> None:
    path = source / "backup.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def one_file(source: Path, *extra: tuple[str, bytes] | tarfile.TarInfo, order: str = "") -> Path:
    """Make the directory one file; `extra` members come before the list."""
    names = [str(p.relative_to(source)) for p in sorted(source.rglob("*")) if p.is_file()]
    names = [n for n in names if n.startswith("logs/")] + [
        n for n in names if n.startswith("blobs/")
    ]
    members: list[Any] = [(name, (source / name).read_bytes()) for name in names]
    list_member = ("backup.json", (source / "backup.json").read_bytes())
    members = {
        "": [*members, *extra, list_member],
        "extra first": [*extra, *members, list_member],
        "list first": [list_member, *members],
        "extra last": [*members, list_member, *extra],
        "no list": members,
        "blobs first": [*members[::-1], list_member],
    }[order]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    path = source.with_suffix(".tar.zst")
    packed = subprocess.run(
        ["zstd", "-qc"], input=buffer.getvalue(), capture_output=True, check=True
    )
    path.write_bytes(packed.stdout)
    return path


def refused(other: exia.Library, path: Path, says: str = "") -> None:
    with pytest.raises(REFUSED, match=says or None):
        other.restore(path)
    assert other.search() == []
    with pytest.raises(exia.NotFoundError):
        other.history("m")


def refused_both(other: exia.Library, source: Path, says: str = "") -> None:
    refused(other, source, says)
    refused(other, one_file(source), says)


def test_what_is_put_together_by_hand_is_as_good(source: Path, other: exia.Library) -> None:
    write_entries(source, entries_of(source))
    assert other.restore(one_file(source)) == [{"name": "m", "entries": 5, "new": 5}]
    assert other.restore(source)[0]["new"] == 0
    assert other.read("m@live") == LARGE


def publish(number: int, **part: Any) -> Callable[[Entries], None]:
    """Change the first part of a version."""

    def change(entries: Entries) -> None:
        entries[number - 1]["version"]["parts"][0].update(part)

    return change


def said(at: int, **members: Any) -> Callable[[Entries], None]:
    return lambda entries: entries[at].update(members)


def key(entries: Entries) -> str:
    return str(entries[0]["version"]["parts"][0]["key"])


FORGED: dict[str, tuple[Callable[[Entries], Any], str]] = {
    "a gap": (lambda e: e.pop(1), "entry 2 of the log of m"),
    "two at once": (lambda e: e.insert(0, e[0]), "publish version 2"),
    "no token": (said(0, token=None), "entry 1"),
    "a token that is no name": (said(0, token="../x"), "entry 1"),
    "a time that is none": (said(0, time="zzzz-zz-zzTzz:zz:zz.zzzZ"), "time"),
    "a month that is none": (said(0, time="2026-13-01T00:00:00.000Z"), "time"),
    "a time that runs back": (said(1, time="1999-01-01T00:00:00.000Z"), "time"),
    "another format": (said(0, format=2), "newer"),
    "another verb": (said(0, do="burn"), "not known"),
    "a number": (lambda e: e[1]["version"].update(number=7), "publish version 2"),
    "a negative size": (publish(1, size=-1), "size"),
    "another size": (publish(1, size=19999), "19999"),
    "a huge size": (publish(1, size=2**60), "bytes"),
    "another digest": (publish(1, sha256="0" * 64), "key"),
    "a key elsewhere": (publish(1, key="library-id"), "key"),
    "a key above": (publish(1, key="sha256/../../catalog.db"), "key"),
    "both kinds": (publish(1, inline="eA=="), "not one of"),
    "inline bytes": (publish(2, inline=base64.b64encode(b"smaLL").decode()), "SHA-256"),
    "inline nonsense": (publish(2, inline="!!!!!!!="), "base64"),
    "inline too large": (publish(2, size=20000), "too large"),
    "a part's name": (publish(1, name="../../x"), "name"),
    "a move from elsewhere": (lambda e: e[1]["moves"][0].update({"from": 2}), "stand"),
    "a move to nowhere": (lambda e: e[1]["moves"][0].update({"to": 9}), "no version"),
    "a rollback elsewhere": (lambda e: e[4]["moves"][0].update({"to": 2}), "history"),
    "a removal of nothing": (lambda e: e[3]["version"].update(number=8), "not there"),
    "a repair": (
        lambda e: e.append(
            e[4]
            | {"do": "repair", "version": {"number": 1, "parts": [{"name": "model", "key": "x"}]}}
        ),
        "key",
    ),
    "a text": (lambda e: e.__setitem__(2, "no object"), "entry 3"),
}


@pytest.mark.parametrize("what", FORGED)
def test_an_entry_that_no_writer_wrote_is_refused(
    source: Path, other: exia.Library, what: str
) -> None:
    entries = entries_of(source)
    FORGED[what][0](entries)
    write_entries(source, entries)
    refused_both(other, source, FORGED[what][1])


def test_a_log_is_what_the_list_says(source: Path, other: exia.Library) -> None:
    log = log_of(source)
    text = log.read_bytes()
    for forged in (
        text[:-1],
        text[:-40],
        text + b"\n",
        b"",
        text.replace(b"rollback", b"rollbacK"),
    ):
        log.write_bytes(forged)
        refused_both(other, source)
    log.unlink()
    refused(other, source, "missing")


def test_a_list_that_is_none_is_refused(source: Path, other: exia.Library) -> None:
    path = source / "backup.json"
    good = json.loads(path.read_text())
    for forged in ("", "[]", "{", "{}", '{"format": 1}', "null", "\0" * 100):
        path.write_text(forged)
        refused_both(other, source)
    changes: list[dict[str, Any]] = [
        {"format": 2},
        {"library": "x" * 1000},
        {"models": []},
        {"models": {}},
        {"models": good["models"] | {"n": good["models"]["m"]}},
        {"models": {"../m": good["models"]["m"]}},
        {"models": {"m": good["models"]["m"] | {"head": 4}}},
        {"models": {"m": {"head": 5, "logs": [{"first": -1}]}}},
        {"models": {"m": {"head": 5, "logs": "x"}}},
    ]
    for change in changes:
        path.write_text(json.dumps(good | change))
        if change == {"models": {}}:  # a backup of nothing, in a directory; the file has too much
            assert other.restore(source) == []
        else:
            refused(other, source)
        refused(other, one_file(source))


def blob_of(source: Path) -> Path:
    digest = hashlib.sha256(LARGE).hexdigest()
    return source / "blobs" / "sha256" / digest[:2] / digest


def test_a_blob_is_what_its_name_says(source: Path, other: exia.Library) -> None:
    blob = blob_of(source)
    for forged in (b"", LARGE[:-1], LARGE + b"x", b"y" * 20000):
        blob.write_bytes(forged)
        refused_both(other, source, blob.name[:8])
    blob.unlink()
    refused_both(other, source, "missing")


def test_no_link_is_followed_and_no_pipe_is_waited_for(
    source: Path, other: exia.Library, tmp_path: Path
) -> None:
    blob, elsewhere = blob_of(source), tmp_path / "elsewhere"
    blob.rename(elsewhere)
    blob.symlink_to(elsewhere)
    with pytest.raises(exia.ExiaError):
        other.restore(source)
    blob.unlink()
    os.mkfifo(blob)
    refused(other, source, "regular")
    blob.unlink()
    blob.mkdir()
    refused(other, source, "regular")
    blob.rmdir()
    elsewhere.rename(blob)
    (source / "logs" / "m").rename(tmp_path / "m")
    (source / "logs" / "m").symlink_to(tmp_path / "m")
    with pytest.raises(exia.ExiaError):
        other.restore(source)
    assert other.search() == []


NAMES = """
../evil /tmp/evil evil logs/../../evil logs/m logs/m/1.jsonl logs/m/x.jsonl ./backup.json
blobs/sha256/zz/evil blobs/{zeros} blobs/sha256/11/{zeros} {long} logs/{long}/0000000000000001.jsonl
"""


@pytest.mark.parametrize("name", NAMES.format(zeros="0" * 64, long="x" * 200).split())
def test_a_member_with_another_name_is_refused(
    source: Path, other: exia.Library, name: str
) -> None:
    refused(other, one_file(source, (name, b"evil"), order="extra first"))
    refused(other, one_file(source, (name, b"evil")))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_a_member_that_is_no_plain_file_is_refused(
    source: Path, other: exia.Library, kind: bytes
) -> None:
    member = tarfile.TarInfo("logs/n/0000000000000001.jsonl")
    member.type, member.linkname = kind, "/etc/passwd"
    refused(other, one_file(source, member, order="extra first"))


@pytest.mark.parametrize("order", ["list first", "no list", "blobs first", "extra last"])
def test_members_in_another_order_are_refused(
    source: Path, other: exia.Library, order: str
) -> None:
    refused(other, one_file(source, ("evil", b""), order=order))


def test_a_model_comes_once(source: Path, other: exia.Library) -> None:
    log = ("logs/m/0000000000000001.jsonl", log_of(source).read_bytes())
    between = ("logs/n/0000000000000001.jsonl", log[1])
    refused(other, one_file(source, log, order="extra first"))
    refused(other, one_file(source, log, between, order="extra first"), "twice")


def test_a_file_that_is_cut_or_overwritten_is_refused(source: Path, other: exia.Library) -> None:
    path = one_file(source)
    whole = path.read_bytes()
    for size in (0, 1, 10, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(other, path)
    for at in range(0, len(whole), max(1, len(whole) // 20)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            other.restore(path)
        except exia.ExiaError:
            assert other.search() == []
        else:  # a checksum of zstd's own, a field of tar that nobody reads
            assert other.read("m@live") == LARGE
            return


def test_what_swells_is_refused_before_it_does(source: Path, other: exia.Library) -> None:
    swollen = ("logs/n/0000000000000001.jsonl", b" " * (65 << 20))
    refused(other, one_file(source, swollen, order="extra first"), "more than")
    blob = (str(blob_of(source).relative_to(source)), b"\0" * (8 << 20))
    refused(other, one_file(source, blob, order=""), "its log says|is not what")
