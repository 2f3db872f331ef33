"""The safetensors format: a length, a JSON header, then the tensors' bytes without a hole.

Writing makes no copy: it answers with the pieces of the file, most of them views of the arrays
themselves.  Reading makes none either: an array is a view of the file's mapping.  What is 4 KiB or
more begins on a 64-byte boundary; since the format forbids holes, the gap is a tensor of its own,
`__pad.N`.
"""

from __future__ import annotations

import gc
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from exia._numbers import tensors as plain_tensors
from exia.errors import CorruptError, UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGE = 4096  # bytes; smaller buffers are not worth an aligned place
ALIGNMENT = 64
HEADER_LIMIT = 100_000_000  # bytes, as other readers of the format have it

# The format's dtypes and numpy's: numpy's own by kind and size, and those that ml_dtypes adds.
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
}
ADDED = {
    "BF16": ("bfloat16", 2),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E8M0": ("float8_e8m0fnu", 1),
}
NAMES = {name: dtype for dtype, name in DTYPES.items()}
NAMES |= {name: dtype for dtype, (name, _) in ADDED.items()}


# A tensor's dtype and shape, and where it starts and ends, counted from the beginning of the file.
Tensor = tuple[str, tuple[int, ...], int, int]


@lru_cache(64)
def dtype_name(dtype: Any) -> str | None:
    """Tell how the format calls numpy's dtype; None: it has no name for it."""
    return NAMES.get(dtype.name) if dtype.isnative else None


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let the garbage collector rest: many new objects, none of them garbage, wake it often.

    Nested, or in threads, the first one that found it running starts it again.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# ---- writing ------------------------------------------------------------------------------------


def layout(
    tensors: Iterable[tuple[str, str, tuple[int, ...], list[memoryview]]],
    metadata: Mapping[str, str],
    order: Iterable[str] = (),
) -> list[memoryview]:
    """Lay a file out.

    Parameters
    ----------
    tensors
        Name, dtype, shape and pieces of each, in the order in which they shall lie.
    metadata
        What `__metadata__` shall hold.
    order
        Names in the order in which the header shall list them, where it is another.

    Returns
    -------
    list of memoryview
        The file, piece by piece.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    pieces: list[memoryview] = []
    small = bytearray()  # what lies before the next large one: a hundred thousand are one piece
    offset = pads = 0
    for name, dtype, shape, data in tensors:
        size = sum([piece.nbytes for piece in data])
        gap = -offset % ALIGNMENT if size >= LARGE else 0
        if gap:
            header[f"__pad.{pads}"] = _entry("U8", (gap,), offset, gap)
            small += bytes(gap)
            offset += gap
            pads += 1
        header[name] = _entry(dtype, shape, offset, size)
        offset += size
        if size < LARGE:
            for piece in data:
                small += piece
        else:
            pieces += [memoryview(small), *data]
            small = bytearray()
    pieces.append(memoryview(small))
    header = {"__metadata__": None, **dict.fromkeys(order), **header}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    start = memoryview(len(text).to_bytes(8, "little") + text)
    return [start, *(piece for piece in pieces if piece.nbytes)]


def _entry(dtype: str, shape: tuple[int, ...], offset: int, size: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": (offset, offset + size)}


def arrays_layout(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> list[memoryview]:
    """Lay plain arrays out in an order that needs few pads; the header keeps the given one."""
    lying = sorted(
        arrays.items(), key=lambda item: (item[1].nbytes % ALIGNMENT != 0, -item[1].itemsize)
    )
    return layout(
        ((name, str(dtype_name(a.dtype)), a.shape, [_bytes(a)]) for name, a in lying),
        metadata,
        order=arrays,
    )


def _bytes(array: NDArray[Any]) -> memoryview:
    """View an array as bytes in C order; only one that lies otherwise is copied."""
    import numpy as np

    whole: Any = array if array.flags.c_contiguous else np.ascontiguousarray(array)
    try:
        return PickleBuffer(whole).raw()
    except ValueError:  # Python's buffers know no bfloat16
        return memoryview(whole.reshape(-1).view(np.uint8))


# ---- reading ------------------------------------------------------------------------------------


@collector_paused()
def parse(view: memoryview) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read the header of a file: its metadata and its tensors but the pads, in the header's order.

    Raises
    ------
    CorruptError
        It is no safetensors file, or says what cannot be.
    """
    length = int.from_bytes(view[:8], "little")
    if view.nbytes < 8 or length > min(view.nbytes - 8, HEADER_LIMIT):
        raise CorruptError("the part is no safetensors file: it does not hold its header")
    try:
        metadata, tensors = _read(bytes(view[8 : 8 + length]), view.nbytes - 8 - length)
        if not all(type(value) is str for value in metadata.values()):
            raise ValueError("its metadata are not texts")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise CorruptError(f"the part is no valid safetensors file: {error}") from None
    return metadata, tensors


def _read(text: bytes, size: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a header, behind which `size` bytes follow."""
    if plain := plain_tensors(text, 8 + len(text), size):
        return dict(json.loads(plain[0])), plain[1]
    header = json.loads(text)
    metadata = dict(header.pop("__metadata__", {}))
    return metadata, {
        name: _tensor(8 + len(text), size, entry)
        for name, entry in header.items()
        if name[:6] != "__pad."
    }


def _tensor(base: int, size: int, entry: dict[str, Any]) -> Tensor:
    """Check an entry of the header."""
    dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if len(entry) != 3:
        raise ValueError(f"a tensor has {', '.join(entry)}")
    if type(dtype) is not str:
        raise ValueError(f"a tensor has the dtype {dtype!r}")
    for number in (start, end, *shape):
        if type(number) is not int or number < 0:
            raise ValueError(f"a tensor of shape {shape} lies at {start} to {end}")
    if not start <= end <= size:
        raise ValueError(f"a tensor lies at {start} to {end} of {size} bytes")
    return dtype, tuple(shape), base + start, base + end


class Tensors(Mapping[str, "NDArray[Any]"]):
    """Arrays by name, each made when it is asked for, as a view of the file's mapping.

    They are writable, and writing changes this mapping only.  bfloat16 and the 8-bit floats need
    the package ml_dtypes; without it they come as unsigned integers of their size.
    """

    __slots__ = ("_tensors", "_view")

    def __init__(self, view: memoryview, tensors: dict[str, Tensor]) -> None:
        self._view = view
        self._tensors = tensors

    def __getitem__(self, name: str) -> NDArray[Any]:
        dtype, shape, start, end = self._tensors[name]
        try:
            ndarray, kind, size = _reader(dtype)
        except KeyError:
            raise UnsupportedError(
                f"tensor {name!r} is of dtype {dtype!r}, which numpy does not have"
            ) from None
        if math.prod(shape) * size != end - start:
            raise CorruptError(
                f"tensor {name!r} has {end - start} bytes, which is not {dtype} of shape "
                f"{list(shape)}"
            )
        array: NDArray[Any] = ndarray(shape, kind, self._view, start)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        shown = (f"{name}: {t[0]}{list(t[1])}" for name, t in self._tensors.items())
        return f"Tensors({', '.join(shown)})"


@cache
def _reader(dtype: str) -> tuple[Any, Any, int]:
    """Find what reads a dtype: numpy.ndarray, numpy's dtype, its size."""
    import numpy as np

    found: Any
    if dtype in DTYPES:
        found = np.dtype(DTYPES[dtype])
    else:
        added, size = ADDED[dtype]
        try:
            import ml_dtypes

            found = np.dtype(getattr(ml_dtypes, added))
        except (ImportError, AttributeError):
            found = np.dtype(f"u{size}")
    return np.ndarray, found, found.itemsize


if sys.byteorder != "little":
    raise ImportError("exia: big-endian machines are not supported yet")
