"""A second reader of .veda files, written from libexia/package/FORMAT.md alone.

No code of the library is used: zstd's tool decompresses, and all else is here.  What is not as that
text says is a ValueError.  `python3 veda_reader.py [--key RW...] FILE` reads one.
"""

import hashlib
import itertools
import json
import re
import struct
import subprocess
import sys
import urllib.parse
from typing import NamedTuple

import veda_manifest
import veda_signature

MIB = 1 << 20
DIRECTORY, FILE, HARD_LINK, LINK = "dfhl"
FORMS = {DIRECTORY: b"5", FILE: b"0", HARD_LINK: b"1", LINK: b"2"}


class Member(NamedTuple):
    path: bytes
    kind: str
    mode: int
    size: int
    last: str  # a digest, or a target in quotes, or "-"

    @property
    def target(self):
        return urllib.parse.unquote_to_bytes(self.last) if self.kind in "hl" else b""

    @property
    def line(self):
        return f"{quote(self.path)} {self.kind} {self.mode:04o} {self.size} {self.last}\n"


class Package(NamedTuple):
    metadata: dict
    members: dict  # path: (kind, mode, content or target)
    text: bytes  # METADATA.json
    signature: bytes | None


def check(good, why):
    if not good:
        raise ValueError(why)


# ---- frames -------------------------------------------------------------------------------------


def frames(data):
    """The bytes and the size of the content of each frame but the seek table."""
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    check((magic, descriptor) == (0x8F92EAB1, 0) and count >= 5, "no seek table")
    begin = len(data) - 8 * count - 17
    check(begin > 0, "a seek table larger than the file")
    head = struct.pack("<II", 0x184D2A5E, 8 * count + 9)
    check(data[begin : begin + 8] == head, "the head of the seek table")
    sizes = list(struct.iter_unpack("<II", data[begin + 8 : -9]))
    ends = list(itertools.accumulate(size for size, _ in sizes))
    check(ends[-1] == begin and all(size for size, _ in sizes), "frames that do not fill the file")
    empty = [i for i, (_, plain) in enumerate(sizes) if plain == 0]
    check(empty == [count - 3], "a frame without content")
    return [(data[end - size : end], plain) for end, (size, plain) in zip(ends, sizes, strict=True)]


def check_frame(frame, plain):
    """Is it exactly one frame, and of a content of that size?"""
    magic, descriptor = struct.unpack("<IB", frame[:5])
    check(magic == 0xFD2FB528 and plain <= 4 * MIB and len(frame) <= 4210688, "a frame")
    single, at = descriptor & 0x20, 5
    if not single:
        check(0x38 <= frame[at] <= 0x60, "a window that is not of 128 KiB to 4 MiB")
        at += 1
    at += (0, 1, 2, 4)[descriptor & 3]
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    content = int.from_bytes(frame[at : at + width], "little") + (256 if width == 2 else 0)
    check(width > 0 and content == plain, "a frame of another size than in the seek table")
    at, last = at + width, False
    while not last:
        block = int.from_bytes(frame[at : at + 3], "little")
        check(at + 3 <= len(frame), "a frame cut short")
        last, kind = block & 1, block >> 1 & 3
        most = min(plain, 128 * 1024) if single else 128 * 1024
        check(block >> 3 <= most, "a block larger than 128 KiB or its content")
        at += 3 + (1 if kind == 1 else block >> 3)
    check(at + (descriptor & 4) == len(frame), "a frame that ends elsewhere")


def decompress(parts):
    """The contents of ordinary frames, in one go: the size of each is checked, there and here."""
    for frame, plain in parts:
        check_frame(frame, plain)
    packed = b"".join(frame for frame, _ in parts)
    done = subprocess.run(["zstd", "-dcq"], input=packed, capture_output=True)
    check(done.returncode == 0, f"zstd: {done.stderr.decode(errors='replace')}")
    ends = list(itertools.accumulate(plain for _, plain in parts))
    check(ends[-1] == len(done.stdout), "the size of all frames")
    return [done.stdout[end - plain : end] for end, (_, plain) in zip(ends, parts, strict=True)]


def check_stored(frame, content):
    pieces = [content[at : at + MIB // 8] for at in range(0, len(content), MIB // 8)]
    blocks = [
        (len(piece) << 3 | (i == len(pieces) - 1)).to_bytes(3, "little") + piece
        for i, piece in enumerate(pieces)
    ]
    head = struct.pack("<IBI", 0xFD2FB528, 0xA4, len(content))
    check(frame[:-4] == head + b"".join(blocks), "a frame of the tail that is not stored")


# ---- tar and RECORD -----------------------------------------------------------------------------


def padding(size):
    return bytes(-size % 512)


def block(name, mode, size, form, target=b""):
    length = b"%011o\0" % size if size < 8 << 30 else b"\x80" + size.to_bytes(11, "big")
    fields = [
        name[:100].ljust(100, b"\0"), b"%07o\0" % mode, b"0000000\0" * 2, length, b"0" * 11 + b"\0",
        b" " * 8, form, target[:100].ljust(100, b"\0"), b"ustar\x0000", bytes(64),
        b"0000000\0" * 2, bytes(167),
    ]  # fmt: skip
    fields[5] = b"%06o\0 " % sum(b"".join(fields))
    return b"".join(fields)


def header(member):
    """The header of a member, with those that hold long names."""
    name, found = member.path + (b"/" if member.kind == DIRECTORY else b""), b""
    for form, text in ((b"K", member.target), (b"L", name)):
        if len(text) > 100:
            found += block(b"././@LongLink", 0o644, len(text) + 1, form)
            found += text + b"\0" + padding(len(text) + 1)
    return found + block(name, member.mode, member.size, FORMS[member.kind], member.target)


def own(path, tar):
    """The content of one of the package's own members, which is all that is here."""
    size = int(tar[124:135], 8)
    content = tar[512 : 512 + size]
    member = Member(path, FILE, 0o644, size, "")
    check(tar == header(member) + content + padding(size), f"{path.decode()} in the tar")
    return content


def quote(raw):
    return urllib.parse.quote_from_bytes(raw, safe="/+@").replace("~", "%7E")


def parse(record):
    found, size_so_far = [], 0
    for line in re.findall(r"[^\n]*\n|[^\n]+", record.decode("ascii")):
        size_so_far += len(line)
        check(size_so_far <= 64 * MIB + 256 * (len(found) + 1), "the size of RECORD")
        path, kind, mode, size, last = line.rstrip("\n").split(" ")
        raw = urllib.parse.unquote_to_bytes(path)
        member = Member(raw, kind, int(mode, 8), int(size), last)
        plain = {FILE: r"[0-9a-f]{64}", DIRECTORY: "-"}
        check(member.line == line, "RECORD is written in another way")
        check(kind in plain or (kind in FORMS and size == "0"), "a kind of member")
        check(kind != DIRECTORY or size == "0", "a directory with a size")
        if kind in plain:
            check(re.fullmatch(plain[kind], last), "the end of a line")
        else:
            check(quote(member.target) == last, "a target is written in another way")
        found.append(member)
    return found


def check_path(path):
    parts = path.split(b"/")
    check(len(path) <= 4095 and b"\0" not in path, "a path")
    check(all(0 < len(part) <= 255 and part not in (b".", b"..") for part in parts), "a path")


def check_link(member, kinds):
    at = member.path.split(b"/")[:-1]
    parts = member.target.split(b"/")
    check(0 < len(member.target) <= 4095 and parts[0] != b"", "a link's target")
    check(b"\0" not in member.target, "a link's target")
    for i, part in enumerate(parts):
        if part == b"..":
            check(at, "a link that leads out")
            at.pop()
        elif part not in (b"", b"."):
            at.append(part)
            kind = kinds.get(b"/".join(at))
            check(kind and (kind == DIRECTORY or i == len(parts) - 1), "a link to nothing")


def check_members(members):
    kinds = {member.path: member.kind for member in members}
    before, last = {}, b""
    for member in members:
        check_path(member.path)
        folder, slash, _ = member.path.rpartition(b"/")
        order = member.path.replace(b"/", b"\0")
        check(last < order, "members that are out of order")
        check(not slash or kinds.get(folder) == DIRECTORY, "a member in no directory")
        check(member.path.split(b"/")[0] != b"VEDA", "a member VEDA")
        check(member.size <= 2**63 - 1025, "a size")
        if member.kind == LINK:
            check(member.mode == 0o777, "the mode of a link")
            check_link(member, kinds)
        else:
            check(member.mode & ~0o755 == 0, "a mode")
        if member.kind == HARD_LINK:
            check(before.get(member.target) == (FILE, member.mode), "a hard link")
        before[member.path], last = (member.kind, member.mode), order
    total = sum(len(header(m)) + m.size + -m.size % 512 for m in members)
    check(total < 2**63 and kinds.get(b"veda.json") == FILE, "what members there are")


# ---- all of it ----------------------------------------------------------------------------------


def contents(members, tar):
    """What each member holds, its header, its digest and its padding compared."""
    at, found = 0, {}
    for member in members:
        head = header(member)
        content = tar[at + len(head) : at + len(head) + member.size]
        check(tar[at : at + len(head)] == head, f"the header of {member.path!r}")
        at += len(head) + len(content)
        if member.kind == FILE:
            check(hashlib.sha256(content).hexdigest() == member.last, f"{member.path!r} changed")
        check(tar[at : at + -member.size % 512] == padding(member.size), "padding")
        at += -member.size % 512
        found[member.path] = (member.kind, member.mode, member.target or content)
    check(at == len(tar), "members of another size")
    return found


def read_checked(data):
    *packed, digests, metadata_frame, end_frame = frames(data)
    *plain, metadata_tar, end = decompress([*packed, metadata_frame, end_frame])
    check_stored(metadata_frame[0], metadata_tar)
    check_stored(end_frame[0], end)

    text = own(b"VEDA/METADATA.json", metadata_tar)
    metadata = veda_manifest.metadata(text)
    count, data_frames = len(packed), metadata["frames"]["data"]
    check(data_frames + metadata["frames"]["record"] == count, "the number of frames")
    each = b"".join(hashlib.sha256(frame).digest() for frame, _ in packed)
    head = struct.pack("<II4sII", 0x184D2A5B, 12 + 32 * count, b"VEDA", 1, count)
    check(digests[0] == head + each, "the digests of the frames")
    check(hashlib.sha256(each).hexdigest() == metadata["frames"]["digest"], "their digest")

    record = own(b"VEDA/RECORD", b"".join(plain[data_frames:]))
    check(hashlib.sha256(record).hexdigest() == metadata["digest"], "the digest of RECORD")
    check(len(record) == metadata["record"] <= 2048 * MIB, "the size of RECORD")
    tar = b"".join(plain[:data_frames])
    count = record.count(b"\n")
    check(count == metadata["members"] <= 16_000_000, "the number of members")
    check(512 * count <= len(tar), "more members than there are headers")  # before all that work
    members = parse(record)
    check(sum(member.size for member in members) == metadata["size"], "the size of all files")
    check_members(members)
    found = contents(members, tar)

    manifest = found[b"veda.json"][2]
    check(len(manifest) <= MIB, "the size of veda.json")
    veda_manifest.compare(manifest, metadata["manifest"], found)

    check(end[-1024:] == bytes(1024), "the end of the tar")
    signature = own(b"VEDA/SIGNATURE", end[:-1024]) if len(end) > 1024 else None
    if signature is not None:
        veda_signature.parse(signature)
    return Package(metadata, found, text, signature)


def read(path):
    """Everything in a package, all of it checked."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return read_checked(data)
    except (struct.error, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


if __name__ == "__main__":
    key = sys.argv[2] if sys.argv[1:2] == ["--key"] else None
    package = read(sys.argv[-1])
    if key is not None:
        check(package.signature is not None, "it is not signed")
        veda_signature.check(package.signature, package.text, key)
    print(json.dumps(package.metadata, indent=2))
