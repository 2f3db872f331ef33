"""Types as a person writes them, checked against values: classes, unions, Literal, containers.

A number is made Python's own on its way; everything else is kept as it is.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union

from exia._arguments import unwrap

_UNIONS = (Union, types.UnionType)
_CONTAINERS = (list, set, frozenset, tuple, dict)


class Misfit(Exception):
    """A value is not of the kind."""


def check_kind(kind: Any) -> None:
    """Refuse what no value could be checked against."""
    if kind is Any or kind is None or typing.get_origin(kind) is Literal:
        return
    origin = typing.get_origin(kind)
    if origin in _UNIONS + _CONTAINERS:
        for part in typing.get_args(kind):
            if part is not Ellipsis:
                check_kind(part)
        return
    cls = origin or kind
    try:
        isinstance(None, cls)
    except TypeError:
        cls = None
    if not isinstance(cls, type):
        raise TypeError(
            f"the type of an Attribute is a class, a union, a Literal or Any, not {kind!r:.80}"
        )


def fit(kind: Any, value: Any) -> Any:
    """Answer with the value, a number made Python's own; Misfit: it is of another type."""
    if kind is Any:
        return value
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        return _fit_union(parts, value)
    if origin is Literal:
        if any(type(value) is type(choice) and value == choice for choice in parts):
            return value
        raise Misfit
    if kind in (bool, int, float):
        return _fit_number(kind, value)
    if not isinstance(value, origin or (type(None) if kind is None else kind)):
        raise Misfit
    if not parts:  # a class, or typing.List and the like
        return value
    if origin in (list, set, frozenset):
        for item in value:
            fit(parts[0], item)
    elif origin is dict:
        for key, item in value.items():
            fit(parts[0], key)
            fit(parts[1], item)
    elif origin is tuple:
        kinds = parts[:1] * len(value) if parts[1:] == (...,) else parts
        if len(kinds) != len(value):
            raise Misfit
        for part, item in zip(kinds, value, strict=True):
            fit(part, item)
    return value


def _fit_union(kinds: tuple[Any, ...], value: Any) -> Any:
    """Fit one of several types: if one takes it as it is, that one."""
    fitting = []
    for kind in kinds:
        try:
            fitting.append(fit(kind, value))
        except Misfit:
            continue
        if fitting[-1] is value:
            return value
    if not fitting:
        raise Misfit
    return fitting[0]


def _fit_number(kind: type, value: Any) -> Any:
    if not isinstance(value, int | float):
        value = unwrap(value)
    if type(value) is bool:
        if kind is bool:
            return value
    elif kind is not bool and isinstance(value, kind):
        return value
    elif kind is float and isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            pass
    raise Misfit


def choices(kind: Any) -> Iterator[Any]:
    """List the choices that a Literal, also one in a union, gives."""
    if typing.get_origin(kind) is Literal:
        yield from typing.get_args(kind)
    elif typing.get_origin(kind) in _UNIONS:
        for part in typing.get_args(kind):
            yield from choices(part)


def kind_name(kind: Any) -> str:
    """Name a type as one writes it."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is None or kind is type(None):
        return "None"
    if origin in _UNIONS:
        return " | ".join(map(kind_name, parts))
    if origin is Literal:
        return " | ".join(map(repr, parts))
    if origin in _CONTAINERS:
        inner = ", ".join("..." if part is Ellipsis else kind_name(part) for part in parts)
        return f"{origin.__name__}[{inner}]" if parts else str(origin.__name__)
    if origin is None and isinstance(kind, type):
        return kind.__qualname__
    return str(kind).replace("typing.", "").replace("collections.abc.", "")
