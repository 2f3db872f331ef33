"""Components as people see them: a table of all, or one with its attributes and operations.

What a component tells of itself may come from anybody, so any JSON is shown as well as it can be,
and in HTML all of it is escaped.
"""

from __future__ import annotations

import html
from textwrap import indent
from typing import Any

from exia._factory import Shelf
from exia._rows import Rows
from exia.component import current

COLUMNS = ("needs", "max", "built", "lent", "waiting", "hits")  # of the table; the rest: stats()


class ComponentRows(Rows):
    """Rows {name, about, ...}: shown with each component's title, attributes and operations."""

    __slots__ = ()

    def _table(self) -> Rows:
        """Make the rows of the table: what is long is shortened."""
        table = Rows()
        for row in self:
            about = dict(row.get("about") or {})
            lists = {key: _items(about.pop(key, ()), key) for key in ("attributes", "operations")}
            short = {
                "attributes": [_assignment(item) for item in lists["attributes"]],
                "operations": [_call(item) for item in lists["operations"]],
            }
            title = about["title"] if list(about) == ["title"] else about or None
            told = {key: value for key, value in short.items() if value}
            rest = {key: row[key] for key in COLUMNS if key in row}
            table.append({"name": row.get("name"), "about": title} | told | rest)
        return table

    def __str__(self) -> str:
        return str(self._table())

    def _repr_html_(self) -> str:
        more = "".join(
            f"<details><summary>{_escaped(row['name'])}</summary>{_details_html(row)}</details>"
            for row in self
            if any(key in (row.get("about") or {}) for key in ("attributes", "operations"))
        )
        return self._table()._repr_html_() + more


class ComponentRow(ComponentRows):
    """One row: shown in detail."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n\n".join(map(_details, self)) or super().__str__()

    def _repr_html_(self) -> str:
        shown = (f"<h4>{_escaped(row['name'])}</h4>{_details_html(row)}" for row in self)
        return "".join(shown) or super()._repr_html_()


def add_values(row: dict[str, Any], shelf: Shelf) -> None:
    """Put into a row the values that the attributes of its objects have now."""
    attributes = (row.get("about") or {}).get("attributes")
    if not isinstance(attributes, list):
        return
    objects = [
        obj for maker in shelf.makers.get(row["name"], []) for obj in list(maker.made.values())
    ]
    values = [current(obj) for obj in objects]
    for i, attribute in enumerate(attributes):
        name = attribute.get("name") if isinstance(attribute, dict) else None
        seen = [found[name] for found in values if name in found]
        if seen:
            same = all(value == seen[0] for value in seen)
            last = {"value": seen[0] if same else seen, "doc": attribute.pop("doc", "")}
            attributes[i] = attribute | last


def _parts(row: dict[str, Any]) -> tuple[Any, Rows, Rows, list[dict[str, Any]]]:
    """Take a row apart: the title, its state, its attributes and its operations."""
    about = dict(row.get("about") or {})
    title = about.pop("title", "")
    attributes = Rows(map(_exact, _items(about.pop("attributes", ()), "attributes")))
    operations = _items(about.pop("operations", ()), "operations")
    state = {key: value for key, value in row.items() if key not in ("name", "about")}
    return title, Rows([about | state]), attributes, operations


def _details(row: dict[str, Any]) -> str:
    """Show one component as text."""
    title, state, attributes, operations = _parts(row)
    name = row.get("name", "")
    sections = [f"{name}: {title}" if title else str(name), str(state)]
    if attributes:
        sections.append(str(attributes))
    for item in operations:
        sections.append(_call(item) + "\n" + indent(str(item.get("doc", "")), " " * 4))
    return "\n\n".join(map(str.rstrip, sections))


def _details_html(row: dict[str, Any]) -> str:
    """Show one component as HTML, but for its name."""
    title, state, attributes, operations = _parts(row)
    parts = [f"<p>{_escaped(title)}</p>" if title else "", state._repr_html_()]
    if attributes:
        parts.append(attributes._repr_html_())
    for item in operations:
        doc = _escaped(item.get("doc", ""))
        parts.append(f"<p><code>{_escaped(_call(item))}</code></p>")
        parts.append(f"<pre>{doc}</pre>" if doc else "")
    return "".join(parts)


def _items(value: Any, key: str) -> list[dict[str, Any]]:
    """Make anything a list of dicts that have a name."""
    if not value:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [item if isinstance(item, dict) else {"name": item} for item in values]


def _assignment(item: dict[str, Any]) -> str:
    """Show an attribute with the value that it has, or starts with."""
    name = str(item.get("name", ""))
    for key in ("value", "default"):
        if key in item:
            return f"{name}={item[key]}"
    return name


def _exact(item: dict[str, Any]) -> dict[str, Any]:
    """Let a float be shown as a number of Python's, as in `_assignment`."""
    return {key: str(value) if isinstance(value, float) else value for key, value in item.items()}


def _call(item: dict[str, Any]) -> str:
    return f"{item.get('name', '')}{item.get('signature', '')}"


def _escaped(value: Any) -> str:
    return html.escape(str(value))
