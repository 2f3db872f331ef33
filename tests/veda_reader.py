"""A second reader of .veda files, written from the format alone: no code of the library is used.

It decompresses every frame by itself with the `zstd` tool, takes the tar apart block by block, and
checks all of it against RECORD.  What is not as it should be is a ValueError.
"""

import hashlib
import json
import struct
import subprocess
import sys
import urllib.parse

SEEK_TABLE, DIGESTS, FOOTER = 0x184D2A5E, 0x184D2A5B, 0x8F92EAB1
BLOCK = 512
KINDS = {b"0": "f", b"1": "h", b"2": "l", b"5": "d"}


def check(good, why):
    if not good:
        raise ValueError(why)


def decompress(frame):
    done = subprocess.run(["zstd", "-dc"], input=frame, capture_output=True)
    check(done.returncode == 0, f"zstd: {done.stderr.decode(errors='replace')}")
    return done.stdout


def frames(data):
    """The (bytes, decompressed size) of each frame, by the seek table at the end."""
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    check(magic == FOOTER and descriptor == 0, "no seek table")
    size = 8 + 8 * count + 9
    check(size <= len(data), "the seek table is larger than the file")
    table = data[-size:]
    check(struct.unpack("<II", table[:8]) == (SEEK_TABLE, size - 8), "the seek table's header")
    at, found = 0, []
    for packed, plain in struct.iter_unpack("<II", table[8:-9]):
        found.append((data[at : at + packed], plain))
        at += packed
    check(at == len(data) - size, "the frames do not fill the file")
    return found


def text(field):
    return field.split(b"\0", 1)[0]


def number(field):
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    return int(text(field), 8)


def tar_members(tar):
    """(path, kind, mode, content or target) of each member; the end must be two zero blocks."""
    at, long_name, long_target = 0, None, None
    while tar[at : at + BLOCK] != bytes(BLOCK):
        header = tar[at : at + BLOCK]
        check(len(header) == BLOCK, "the tar ends too early")
        blank = header[:148] + b" " * 8 + header[156:]
        check(number(header[148:156]) == sum(blank), "a checksum")
        check(header[257:265] == b"ustar\x0000", "a magic")
        size, kind, mode = number(header[124:136]), header[156:157], number(header[100:108])
        zero = [number(header[108:116]), number(header[116:124]), number(header[136:148])]
        check(zero == [0, 0, 0] and not any(header[265:329]), "an owner or a time")
        check(not any(header[345:]), "a prefix")
        content = tar[at + BLOCK : at + BLOCK + size]
        padded = -(-size // BLOCK) * BLOCK
        check(len(content) == size, "the content ends too early")
        check(not any(tar[at + BLOCK + size : at + BLOCK + padded]), "padding that is not zero")
        at += BLOCK + padded
        if kind in b"LK":
            check(content.endswith(b"\0") and size > 101, "a long name")
            if kind == b"L":
                long_name = content[:-1]
            else:
                long_target = content[:-1]
            continue
        path = text(header[:100]) if long_name is None else long_name
        target = text(header[157:257]) if long_target is None else long_target
        check(kind in KINDS, f"a member of type {kind!r}")
        check((kind == b"5") == path.endswith(b"/"), "a directory's name")
        yield path.rstrip(b"/"), KINDS[kind], mode, target if kind in b"12" else content
        long_name = long_target = None
    check(tar[at:] == bytes(2 * BLOCK), "something behind the end")


def quote(raw):
    return urllib.parse.quote_from_bytes(raw, safe="/+@").replace("~", "%7E")


def line(path, kind, mode, content):
    if kind in "lh":
        size, last = 0, quote(content)
    else:
        size, last = len(content), hashlib.sha256(content).hexdigest() if kind == "f" else "-"
    return f"{quote(path)} {kind} {mode:04o} {size} {last}\n"


def read(path):
    """METADATA.json and the members {raw path: (kind, mode, content or target)}, all checked."""
    with open(path, "rb") as file:
        parts = frames(file.read())
    plain = []
    for frame, size in parts:
        plain.append(decompress(frame) if size else b"")
        check(len(plain[-1]) == size, "a frame has another size than the seek table says")
    skippable = [i for i, (_, size) in enumerate(parts) if size == 0]
    check(skippable == [len(parts) - 3], "the digests are not where they should be")

    members = list(tar_members(b"".join(plain)))
    own = {m[0]: m[3] for m in members if m[0].startswith(b"VEDA/")}
    check(list(own)[:2] == [b"VEDA/RECORD", b"VEDA/METADATA.json"], "the package's own members")
    members = members[: -len(own)]
    metadata = json.loads(own[b"VEDA/METADATA.json"])
    check(metadata["format"] == 1, "the format")

    record = own[b"VEDA/RECORD"]
    check(record.decode() == "".join(line(*m) for m in members), "RECORD and the tar differ")
    check(hashlib.sha256(record).hexdigest() == metadata["digest"], "the digest of RECORD")
    order = [m[0].replace(b"/", b"\0") for m in members]
    check(order == sorted(set(order)), "the order of the members")
    check(metadata["members"] == len(members), "the number of members")
    check(metadata["size"] == sum(len(m[3]) for m in members if m[1] == "f"), "the size")

    digests = b"".join(hashlib.sha256(frame).digest() for frame, _ in parts[:-3])
    count = len(parts) - 3
    header = struct.pack("<II4sII", DIGESTS, 12 + len(digests), b"VEDA", 1, count)
    check(parts[-3][0] == header + digests, "the digests of the frames")
    check(hashlib.sha256(digests).hexdigest() == metadata["frames"]["digest"], "their digest")
    check(metadata["frames"]["data"] + metadata["frames"]["record"] == count, "their number")
    data = b"".join(plain[: metadata["frames"]["data"]])
    check(b"".join(plain).index(b"VEDA/RECORD\0") == len(data), "where RECORD begins")
    check(plain[-2].startswith(b"VEDA/METADATA.json\0"), "METADATA.json is not one frame")

    found = {m[0]: m[1:] for m in members}
    check(json.loads(found[b"veda.json"][2]) == metadata["manifest"], "the manifest")
    return metadata, found


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(read(name)[0], indent=2))
