"""Listings: a list of dicts that shows itself as a table."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable
from typing import Any

from exia._handle import call, own
from exia._native import ffi, lib


class Rows(list[dict[str, Any]]):
    """The answer to every listing: a list of dicts; `print` and Jupyter show a table.

    Examples
    --------
    >>> print(Rows([{"name": "digits", "version": 2}, {"name": "iris", "version": 1}]))
    name    version
    digits  2
    iris    1
    """

    __slots__ = ()

    @property
    def columns(self) -> list[str]:
        """Every key, in order of appearance."""
        return list(dict.fromkeys(key for row in self for key in row))

    def _cells(self) -> Iterable[list[str]]:
        columns = self.columns
        for row in self:
            yield [_cell(row[column]) if column in row else "" for column in columns]

    def __str__(self) -> str:
        if not self:
            return "(no rows)"
        lines = [self.columns, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        if not self:
            return "<em>no rows</em>"
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
            for cells in self._cells()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    """Show a value in one line."""
    if value is None:
        return ""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return str(value)


def rows(function: Callable[..., int], *arguments: Any) -> Rows:
    """Call a function that answers with `exia_rows **out`, and take them all."""
    out = ffi.new("exia_rows **")
    call(function, out, *arguments)
    return take_rows(out)


def take_rows(out: Any) -> Rows:
    """Read the rows behind `out` to the end and free them."""
    texts: list[bytes] = []
    if out[0] == ffi.NULL:
        return Rows()
    pointer = own(out[0], lib.exia_rows_free)
    row = ffi.new("const char **")
    while call(lib.exia_rows_next, row, pointer) != lib.EXIA_DONE:
        texts.append(ffi.string(row[0]))
    return Rows(json.loads(b"[%s]" % b",".join(texts)))  # as one, so that they share their keys
