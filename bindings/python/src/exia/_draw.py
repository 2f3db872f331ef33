"""A drawing of a small graph, level by level, as SVG; a large one is told in a line.

The drawing is made of text alone.  Where there are cycles the edges that point back are dashed.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exia.dag import Dag

NODES, EDGES = 80, 240  # as many are drawn, for more is not seen
LETTERS = 18  # of a node's text
WIDTH, HEIGHT = 140, 26  # of a node
ACROSS, DOWN = 160, 64  # from one to the next


def drawing(dag: Dag) -> str:
    """Draw a graph for a notebook."""
    with dag._use() as c:
        nodes, edge_count = list(dag._nodes[: NODES + 1]), dag._edge_count(c)
        small = len(nodes) <= NODES and edge_count <= EDGES
        edges = dag.edges() if small else []
        count = len(dag)
        cyclic = bool(dag.cycles())
        levels = 0 if cyclic else len(dag.levels())
    said = "with cycles" if cyclic else f"in {_several(levels, 'level')}"
    line = f"<p>{_several(count, 'node')}, {_several(edge_count, 'edge')}, {said}</p>"
    if not small or not nodes:
        return line
    numbers = {node: i for i, node in enumerate(nodes)}
    pairs = list(dict.fromkeys((numbers[before], numbers[after]) for before, after in edges))
    return line + _svg([_label(node) for node in nodes], pairs)


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _label(node: Any) -> str:
    text = node if isinstance(node, str) else repr(node)
    text = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _levels(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Tell each node's level; where a cycle leaves none that could be next, the first one is."""
    waiting, after = [0] * count, [[] for _ in range(count)]  # type: list[int], list[list[int]]
    for before, node in edges:
        waiting[node] += 1
        after[before].append(node)
    level, left = [0] * count, dict.fromkeys(range(count))
    while left:
        node = next((i for i in left if waiting[i] == 0), next(iter(left)))
        del left[node]
        for target in after[node]:
            if target in left:
                waiting[target] -= 1
                level[target] = max(level[target], level[node] + 1)
    return level


def _svg(labels: list[str], edges: list[tuple[int, int]]) -> str:
    level = _levels(len(labels), edges)
    rows: list[list[int]] = [[] for _ in range(max(level) + 1)]
    for node, row in enumerate(level):
        rows[row].append(node)
    widest = max(map(len, rows))
    x, y = [0.0] * len(labels), [0.0] * len(labels)
    for depth, row_nodes in enumerate(rows):
        for place, node in enumerate(row_nodes):
            x[node] = (place + (widest - len(row_nodes)) / 2) * ACROSS + ACROSS / 2
            y[node] = depth * DOWN + DOWN / 2
    parts = [_edge(x[a], y[a], x[b], y[b], level[b] <= level[a]) for a, b in edges]
    parts += [_node(x[i], y[i], label) for i, label in enumerate(labels)]
    width, height = widest * ACROSS, len(rows) * DOWN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" style="max-width:100%;height:auto" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _edge(x1: float, y1: float, x2: float, y2: float, back: bool) -> str:
    """Draw an edge from a node's lower side to the arrow at another's upper one."""
    start, end = y1 + HEIGHT / 2, y2 - HEIGHT / 2
    bend = abs(end - start) / 2 + 8 * back
    dash = ' stroke-dasharray="4 3"' if back else ""
    curve = f"M{x1:g} {start:g}C{x1:g} {start + bend:g} {x2:g} {end - bend:g} {x2:g} {end:g}"
    return (
        f'<path d="{curve}" fill="none" stroke="#888"{dash}/>'
        f'<path d="M{x2 - 4:g} {end - 7:g}L{x2:g} {end:g}L{x2 + 4:g} {end - 7:g}Z" fill="#888"/>'
    )


def _node(x: float, y: float, label: str) -> str:
    left, top = x - WIDTH / 2, y - HEIGHT / 2
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="#eef3fa" '
        f'stroke="#5b7fb4"/><text x="{x:g}" y="{y + 4:g}" text-anchor="middle" fill="#222">'
        f"{html.escape(label)}</text>"
    )
