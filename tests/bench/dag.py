"""The DAG from Python beside rustworkx, networkx, graphlib2 and graphlib: each question on each graph.

The graph is built before a question, but for the rows that are about that.  Exia sorts edges into
rows at the first question after a change, where its peers do while they build: that counts in
questions about all of the graph; those about some nodes are asked once more, and once with the
building.  Who would need minutes for a large graph is asked about a small one of its kind, and so is
Exia.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dag_peers import Exia, Graph, contestants

sys.path.append(str(Path(__file__).parents[2] / "bindings" / "python" / "tests"))
import real_graphs

BUDGET = 1.0  # of rustworkx's time, on every question that both answer
LONG = 0.5  # seconds: nobody is asked again who took that
ASKED = 10  # nodes that the questions about some nodes are about
STEPS = 100  # from one end of a path to the other, at most
REDUCED = 20_000  # edges: with more than that the reduction takes peers minutes

# ---- graphs -------------------------------------------------------------------------------------


def of_edges(title: str, nodes: int, before: Any, after: Any) -> Graph:
    columns = (np.ascontiguousarray(end, np.uint32) for end in (before, after))
    return Graph(title, nodes, *columns)


def chain(nodes: int) -> Graph:
    return of_edges("a chain", nodes, np.arange(nodes - 1), np.arange(1, nodes))


def ring(nodes: int) -> Graph:
    return of_edges("one cycle", nodes, np.arange(nodes), np.roll(np.arange(nodes), -1))


def star(nodes: int) -> Graph:
    return of_edges("a star", nodes, np.zeros(nodes - 1), np.arange(1, nodes))


def grid(side: int) -> Graph:
    at = np.arange(side * side).reshape(side, side)
    before = np.concatenate([at[:, :-1].ravel(), at[:-1].ravel()])
    return of_edges("a grid", at.size, before, np.concatenate([at[:, 1:].ravel(), at[1:].ravel()]))


def drawn(nodes: int, edges: int) -> Graph:
    """Draw edges at random, each from the lower to the higher of two nodes that are mixed up."""
    rng = np.random.default_rng(1)
    pairs = np.sort(rng.integers(0, nodes, (edges, 2)), axis=1)
    pairs = rng.permutation(nodes)[np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)]
    return of_edges("random", nodes, *rng.permutation(pairs).T)


def layers(count: int, width: int) -> Graph:
    """Let each node come after four of the layer before."""
    rng = np.random.default_rng(1)
    after = np.repeat(np.arange(width, count * width), 4)
    before = (after // width - 1) * width + rng.integers(0, width, len(after))
    pairs = np.unique(np.stack([before, after], axis=1), axis=0)
    return of_edges(f"layers of {width}", count * width, *pairs.T)


def acyclic(graph: Graph) -> Graph:
    """Leave out the edges that lie within a cyclic component."""
    component = np.arange(graph.nodes)
    for i, nodes in enumerate(Exia(graph).dag.cycles()):
        component[nodes] = graph.nodes + i
    kept = component[graph.before] != component[graph.after]
    return of_edges(f"{graph.title}, no cycles", graph.nodes, graph.before[kept], graph.after[kept])


def real() -> Iterator[Graph]:
    for graph in (real_graphs.standard_library(), real_graphs.debian()):
        if graph is None:
            print("Debian's packages are skipped: this machine has no lists of them")
        else:
            yield of_edges(graph.title, len(graph.names), graph.before, graph.after)


# ---- rows ---------------------------------------------------------------------------------------

Lost = list[tuple[str, str, float]]


def seconds(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    answer = ask()
    took = time.perf_counter() - start
    del answer
    return took


def best(make: Callable[[], Callable[[], object]]) -> float:
    """Take the best time of what `make` makes: of three rounds, of more if they are short."""
    gc.collect()
    gc.disable()
    took = [seconds(make())]
    while took[0] < LONG and (len(took) < 3 or (sum(took) < LONG / 5 and len(took) < 20)):
        took.append(seconds(make()))
    gc.enable()
    return min(took)


def asked(one: Any, graph: Graph, question: str, arguments: tuple[Any, ...], warm: bool) -> float:
    """Time a question: asked of a new graph each time, or once more of one that was asked before."""
    held: Any = None

    def make() -> Callable[[], object]:
        nonlocal held
        if held is None or not (one.again or warm):
            held = None  # the old one goes before the new one comes
            held = one(graph)
            if warm:
                getattr(held, question)(*arguments)
        return lambda: getattr(held, question)(*arguments)

    return best(make)


def row(what: str, who: list[Any], took: dict[Any, float]) -> list[tuple[str, float]]:
    """Print what each took, and Exia's part of it; answer where rustworkx is quicker."""
    ours = took[who[0]]
    line, lost = f"  {what:<22}{ours * 1e3:11.3f}", []
    for one in who[1:]:
        if one not in took:
            line += f"{'-':>22}"
            continue
        ratio = ours / took[one]
        late = one.name == "rustworkx" and ratio > BUDGET
        line += f"{took[one] * 1e3:13.3f}{ratio:8.3f}{'!' if late else ' '}"
        if late:
            lost.append((what, ratio))
    print(line.rstrip())
    return lost


class Question(NamedTuple):
    what: str
    method: str
    arguments: tuple[Any, ...] = ()
    warm: bool = False


def questions(graph: Graph, nodes: list[int], cyclic: bool) -> Iterator[Question]:
    yield Question("components", "components")
    yield Question("a cycle", "a_cycle")
    yield Question(f"descendants of {ASKED}", "descendants", (nodes,), warm=True)
    yield Question(f"ancestors of {ASKED}", "ancestors", (nodes,), warm=True)
    yield Question(f"{ASKED} shortest paths", "paths", (walks(graph, nodes),), warm=True)
    if cyclic:
        return
    keys = [
        f"{key:08}"
        for key in np.random.default_rng(3).integers(0, graph.nodes, graph.nodes).tolist()
    ]
    yield Question("order", "order")
    yield Question("order by key", "order_by", (keys.__getitem__,))
    yield Question("levels", "levels")
    yield Question("longest path", "longest_path")
    if len(graph.before) <= REDUCED:
        yield Question("transitive reduction", "reduction")


def walks(graph: Graph, nodes: list[int]) -> list[tuple[int, int]]:
    """Pair each node with one where a walk of some steps ends: peers need O(n^2) for a long one."""
    rows = np.argsort(graph.before, kind="stable")
    starts = np.searchsorted(graph.before[rows], np.arange(graph.nodes + 1))
    ends = []
    for node in nodes:
        for _ in range(STEPS):
            if starts[node] < starts[node + 1]:
                node = int(graph.after[rows[starts[node]]])
        ends.append(node)
    return list(zip(nodes, ends, strict=True))


def compare(graph: Graph, who: list[Any], *, cyclic: bool = False) -> Lost:
    """Ask everyone who can bear a graph of this size all that it answers."""
    print(f"\n{graph}")
    who = [one for one in who if len(graph.before) <= one.most_edges]
    print(
        f"  {'ms; exia / it':<22}{who[0].name:>11}" + "".join(f"{one.name:>22}" for one in who[1:])
    )
    took = {one: best(partial(partial, one, graph)) for one in who}
    lost = row("build from arrays", who, took)
    nodes = np.random.default_rng(2).integers(0, graph.nodes, ASKED).tolist()
    took = {
        one: best(partial(partial, lambda one: one(graph).descendants(nodes), one))
        for one in who
        if hasattr(one, "descendants")
    }
    lost += row(f"... descendants of {ASKED}", who, took)
    pairs = graph.pairs()
    took = {one: best(partial(partial, one.from_pairs, graph.nodes, pairs)) for one in who}
    lost += row("build from pairs", who, took)
    del pairs
    for what, method, arguments, warm in questions(graph, nodes, cyclic):
        able = [one for one in who if hasattr(one, method)]
        took = {one: asked(one, graph, method, arguments, warm) for one in able}
        lost += row(what, who, took)
    return [(graph.title, what, ratio) for what, ratio in lost]


def compare_edge_by_edge(nodes: int, tries: int, who: list[Any]) -> Lost:
    """Add edges one at a time, each refused that would close a cycle."""
    ends = np.random.default_rng(3).integers(0, nodes, (tries, 2))
    pairs = ends[ends[:, 0] != ends[:, 1]].tolist()  # rustworkx takes an edge to itself
    able = [one for one in who if hasattr(one, "one_by_one")]
    refused = {one.one_by_one(nodes, pairs) for one in able}
    assert len(refused) == 1, f"they do not refuse the same: {refused}"
    title = f"{len(pairs):,} edges one by one into {nodes:,} nodes, {refused.pop():,} refused"
    print(f"\n{title}")
    took = {one: best(partial(partial, one.one_by_one, nodes, pairs)) for one in able}
    return [(title, what, ratio) for what, ratio in row("edge by edge", able, took)]


def bench_dag() -> None:
    who = contestants()
    lost: Lost = []
    for graph in real():
        lost += compare(graph, who, cyclic=True)
        lost += compare(acyclic(graph), who)
    for graph in (
        chain(100_000),
        star(100_000),
        grid(300),
        drawn(100_000, 400_000),
        layers(100, 1000),
    ):
        lost += compare(graph, who)
    lost += compare(ring(100_000), who, cyclic=True)
    for graph in (chain(1 << 20), star(1 << 20), grid(1 << 10), drawn(1_000_000, 4_000_000)):
        lost += compare(graph, who)
    lost += compare(ring(1 << 20), who, cyclic=True)
    lost += compare_edge_by_edge(1_000, 4_000, who)
    print(f"\nbudget, at most {BUDGET:.2f} of rustworkx's time: " + ("missed" if lost else "met"))
    for title, what, ratio in lost:
        print(f"  {title}: {what} {ratio:.2f}")


if __name__ == "__main__":
    bench_dag()
