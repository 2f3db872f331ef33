"""A package from anything that can be read: a pipe, a socket, a response of HTTP.

C reads a descriptor.  What has one that holds all its bytes is read directly; what is read by
Python code, or has a buffer, is pumped into a pipe by the calling thread, while another is in C.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from exia._arguments import MOST, flag, integer, path_or_null, refuse
from exia._handle import call, owned
from exia._native import ffi, lib
from exia._progress import Job
from exia.package import Package

PIECE = 1 << 20


class Readable(Protocol):
    """What has a `read`, as every file that is open in binary mode."""

    def read(self, size: int, /) -> Any:
        """At most so many bytes; none at the end."""


def receive(
    source: int | Readable | socket.socket,
    directory: str | os.PathLike[str] | None = None,
    *,
    require_signature: bool = False,
    trust: str | os.PathLike[str] | None = None,
) -> Package:
    """Read a package in order to the end of a stream, and verify or unpack it on the way.

    Parameters
    ----------
    source
        A file descriptor, a socket, or what has a `read` that gives bytes.
    directory
        Unpack into it, which must be absent or empty: verified, and whole or not at all.  None:
        only verify.
    require_signature
        It must be signed by a trusted key.  The trust file may require that of every package.
    trust
        The file that says whose signatures count; None: `trust.json` in the home of Exia.

    Returns
    -------
    Package
        What came, to be asked for all but its payload, which was not kept.

    Raises
    ------
    CorruptError
        What came is no package, damaged or cut short, or goes on behind the package.
    UntrustedError
        The signature is not of this package; or one is required, and there is none that counts.

    Examples
    --------
    >>> import exia, tempfile
    >>> place = tempfile.mkdtemp()
    >>> exia.new_workspace(place + "/w", "hello")
    >>> with open(exia.pack(place + "/w", place + "/hello.veda"), "rb") as file:
    ...     exia.receive(file, place + "/unpacked").metadata["manifest"]["name"]
    'hello'
    """
    order = _Order(source, directory, flag(require_signature, "require_signature"), trust)
    direct = _descriptor(source)
    if direct is not None:
        return order.receive(direct)
    read = getattr(source, "read", None)
    if not callable(read):
        refuse(source, "source", "a descriptor, a socket, or what has a read")
    return _pump(read, order)


class _Order:
    """All that is wanted but where the bytes come from."""

    def __init__(self, source: object, directory: Any, require_signature: bool, trust: Any) -> None:
        name = getattr(source, "name", None)
        self._name = name if isinstance(name, str) else "the stream"
        self._directory = path_or_null(directory, "directory")
        self._trust = owned(path_or_null(trust, "trust"))
        self._required = require_signature

    def receive(self, descriptor: int) -> Package:
        options = ffi.new("exia_receive_options *")
        options.struct_size = ffi.sizeof("exia_receive_options")
        name = ffi.new("char[]", os.fsencode(self._name))
        options.name, options.trust_file = name, self._trust
        options.require_signature = self._required
        out = ffi.new("exia_package **")
        with Job() as job:
            job.c.timeout_ms = MOST  # how long to wait is the source's affair
            call(lib.exia_package_receive, out, descriptor, self._directory, options, job.c)
        return Package._taken(out[0], self._name, self._trust)


def _descriptor(source: Any) -> int | None:
    """Where all that comes can be read, if there is such a place."""
    if isinstance(source, int):
        return integer(source, "source", 0, 2**31 - 1)
    plain = isinstance(source, socket.socket) and not hasattr(source, "read")  # ssl has one
    return source.fileno() if plain or isinstance(source, io.FileIO) else None


def _pump(read: Callable[[int], Any], order: _Order) -> Package:
    ours, theirs = os.pipe()

    def receive_and_close() -> Package:
        try:
            return order.receive(ours)
        finally:
            os.close(ours)  # so that who writes hears of it

    # closed in this order: who reads sees the end, and is waited for
    with ThreadPoolExecutor(1, "exia-receive") as threads, open(theirs, "wb", buffering=0) as pipe:
        done = threads.submit(receive_and_close)
        _copy(read, pipe)
    return done.result()


def _copy(read: Callable[[int], Any], pipe: io.FileIO) -> None:
    while data := memoryview(read(PIECE)).cast("B"):
        while data:
            try:
                data = data[pipe.write(data) :]
            except BrokenPipeError:
                return  # enough was seen, and C says why
