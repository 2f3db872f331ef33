"""How long a loan takes in Python, for one thread and two, and in an event loop."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import sqlalchemy
from rows import race
from sqlalchemy.pool import QueuePool

import exia

PAIRS = 10_000  # in each thread
OBJECTS = 4


class Connection:
    """As little of a DBAPI connection as QueuePool asks for."""

    def rollback(self) -> None:
        pass

    def close(self) -> None:
        pass


def on_threads(count: int, work: Callable[[], None]) -> Callable[[], None]:
    """Make a call that does the work in so many threads, each on a core of its own, at once."""
    cores = sorted(os.sched_getaffinity(0))

    def call() -> None:
        start = threading.Barrier(count)

        def run(core: int) -> None:
            os.sched_setaffinity(0, {core})  # of this thread
            start.wait()
            work()

        threads = [
            threading.Thread(target=run, args=(cores[i % len(cores)],)) for i in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return call


def bench_threads(pool: exia.Pool) -> None:
    lifo: queue.LifoQueue[object] = queue.LifoQueue()
    simple: queue.SimpleQueue[object] = queue.SimpleQueue()
    for _ in range(OBJECTS):
        lifo.put({})
        simple.put({})
    connections = QueuePool(
        Connection,  # type: ignore[arg-type]
        pool_size=OBJECTS,
        max_overflow=0,
        reset_on_return=None,
    )

    def loans() -> None:
        for _ in range(PAIRS):
            with pool.borrow("part"):
                pass

    def lifo_pairs() -> None:
        for _ in range(PAIRS):
            lifo.put(lifo.get())

    def simple_pairs() -> None:
        for _ in range(PAIRS):
            simple.put(simple.get())

    def connection_pairs() -> None:
        for _ in range(PAIRS):
            connections.connect().close()

    contestants = {
        'exia: with pool.borrow("part")': loans,
        "queue.LifoQueue, get + put": lifo_pairs,
        f"SQLAlchemy {sqlalchemy.__version__} QueuePool": connection_pairs,
        "queue.SimpleQueue, get + put (all C)": simple_pairs,
    }
    for count in (1, 2):
        race(
            f"pool, Python, {count} thread{'s'[: count > 1]}",
            PAIRS * count,
            {name: on_threads(count, work) for name, work in contestants.items()},
            {"queue.LifoQueue, get + put": 0.25},
        )


def bench_async(pool: Any) -> None:
    async def loans() -> None:
        for _ in range(PAIRS):
            async with pool.borrow_async("part"):
                pass

    async def pairs() -> None:
        objects: asyncio.LifoQueue[object] = asyncio.LifoQueue()
        for _ in range(OBJECTS):
            objects.put_nowait({})
        for _ in range(PAIRS):
            objects.put_nowait(await objects.get())

    def in_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        return on_threads(1, lambda: asyncio.run(work()))

    race(
        "pool, Python, one event loop",
        PAIRS,
        {
            "exia: async with pool.borrow_async(...)": in_a_loop(loans),
            "asyncio.LifoQueue, get + put_nowait": in_a_loop(pairs),
        },
        {},
    )


def bench_pool() -> None:
    with exia.Pool("bench") as pool:
        pool.add("part", dict, max=OBJECTS)
        bench_threads(pool)
        if hasattr(pool, "borrow_async"):
            bench_async(pool)
        else:
            print("\npool, Python, one event loop: skipped, exia.Pool has no borrow_async")
