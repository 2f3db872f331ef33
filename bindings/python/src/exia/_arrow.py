"""Arrow's C interfaces, read: one array, or a stream of arrays that are the chunks of one."""

from __future__ import annotations

import ctypes
import struct
from array import array
from collections.abc import Iterator
from typing import Any

from exia._arguments import refuse
from exia.errors import InvalidError

WIDTHS = {"c": "b", "C": "B", "s": "h", "S": "H", "i": "i", "I": "I", "l": "q", "L": "Q"}


class Schema(ctypes.Structure):
    """What an array holds."""

    _fields_ = (
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_char_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class Array(ctypes.Structure):
    """Where an array lies."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class Stream(ctypes.Structure):
    """Where chunks come from; behind the last one comes one that is released."""

    _fields_ = (
        ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
        ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
        ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


def array_of(values: Any) -> memoryview:
    """View an array where it lies; the capsules stay, and with them what they own."""
    capsules = values.__arrow_c_array__()
    try:
        schema = _struct(capsules[0], b"arrow_schema", Schema)
        it = _struct(capsules[1], b"arrow_array", Array)
    except (TypeError, ValueError, IndexError):
        refuse(capsules, "what __arrow_c_array__ gives", "two capsules of Arrow's")
    return _view(it, _code(schema), capsules)


def stream_of(values: Any) -> memoryview:
    """Copy the chunks of an array behind each other."""
    capsule = values.__arrow_c_stream__()
    try:
        stream = _struct(capsule, b"arrow_array_stream", Stream)
    except (TypeError, ValueError):
        refuse(capsule, "what __arrow_c_stream__ gives", "a capsule of Arrow's")
    schema, whole = Schema(), bytearray()
    _check(stream, stream.get_schema(ctypes.addressof(stream), ctypes.addressof(schema)))
    try:
        code = _code(schema)
    finally:
        _release(schema)
    for chunk in _chunks(stream):
        whole += _view(chunk, code, None).cast("B")
    del capsule  # which owns the stream
    return memoryview(whole).cast(code)  # type: ignore[call-overload, no-any-return]


def _chunks(stream: Stream) -> Iterator[Array]:
    while True:
        chunk = Array()
        _check(stream, stream.get_next(ctypes.addressof(stream), ctypes.addressof(chunk)))
        if not chunk.release:
            return
        try:
            yield chunk
        finally:
            _release(chunk)


def _check(stream: Stream, code: int) -> None:
    if code:
        text = stream.get_last_error(ctypes.addressof(stream))
        said = ctypes.string_at(text).decode(errors="replace") if text else f"error {code}"
        raise InvalidError(f"a stream of Arrow's ends: {said:.160}")


def _release(it: Any) -> None:
    if it.release:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(it.release)(ctypes.addressof(it))


def _struct(capsule: Any, name: bytes, kind: Any) -> Any:
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return kind.from_address(pointer_of(capsule, name))


def _code(schema: Schema) -> str:
    """Tell how the struct module calls what an array holds."""
    kind = (schema.format or b"").decode("ascii", "replace")
    if kind not in WIDTHS or schema.dictionary:
        what = "a dictionary" if kind in WIDTHS else f"format {kind!r}"
        raise InvalidError(
            f"an array of edges holds integers in one dimension, not Arrow's {what} in 1"
        )
    return WIDTHS[kind]


def _view(it: Array, code: str, owner: Any) -> memoryview:
    if it.length == 0:
        return memoryview(array(code))
    if it.null_count and it.buffers[0]:
        refuse_nulls(_nulls(it))
    size = struct.calcsize(code)
    raw = (ctypes.c_char * (it.length * size)).from_address(it.buffers[1] + it.offset * size)
    raw.owner = owner
    return memoryview(raw).cast("B").cast(code)  # type: ignore[call-overload, no-any-return]


def _nulls(it: Array) -> int:
    """Count the bits of the bitmap that say that a value is missing."""
    last = it.offset + it.length
    bits = int.from_bytes(ctypes.string_at(it.buffers[0], (last + 7) // 8), "little")
    missing: int = (~(bits >> it.offset) & ((1 << it.length) - 1)).bit_count()
    return missing


def refuse_nulls(missing: int) -> None:
    """Raise where values are missing."""
    if missing:
        raise InvalidError(f"an array of edges holds {missing} nulls: an edge has both its ends")
