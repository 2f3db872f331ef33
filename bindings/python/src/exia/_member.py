"""One file of a package as a binary file of Python: seekable, read by ranges, nothing unpacked."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from exia._handle import call
from exia._native import ffi, lib
from exia._progress import Job

if TYPE_CHECKING:
    from exia.package import Package

PIECE = 4 << 20  # what is read at once: a frame has no more, and is decompressed whole


class Member(io.RawIOBase):
    """The unbuffered file; it keeps its package open."""

    def __init__(self, package: Package, raw: bytes, name: str, size: int) -> None:
        self._package, self._raw, self._size, self._at = package, raw, size, 0
        self.name = name
        self.mode = "rb"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._checked()
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._checked()
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}
        if whence not in origins:
            raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
        at = origins[whence] + offset
        if at < 0:
            raise ValueError(f"the position {at} is before the beginning of the file")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        self._checked()
        into = memoryview(buffer).cast("B")
        size = max(0, min(len(into), self._size - self._at))
        if size:
            read_into(self._package, into, self._raw, self._at, size)
            self._at += size
        return size

    def readall(self) -> bytes:
        data = bytearray(max(0, self._size - self._at))
        self.readinto(data)
        return bytes(data)

    def _checked(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")


def read_into(package: Package, into: Any, raw: bytes, at: int, size: int) -> None:
    """Fill a buffer with a part of a file."""
    with Job() as job, ffi.from_buffer("char[]", into) as memory:
        call(lib.exia_package_read, memory, package._c, raw, at, size, job.c)
