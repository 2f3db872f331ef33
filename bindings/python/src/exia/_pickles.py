"""Pickle and joblib files of others, read as they are: by the policy, or by their own loaders.

joblib writes a pickle in which each array is a small object that tells its dtype and shape; the
bytes follow it in the stream, and all of it may be compressed.  Where the policy applies, joblib's
own loader is not used: the arrays are read here, and everything else is left to the policy.
"""

from __future__ import annotations

import bz2
import hashlib
import importlib
import io
import lzma
import pickle
import zlib
from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

from exia._trust import PolicyUnpickler
from exia.errors import CorruptError, UnsupportedError

FORMATS = ("pickle", "joblib")
WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")

XZ_MEMORY = 128 << 20  # bytes; what its highest level asks for, twice

# How compressed files begin.
OPENERS: dict[bytes, Callable[[], Any]] = {
    b"\x78": zlib.decompressobj,
    b"\x1f\x8b": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY),
    b"\x5d\x00": lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY),
}
# What a stream may grow to, so that a small file cannot fill the memory.
GROWTH, GROWTH_FREE = 64, 256 << 20  # so many times its size, and so many bytes more
LZ4 = b"\x04\x22\x4d\x18"


class _Wrapper:
    """Stands for an array that follows in the stream."""


class ArrayUnpickler(PolicyUnpickler):
    """An unpickler by policy that also takes joblib's arrays."""

    def _allows(self, module: str, name: str) -> bool:
        return (module, name) == WRAPPER or super()._allows(module, name)

    def find_class(self, module: str, name: str) -> Any:
        """Hand out what the policy allows, and what stands for an array."""
        if (module, name) != WRAPPER:
            return super().find_class(module, name)
        self._handed[id(_Wrapper)] = _Wrapper
        return _Wrapper

    def load_build(self) -> None:
        """Put the array itself where its stand-in gets its state."""
        if not isinstance(self.stack[-2], _Wrapper):
            super().load_build()
            return
        state = self.stack.pop()
        self.stack[-1] = self._read_array(state)

    def _read_array(self, state: Any) -> Any:
        numpy = importlib.import_module("numpy")
        try:
            dtype, shape, order = state["dtype"], state["shape"], state["order"]
            alignment = state.get("numpy_array_alignment_bytes")
            good = isinstance(dtype, numpy.dtype) and order in ("C", "F")
            good = good and type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape)
        except (AttributeError, KeyError, TypeError):
            good = False
        if not good:
            raise CorruptError(f"{self._what}: an array of joblib's is not valid")
        if dtype.hasobject:
            return self._read_objects(numpy)
        if alignment is not None:
            padding = self._file_read(1)
            self._file_read(padding[0] if padding else 0)
        size = prod(shape) * dtype.itemsize
        data = self._file_read(min(size, len(self._stream)))
        if len(data) != size:
            raise CorruptError(f"{self._what}: the stream ends within an array of {size} bytes")
        array = numpy.frombuffer(bytearray(data), dtype, count=prod(shape))
        return array.reshape(shape, order=order)

    def _read_objects(self, numpy: Any) -> Any:
        """Read an array of objects, which is a pickle within the stream."""
        inner = type(self)(
            self._stream,
            (),
            packages=self._packages,
            constructors=tuple(self._constructors),
            what=self._what,
            why=self._why,
        )
        inner._file_read, inner._file_readline = self._file_read, self._file_readline
        array = inner.load()
        if not isinstance(array, numpy.ndarray):
            raise CorruptError(f"{self._what}: what should be an array of objects is none")
        return array

    dispatch: ClassVar[dict[int, Any]] = {
        **PolicyUnpickler.dispatch,
        pickle.BUILD[0]: load_build,
    }


def _plain_stream(stream: bytes, what: str) -> bytes:
    """Undo joblib's compression."""
    if stream.startswith(LZ4):
        raise UnsupportedError(f"{what} is compressed by LZ4: write it anew, by zlib or as it is")
    for start, opener in OPENERS.items():
        if stream.startswith(start):
            most = GROWTH * len(stream) + GROWTH_FREE
            try:
                opened = opener()
                plain: bytes = opened.decompress(stream, most)
                # only zlib's does not keep what it has not read
                rest = getattr(opened, "unconsumed_tail", b"")
                more = not opened.eof and opened.decompress(rest, 1)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise CorruptError(f"{what}: it cannot be decompressed: {error}") from None
            if more:
                raise UnsupportedError(
                    f"{what}: its {len(stream)} bytes decompress to more than {most}, which is not "
                    "taken from elsewhere: write it anew without compression"
                )
            if not opened.eof:
                raise CorruptError(f"{what}: it cannot be decompressed: it is cut short")
            return plain
    return stream


def read(view: memoryview, format: str, policy: dict[str, Any], what: str, digest: str) -> Any:
    """Load a file that pickle or joblib wrote.

    Parameters
    ----------
    view
        Its bytes.
    format
        "pickle" or "joblib".
    policy
        `exia_model_policy()`, as a dict.
    what
        The model and part, for errors.
    digest
        The part's SHA-256, as it is signed where the policy says so.
    """
    stream = bytes(view)  # copied before it is looked at: what is checked is what is run
    trusted = policy["trusted"]
    if not trusted and "signed" in policy:
        if hashlib.sha256(stream).hexdigest() != digest:
            raise CorruptError(f"{what} is not what was signed: it has another digest")
        trusted = True
    if trusted:
        return _run(stream, format, what)
    try:
        return ArrayUnpickler(
            _plain_stream(stream, what) if format == "joblib" else stream,
            (),
            packages=policy.get("packages", []),
            constructors=policy.get("constructors", []),
            what=what,
            why=policy.get("why", "the policy applies to it"),
        ).load()
    except CorruptError:
        raise
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, ValueError) as error:
        raise CorruptError(f"{what} is no pickle that can be read: {error}") from error


def _run(stream: bytes, format: str, what: str) -> Any:
    """Load what is trusted, as its author would."""
    if format == "pickle":
        return pickle.loads(stream)
    try:
        joblib = importlib.import_module("joblib")
    except ImportError:
        raise UnsupportedError(f"{what} is a file of joblib's: pip install joblib") from None
    return joblib.load(io.BytesIO(stream))
