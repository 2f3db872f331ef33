"""Borrowing in an event loop: never blocked, in order, and nothing is lost by who is cancelled."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import exia


class Hooked:
    """Its factory is asked before and after each loan."""

    def activate(self) -> None:
        time.sleep(0)

    def passivate(self) -> None:
        time.sleep(0)


def row(pool: exia.Pool, name: str = "a") -> Any:
    return pool.show(name)[0]


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 120))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


# ---- bad input and failures ---------------------------------------------------------------------


def test_what_is_not_there_is_refused_at_once(pool: exia.Pool) -> None:
    with pytest.raises(exia.NotFoundError, match="'none'"):
        pool.borrow_async("none")
    pool.add("a", list)
    for timeout in ("1", True, float("nan")):
        with pytest.raises((TypeError, exia.InvalidError), match="timeout"):
            pool.borrow_async("a", timeout=timeout)  # type: ignore[arg-type]
    pool.close()
    with pytest.raises(exia.ClosedError):
        pool.borrow_async("a")


def test_a_borrowing_is_for_one_loan(pool: exia.Pool) -> None:
    pool.add("a", list)

    async def main() -> None:
        borrowing = pool.borrow_async("a")
        async with borrowing as first:
            assert first == []
            with pytest.raises(RuntimeError, match="one loan"):
                await borrowing
        with pytest.raises(RuntimeError, match="one loan"):
            await borrowing

    run(main)
    assert row(pool)["lent"] == 0


def test_one_that_is_never_awaited_takes_nothing_and_is_reported_at_its_line(
    pool: exia.Pool,
) -> None:
    pool.add("a", list, max=1)
    with pytest.warns(RuntimeWarning, match="borrow_async of 'a' was never awaited") as caught:
        pool.borrow_async("a")
    code = test_one_that_is_never_awaited_takes_nothing_and_is_reported_at_its_line.__code__
    assert caught[0].filename == code.co_filename
    assert caught[0].lineno == code.co_firstlineno + 5
    assert (row(pool)["lent"], row(pool)["hits"]) == (0, 0)


def test_a_borrowing_may_be_a_task_and_one_cancelled_before_it_starts_is_not_reported(
    pool: exia.Pool,
) -> None:
    pool.add("a", list, max=1)

    async def main() -> None:
        lease = await asyncio.create_task(pool.borrow_async("a"))
        early, late = (asyncio.create_task(pool.borrow_async("a")) for _ in range(2))
        early.cancel()
        await until(lambda: row(pool)["waiting"] == 1)
        assert early.cancelled()
        late.cancel()
        for task in (early, late):
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pool.borrow_async("a"), 0)
        pool.borrow_async("a").close()
        lease.close()

    run(main)
    assert (row(pool)["lent"], row(pool)["waiting"]) == (0, 0)


def test_the_very_exception_of_a_factory_arrives(pool: exia.Pool) -> None:
    original = LookupError("the original")
    threads: list[int] = []

    def fails() -> None:
        threads.append(threading.get_ident())
        raise original

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(LookupError) as caught:
                await pool.borrow_async("a")
            assert caught.value is original

    pool.add("a", fails)
    run(main)
    assert threading.get_ident() not in threads
    assert len(threads) == 2


def test_a_factory_that_raises_StopIteration_does_not_stop_the_coroutine(pool: exia.Pool) -> None:
    original = StopIteration("broken")

    def fail() -> None:
        raise original

    async def main() -> None:
        pool.add("a", fail, max=1)
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await pool.borrow_async("a")
        assert caught.value.__cause__ is original

    run(main)


def test_a_wait_ends_in_time_and_leaves_the_queue(pool: exia.Pool) -> None:
    pool.add("a", list, max=1)

    async def main() -> None:
        async with pool.borrow_async("a"):
            with pytest.raises(exia.TimeoutError, match="component 'a': none of 1") as caught:
                pool.borrow("a", timeout=0)
            words = str(caught.value)
            for timeout in (0, -1, 0.02, 0.2):
                start = time.monotonic()
                with pytest.raises(exia.TimeoutError, match=f"^{words}$"):
                    await pool.borrow_async("a", timeout=timeout)
                assert time.monotonic() - start >= timeout
                assert row(pool)["waiting"] == 0
        async with pool.borrow_async("a", timeout=0):
            pass

    run(main)


def test_a_wait_for_a_need_ends_in_time_too(pool: exia.Pool) -> None:
    pool.add("need", list, max=1)
    pool.add("a", lambda need: need, needs=("need",), max=1)

    async def main() -> None:
        with pool.borrow("need"):
            with pytest.raises(exia.TimeoutError, match="'a': it was not ready in the time"):
                await pool.borrow_async("a", timeout=0.05)
            task = asyncio.create_task(_hold(pool.borrow_async("a")))
            await until(lambda: row(pool, "need")["waiting"] == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: row(pool, "need")["waiting"] == 0)
        async with pool.borrow_async("a", timeout=60):
            with pytest.raises(exia.TimeoutError, match="for life"):
                await pool.borrow_async("need")

    run(main)


def test_a_close_ends_the_waits() -> None:
    pool = exia.Pool("closed")
    pool.add("a", list, max=1)

    async def main() -> None:
        lease = await pool.borrow_async("a")
        waits = [asyncio.create_task(_hold(pool.borrow_async("a"))) for _ in range(3)]
        await until(lambda: row(pool)["waiting"] == 3)
        with pytest.raises(exia.TimeoutError):
            pool.close(0)
        for done in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(done, exia.ClosedError)
        lease.close()

    run(main)
    pool.close(0)


async def _hold(borrowing: Any) -> Any:
    async with borrowing as made:
        return made


# ---- loans --------------------------------------------------------------------------------------


def test_it_gives_the_object_or_awaited_a_lease(pool: exia.Pool) -> None:
    pool.add("a", Hooked, max=1)

    async def main() -> None:
        async with pool.borrow_async(Hooked) as made:
            assert type(made) is Hooked
        lease = await pool.borrow_async("a", timeout=1)
        assert isinstance(lease, exia.Lease)
        with lease as again:
            assert again is made
        async with pool.borrow_async("a"):
            pass

    run(main)
    assert (row(pool)["lent"], row(pool)["hits"]) == (0, 3)


def test_a_slow_factory_and_its_hooks_do_not_stop_the_loop(pool: exia.Pool) -> None:
    gates = [threading.Event() for _ in range(4)]
    entered: list[str] = []

    def stop(name: str) -> None:
        entered.append(name)
        assert gates[len(entered) - 1].wait(60)

    class Slow:
        def __init__(self) -> None:
            stop("made")

        def activate(self) -> None:
            stop("activated")

        def passivate(self) -> None:
            stop("passivated")

        def close(self) -> None:
            stop("closed")

    pool.add("a", Slow, max=1)

    async def use() -> None:
        async with pool.borrow_async("a"):
            pass

    async def main() -> None:
        task = asyncio.create_task(use())
        for i in range(3):
            await until(lambda i=i: len(entered) == i + 1)  # type: ignore[misc]
            gates[i].set()
        await task

    run(main)
    gates[3].set()
    assert entered == ["made", "activated", "passivated"]


def test_coroutines_and_threads_are_served_in_order_of_arrival(pool: exia.Pool) -> None:
    pool.add("a", list, max=1)
    served: list[int] = []

    async def coroutine(i: int) -> None:
        async with pool.borrow_async("a"):
            served.append(i)

    def thread(i: int) -> None:
        with pool.borrow("a"):
            served.append(i)

    async def main() -> None:
        tasks, threads = [], []
        async with pool.borrow_async("a"):
            for i in range(12):
                if i % 3:
                    tasks.append(asyncio.create_task(coroutine(i)))
                else:
                    threads.append(threading.Thread(target=thread, args=(i,)))
                    threads[-1].start()
                await until(lambda i=i: row(pool)["waiting"] == i + 1)  # type: ignore[misc]
            await asyncio.sleep(0.25)  # a thread looks up meanwhile, and keeps its turn
        await asyncio.gather(*tasks)
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])

    run(main)
    assert served == list(range(12))


@pytest.mark.parametrize("kind", [list, Hooked])
def test_a_thousand_coroutines_share_two_objects(pool: exia.Pool, kind: Any) -> None:
    pool.add("a", kind, max=2)
    users = most = 0
    both = asyncio.Event()
    count = 1000 if kind is list else 200

    async def use() -> None:
        nonlocal users, most
        async with pool.borrow_async("a", timeout=100):
            users += 1
            most = max(most, users)
            if users == 2:
                both.set()
            await both.wait()
            await asyncio.sleep(0)
            users -= 1

    async def main() -> None:
        await asyncio.gather(*(use() for _ in range(count)))

    run(main)
    assert (users, most) == (0, 2)
    assert (row(pool)["hits"], row(pool)["lent"], row(pool)["waiting"]) == (count, 0, 0)


def test_a_full_executor_holds_nothing_up(pool: exia.Pool) -> None:
    pool.add("a", Hooked, max=1)

    def blocking() -> None:
        with pool.borrow("a"):
            pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        from concurrent.futures import ThreadPoolExecutor

        loop.set_default_executor(ThreadPoolExecutor(1))
        async with pool.borrow_async("a"):
            first = asyncio.create_task(_hold(pool.borrow_async("a")))
            await until(lambda: row(pool)["waiting"] == 1)
            behind = loop.run_in_executor(None, blocking)
            await until(lambda: row(pool)["waiting"] == 2)
        await first
        await behind

    run(main)


# ---- cancelling ---------------------------------------------------------------------------------


def test_who_is_cancelled_gives_its_place_to_the_next(pool: exia.Pool) -> None:
    pool.add("a", list, max=1)

    async def main() -> None:
        async with pool.borrow_async("a"):
            first = asyncio.create_task(_hold(pool.borrow_async("a")))
            await until(lambda: row(pool)["waiting"] == 1)
            second = asyncio.create_task(_hold(pool.borrow_async("a")))
            await until(lambda: row(pool)["waiting"] == 2)
            first.cancel()
            await until(lambda: row(pool)["waiting"] == 1)
        assert await second == []
        assert first.cancelled()

    run(main)


def test_what_is_built_for_nobody_is_kept_for_the_next(pool: exia.Pool) -> None:
    gate, entered = threading.Event(), threading.Event()

    def slow() -> list[int]:
        entered.set()
        assert gate.wait(60)
        return [1]

    pool.add("a", slow, max=1)

    async def main() -> None:
        task = asyncio.create_task(_hold(pool.borrow_async("a")))
        await until(entered.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        async with pool.borrow_async("a", timeout=60) as made:
            assert made == [1]

    run(main)
    assert (row(pool)["built"], row(pool)["lent"]) == (1, 0)


def test_a_loop_that_ends_while_one_waits_leaves_no_place(pool: exia.Pool) -> None:
    pool.add("a", list, max=1)

    async def main() -> None:
        task = asyncio.create_task(_hold(pool.borrow_async("a")))
        await until(lambda: row(pool)["waiting"] == 1)
        del task  # asyncio.run() cancels it

    with pool.borrow("a"):
        run(main)
        gc.collect()
        assert row(pool)["waiting"] == 0


@pytest.mark.parametrize("kind", [list, Hooked])
@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_cancels_loses_no_object(pool: exia.Pool, kind: Any, seed: int) -> None:
    rng = random.Random(seed)
    pool.add("a", kind, max=2)
    done = {"used": 0, "late": 0, "cancelled": 0}

    async def use() -> None:
        try:
            async with pool.borrow_async("a", timeout=rng.choice([None, 0, 0.001, 0.01])):
                await asyncio.sleep(rng.choice([0, 0, 0.0005]))
                done["used"] += 1
        except exia.TimeoutError:
            done["late"] += 1
        except asyncio.CancelledError:
            done["cancelled"] += 1

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []
        for _ in range(400):
            tasks.append(asyncio.create_task(use()))
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            if rng.random() < 0.6:
                rng.choice(tasks[-20:]).cancel()
            if rng.random() < 0.05:
                await asyncio.sleep(0.002)
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: row(pool)["lent"] == 0 and row(pool)["waiting"] == 0)
        leases = [await pool.borrow_async("a", timeout=60) for _ in range(2)]
        for lease in leases:
            lease.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main)
    assert all(done.values())
    assert row(pool)["built"] <= 2


def test_a_borrow_without_a_wait_makes_no_thread_and_no_descriptor(pool: exia.Pool) -> None:
    pool.add("a", list, max=1)
    with pool.borrow("a"):
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader = loop.run_in_executor = None  # type: ignore[assignment]
        for _ in range(100):
            async with pool.borrow_async("a"):
                pass
        del loop.add_reader, loop.run_in_executor

    asyncio.run(main())
    assert row(pool)["hits"] == 101
