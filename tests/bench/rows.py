"""Rows of the bench: calls are measured in turn, round after round, so that a drift meets all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

ROUNDS = 5


def measure(calls: list[Callable[[], object]], rounds: int = ROUNDS) -> list[list[float]]:
    """Answer the seconds of each call, one a round."""
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            took[i].append(time.perf_counter() - start)
    return took


def race(
    title: str,
    pairs: int,
    contestants: dict[str, Callable[[], object]],
    budgets: dict[str, float],
) -> None:
    """Print best and median of each, in ns a pair, and how the first one stands to the others.

    A budget is how many times the peer's time the first one may take, by the median of the rounds.
    """
    measure(list(contestants.values()), 1)  # warm
    took = measure(list(contestants.values()), 7)
    print(f"\n{title}, ns a pair")
    print(f"  {'':<40} {'best':>9} {'median':>9}   exia / peer: best, median")
    for i, name in enumerate(contestants):
        best, median = (f(took[i]) / pairs * 1e9 for f in (min, statistics.median))
        line = f"  {name:<40} {best:9.0f} {median:9.0f}"
        if i > 0:
            ratio = statistics.median(a / b for a, b in zip(took[0], took[i], strict=True))
            line += f"   {min(took[0]) / min(took[i]):7.2f} {ratio:7.2f}"
            if name in budgets:
                met = "met" if ratio <= budgets[name] else "missed"
                line += f"   budget {budgets[name]:.2f}: {met}"
        print(line)
