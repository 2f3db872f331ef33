"""One part of an open version: where it lies, its bytes, its tensors, and how they will be used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exia._arguments import flag, integer, refuse
from exia._handle import NULL, call, keep
from exia._native import ffi, lib
from exia._progress import Job
from exia._tensors import Tensors, parse
from exia.errors import InvalidError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ADVICE = {
    "normal": lib.EXIA_ADVICE_NORMAL,
    "random": lib.EXIA_ADVICE_RANDOM,
    "sequential": lib.EXIA_ADVICE_SEQUENTIAL,
    "will need": lib.EXIA_ADVICE_WILL_NEED,
    "populate": lib.EXIA_ADVICE_POPULATE,
}


def open_flags(verify: bool, populate: bool, read_only: bool) -> int:
    """Join what an open is asked for."""
    return int(
        (flag(verify, "verify") and lib.EXIA_OPEN_VERIFY)
        | (flag(populate, "populate") and lib.EXIA_OPEN_POPULATE)
        | (flag(read_only, "read_only") and lib.EXIA_OPEN_READ_ONLY)
    )


class Part:
    """One part of an open version, from `Model.part`; it stays valid when the model is closed.

    Attributes
    ----------
    name, format
        As they were written: "model", "safetensors".
    size
        In bytes.
    path, fd
        The local file that holds it and a descriptor of it, to be read only and not to be closed;
        None: it is in no local file.
    writable
        Whether the bytes may be written to, which changes this mapping only.

    Examples
    --------
    >>> import exia, tempfile
    >>> library = exia.Library(tempfile.mkdtemp())
    >>> library.write("x", b"some bytes")
    1
    >>> part = library.open("x").part()
    >>> part.advise("random")
    >>> into = bytearray(4)
    >>> part.read_into(into, offset=5)
    >>> bytes(part.view()), bytes(into)
    (b'some bytes', b'byte')
    """

    __slots__ = ("_c", "_name", "_view", "fd", "format", "name", "path", "size", "writable")

    def __init__(self, model: Any, name: str, format: str) -> None:
        self._c, self._name = model, name.encode()
        self._view = ffi.new("exia_view *")
        call(lib.exia_model_view, self._view, model, self._name)
        there = self._view.path != NULL
        self.name, self.format = name, format
        self.size = int(self._view.size)
        self.path = Path(os.fsdecode(ffi.string(self._view.path))) if there else None
        self.fd = int(self._view.fd) if there else None
        self.writable = bool(self._view.writable)

    def view(self) -> memoryview:
        """View the bytes without a copy; writing changes this mapping only."""
        if not self.size:
            return memoryview(b"")
        # The gc'd model is what the buffer keeps alive, and the buffer is what arrays keep alive.
        view = memoryview(ffi.buffer(keep(self._view.data, self._c), self.size))
        return view if self.writable else view.toreadonly()

    def __buffer__(self, flags: int) -> memoryview:
        return self.view()

    @property
    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """Its tensors by name, each an array that is a view of the mapping.

        Other libraries take them without a copy, too: `torch.from_dlpack(part.tensors["w"])`.
        """
        view = self.view()
        return Tensors(view, parse(view)[1])

    def advise(self, advice: str, *, offset: int = 0, size: int | None = None) -> None:
        """Tell the system how the bytes will be used.

        Parameters
        ----------
        advice
            "random" (read nothing ahead), "sequential" (read far ahead), "will need" (begin to read
            now), "populate" (return when the pages are here), or "normal".
        offset, size
            Which bytes; None: all that follow.
        """
        if advice not in ADVICE:
            raise InvalidError(f"no advice is called {advice!r}; there are: {', '.join(ADVICE)}")
        if size == 0:
            return
        call(
            lib.exia_model_advise, self._c, self._name, integer(offset, "offset", 0),
            0 if size is None else integer(size, "size", 1), ADVICE[advice],
        )  # fmt: skip

    def read_into(self, buffer: Any, *, offset: int = 0) -> None:
        """Fill a buffer with the bytes of the file, in large pieces and past the mapping.

        Parameters
        ----------
        buffer
            Anything writable and contiguous: an array, a bytearray, memory pinned for a GPU.
        offset
            Where they begin in the part.
        """
        try:
            into = ffi.from_buffer(buffer, require_writable=True)
        except (TypeError, BufferError, ValueError):
            refuse(buffer, "buffer", "a writable and contiguous buffer")
        with Job() as job:
            call(
                lib.exia_model_read_into, into, len(into), self._c, self._name,
                integer(offset, "offset", 0), job.c,
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"<exia.Part {self.name!r}: {self.format}, {self.size} bytes>"
