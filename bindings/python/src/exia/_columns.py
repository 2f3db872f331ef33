"""Columns of integers from anywhere: numpy, the buffer protocol, Arrow's C interfaces.

A column is a memoryview of one dimension.  32 bits without gaps in the machine's order are what C
reads, so they are handed over where they lie; whatever else there is becomes a copy of that kind.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from exia import _arrow
from exia.errors import InvalidError

INTEGERS = "bBhHiIlLqQnN"  # as the struct module calls them
LEAST, MOST = -(2**63), 2**63 - 1


def column(values: Any) -> memoryview | None:
    """View an array of integers; None: it is no array, or one of objects or texts.

    Raises
    ------
    InvalidError
        It holds something else, has more dimensions, or holds a null.
    """
    if isinstance(values, str | bytes | bytearray):
        return None
    numpy = sys.modules.get("numpy")
    if hasattr(values, "__arrow_c_array__"):
        return _arrow.array_of(values)
    # What has a dtype gives an array as well, and its stream may ask for more to be installed.
    if hasattr(values, "__arrow_c_stream__") and not (numpy and hasattr(values, "dtype")):
        return _arrow.stream_of(values)
    if numpy is not None and hasattr(values, "__array__"):
        if numpy.ma.is_masked(values):
            _arrow.refuse_nulls(numpy.ma.count_masked(values))
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
    return _copied(view, "I", 0, below - 1)


def wide(view: memoryview) -> Any:
    """Copy a column as 64 bits for C, where it is not of that kind; None: it needs more."""
    return _copied(view, "q", LEAST, MOST)


def _copied(view: memoryview, code: str, least: int, most: int) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        numbers = integers(view)
        fits = least <= min(numbers, default=least) and max(numbers, default=least) <= most
        return array(code, numbers) if fits else None
    values = numpy.asarray(view)
    if len(values) and not least <= int(values.min()) <= int(values.max()) <= most:
        return None
    return numpy.ascontiguousarray(values, code)


def gapless(ends: Sequence[memoryview], first: int) -> int | None:
    """Tell up to where columns name each number from `first` on; None: not each, or negative ones.

    What is below `first` may be missing.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        numbers = {number for end in ends for number in integers(end)}
        last = max(*numbers, first - 1)
        found = len(numbers) - sum(number < first for number in numbers)
        return last + 1 if min(numbers) >= 0 and found == last + 1 - first else None
    values = [numpy.asarray(end) for end in ends]
    last = max(first - 1, *(int(value.max()) for value in values))
    if min(int(value.min()) for value in values) < 0 or last - first >= sum(map(len, values)):
        return None
    seen = numpy.zeros(last + 1 - first, bool)
    for value in values:
        places = value.astype(numpy.int64) - first
        seen[places[places >= 0]] = True
    return last + 1 if seen.all() else None


def distinct(columns: Sequence[Any]) -> tuple[Any, list[Any]]:
    """List what is in columns of 64 bits once each, ascending, and where each value is."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        values = array("q", sorted({value for column in columns for value in column}))
        place = {value: i for i, value in enumerate(values)}
        return values, [array("I", [place[value] for value in column]) for column in columns]
    found, places = numpy.unique(numpy.concatenate(columns), return_inverse=True)
    return found, numpy.split(places, numpy.cumsum([len(column) for column in columns[:-1]]))


def taken(numbers: array[int], places: Any) -> Any:
    """Make a column of 32 bits of the numbers at these places."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return array("I", [numbers[place] for place in places])
    return numpy.asarray(numbers)[places]
