"""What users hand over, checked before C sees it.

The wrong type is a TypeError, the wrong value an InvalidError; either names the argument in one
line.  A number, a truth value or an array of numpy is as good as Python's own.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from exia._native import ffi
from exia.errors import InvalidError

MOST = 2**63 - 1


def refuse(value: object, what: str, wanted: str) -> NoReturn:
    """Say what an argument must be, and is not."""
    kind = "None" if value is None else type(value).__name__
    raise TypeError(f"{what} must be {wanted}, not {kind}")


def text(value: str, what: str) -> bytes:
    """Encode a text for C."""
    if not isinstance(value, str):
        refuse(value, what, "a str")
    if "\0" in value:
        raise InvalidError(f"{what} must not hold a NUL character: {value[:80]!r}")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidError(f"{what} is not valid text: {value[:80]!r}") from None


def text_or_null(value: str | None, what: str) -> Any:
    """Encode a text that may be left out."""
    return ffi.NULL if value is None else text(value, what)


def path(value: str | os.PathLike[str], what: str) -> bytes:
    """Encode a path, or a URL, for C."""
    try:
        raw = os.fsencode(value)
    except TypeError:
        refuse(value, what, "a path")
    except UnicodeEncodeError:
        raise InvalidError(f"{what} is not valid text: {value!r:.80}") from None
    if b"\0" in raw:
        raise InvalidError(f"{what} must not hold a NUL character: {raw[:80]!r}")
    return raw


def path_or_null(value: str | os.PathLike[str] | None, what: str) -> Any:
    """Encode a path that may be left out."""
    return ffi.NULL if value is None else path(value, what)


def integer(value: Any, what: str, least: int, most: int = MOST) -> int:
    """Check a whole number; a bool is none."""
    if isinstance(value, bool):
        refuse(value, what, "an int")
    try:
        number = operator.index(value)
    except TypeError:
        refuse(value, what, "an int")
    if number < least:
        raise InvalidError(f"{what} must be {least} or more, not {number}")
    if number > most:
        raise InvalidError(f"{what} is too large: {number}")
    return number


def seconds(value: Any, what: str) -> float:
    """Check a duration; what is over already is 0."""
    number: float = unwrap(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        refuse(value, what, "a number of seconds")
    if number != number:
        raise InvalidError(f"{what} must be a number of seconds, not NaN")
    return min(max(0.0, number), 1e9)  # thirty years, which fit everywhere


def flag(value: Any, what: str) -> bool:
    """Check a truth value."""
    value = unwrap(value)
    if not isinstance(value, int):
        refuse(value, what, "a bool")
    return bool(value)


def mapping(value: Any, what: str, *, texts: bool = True) -> dict[Any, Any]:
    """Check a mapping, and that its keys are texts."""
    if not isinstance(value, Mapping):
        refuse(value, what, "a mapping")
    if texts:
        for key in value:
            text(key, f"a key of {what}")
    return dict(value)


def iterable(value: Any, what: str) -> list[Any]:
    """Take an iterable of things; a text is one thing, and not its letters."""
    one = isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0
    if one or not isinstance(value, Iterable):
        refuse(value, what, "an iterable (one thing alone: [thing])")
    return list(value)


def unwrap(value: Any) -> Any:
    """Make what numpy, or one like it, holds Python's own."""
    tolist = getattr(value, "tolist", None)
    return tolist() if callable(tolist) and not isinstance(value, type) else value


def plain(value: Any, what: str) -> Any:
    """Make a value fit for JSON, or say which part of it is not."""
    try:
        return _plain(value, what)
    except RecursionError:
        raise InvalidError(f"{what} is nested too deep, or holds itself") from None


def _plain(value: Any, what: str) -> Any:
    value = unwrap(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text(value, what)
        return value
    if isinstance(value, int):
        return integer(value, what, -MOST - 1)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidError(f"{what} must be finite, not {value}")
        return value
    if isinstance(value, Mapping):
        entries = mapping(value, what).items()
        return {key: _plain(item, f"{what}[{key!r}]") for key, item in entries}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{what}[{i}]") for i, item in enumerate(value)]
    refuse(value, what, "plain data (a text, number, bool, None, list or mapping)")
