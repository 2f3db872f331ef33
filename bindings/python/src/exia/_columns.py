"""Columns of integers from anywhere: numpy, the buffer protocol, Arrow's C data interface.

A column is a memoryview of one dimension.  32 bits without gaps in the machine's order are what C
reads, so they are handed over where they lie; whatever else there is becomes a copy of that kind.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from array import array
from typing import Any

from exia._arguments import refuse
from exia.errors import InvalidError

INTEGERS = "bBhHiIlLqQnN"  # as the struct module calls them
WIDTHS = {"c": "b", "C": "B", "s": "h", "S": "H", "i": "i", "I": "I", "l": "q", "L": "Q"}  # Arrow's


def column(values: Any) -> memoryview | None:
    """View an array of integers; None: it is no array, or one of objects or texts.

    Raises
    ------
    InvalidError
        It holds something else, has more dimensions, or holds a null.
    """
    if isinstance(values, str | bytes | bytearray):
        return None
    if hasattr(values, "__arrow_c_array__"):
        view = _arrow(values)
    else:
        numpy = sys.modules.get("numpy")
        if numpy is not None and hasattr(values, "__array__"):
            values = numpy.asarray(values)
            if values.dtype.kind in "OUT":
                return None
            if values.dtype.kind not in "iu":
                _no_integers(values.dtype, values.ndim)
        try:
            view = memoryview(values)
        except TypeError:
            return None
    if view.ndim != 1 or view.format.lstrip("@=<>!") not in [*INTEGERS]:
        _no_integers(repr(view.format), view.ndim)
    return view


def _no_integers(kind: object, dimensions: int) -> None:
    raise InvalidError(
        f"an array of edges holds integers in one dimension, not {kind} in {dimensions}"
    )


def in_place(view: memoryview) -> bool:
    """Tell whether C can read it as uint32_t where it lies; what is negative is then very large."""
    return (
        view.c_contiguous and view.itemsize == 4 and view.format in ("I", "i", "L", "l", "@I", "@i")
    )


def integers(view: memoryview) -> list[int]:
    """Read a column that may have gaps and any order of bytes."""
    order, code = view.format[:-1], view.format[-1]
    return [*struct.unpack(f"{order}{len(view)}{code}", view.tobytes())]


def narrow(view: memoryview, below: int) -> Any:
    """Copy a column as 32 bits for C; None: not all of it lies in 0 ... below - 1."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        numbers = integers(view)
        fits = min(numbers, default=0) >= 0 and max(numbers, default=-1) < below
        return array("I", numbers) if fits else None
    values = numpy.asarray(view)
    if len(values) and (values.min() < 0 or values.max() >= below):
        return None
    return numpy.ascontiguousarray(values, numpy.uint32)


def distinct(view: memoryview) -> list[int]:
    """List the integers of a column once each, ascending."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return sorted(set(integers(view)))
    values: list[int] = numpy.unique(numpy.asarray(view)).tolist()
    return values


def looked_up(view: memoryview, index: dict[Any, int]) -> Any:
    """Copy a column as the numbers that its integers have in `index`.

    Raises
    ------
    KeyError
        An integer has none.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return array("I", [index[value] for value in integers(view)])
    unique, inverse = numpy.unique(numpy.asarray(view), return_inverse=True)
    return numpy.array([index[value] for value in unique.tolist()], numpy.uint32)[inverse]


# ---- Arrow --------------------------------------------------------------------------------------


class _Schema(ctypes.Structure):
    """The beginning of Arrow's C struct that says what an array holds."""

    _fields_ = (("format", ctypes.c_char_p),)


class _Array(ctypes.Structure):
    """The beginning of Arrow's C struct that says where an array lies."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    )


def _arrow(values: Any) -> memoryview:
    """View an array of Arrow's; the capsules stay, and with them what they own."""
    capsules = values.__arrow_c_array__()
    try:
        schema = _struct(capsules[0], b"arrow_schema", _Schema)
        it = _struct(capsules[1], b"arrow_array", _Array)
    except (TypeError, ValueError, IndexError):
        refuse(capsules, "what __arrow_c_array__ gives", "two capsules of Arrow's")
    kind = (schema.format or b"").decode("ascii", "replace")
    if kind not in WIDTHS:
        _no_integers(f"Arrow's format {kind!r}", 1)
    if it.length == 0:
        return memoryview(array("I"))
    if it.null_count and it.buffers[0]:
        _refuse_nulls(it)
    code = WIDTHS[kind]
    size = struct.calcsize(code)
    raw = (ctypes.c_char * (it.length * size)).from_address(it.buffers[1] + it.offset * size)
    raw.capsules = capsules
    return memoryview(raw).cast("B").cast(code)  # type: ignore[call-overload, no-any-return]


def _struct(capsule: Any, name: bytes, kind: Any) -> Any:
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return kind.from_address(pointer_of(capsule, name))


def _refuse_nulls(it: Any) -> None:
    """Raise where a bit of the bitmap says that a value is missing."""
    last = it.offset + it.length
    bits = int.from_bytes(ctypes.string_at(it.buffers[0], (last + 7) // 8), "little")
    missing = ~(bits >> it.offset) & ((1 << it.length) - 1)
    if missing:
        raise InvalidError(
            f"an array of edges holds {missing.bit_count()} nulls: an edge has both its ends"
        )
