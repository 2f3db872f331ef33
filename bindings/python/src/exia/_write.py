"""Publishing a version: what Python has checked and encoded, as C takes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from exia._arguments import integer, path_or_null, plain, refuse, text, text_or_null, unwrap
from exia._handle import call, owned
from exia._native import ffi, lib
from exia._objects import Encoded
from exia._progress import Job


def publish(
    library: Any,
    name: str,
    parts: Mapping[str, Encoded],
    facts: Mapping[str, Any],
    *,
    alias: str | None = None,
    expect: int | None = None,
    message: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
) -> int:
    """Publish encoded parts; of a dry run the answer is where they are already, or 0."""
    strings = [
        owned(json.dumps(facts, allow_nan=False).encode()),
        owned(text_or_null(alias, "alias")),
        owned(text_or_null(message, "message")),
        owned(text_or_null(token, "token")),
    ]
    options = ffi.new("exia_write_options *")
    options.struct_size = ffi.sizeof("exia_write_options")
    options.facts, options.alias, options.message, options.token = strings
    options.expect = expected(expect)
    options.dry_run = dry_run
    version = ffi.new("int64_t *")
    c_parts = ffi.new("exia_part[]", len(parts))
    alive = [
        _fill_part(c, part, value) for c, (part, value) in zip(c_parts, parts.items(), strict=True)
    ]
    with Job() as job:
        call(
            lib.exia_model_write, version, library, text(name, "name"),
            c_parts, len(alive), options, job.c,
        )  # fmt: skip
    return int(version[0])


def expected(expect: int | None) -> int:
    """Say where an alias must stand."""
    return int(lib.EXIA_ANY) if expect is None else integer(expect, "expect", 0)


def _fill_part(c_part: Any, name: str, value: Encoded) -> list[Any]:
    """Describe a part to C; what it points to is in the answer."""
    alive = [
        owned(text(name, "a part's name")),
        owned(text(value.format, "format")),
        owned(path_or_null(value.path, "path")),
    ]
    c_part.name, c_part.format, c_part.path = alive
    if value.path is None:
        buffers = [ffi.from_buffer(piece) for piece in value.pieces]
        pieces = ffi.new("exia_slice[]", [(b, len(b)) for b in buffers])
        c_part.pieces, c_part.piece_count = pieces, len(buffers)
        alive += [pieces, buffers]
    return alive


def numbers(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Make metrics JSON, which has no infinities: they go by name."""
    answer: dict[str, Any] = {}
    for key, value in metrics.items():
        what, number = f"metrics[{key!r}]", unwrap(value)
        if isinstance(number, bool) or not isinstance(number, int | float):
            refuse(value, what, "a number")
        if isinstance(number, float) and not math.isfinite(number):
            number = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
        answer[key] = plain(number, what)
    return answer
