"""Loans: what is lent to whom, who waits, and what comes back."""

from __future__ import annotations

import gc
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from parts import Noted, Plain

import exia


def when_one_waits(pool: exia.Pool, act: Callable[[], None]) -> None:
    while pool.show("a")[0]["waiting"] == 0:
        time.sleep(0.001)
    act()


def test_a_shared_component_is_one_object_and_others_are_lent_to_one(pool: exia.Pool) -> None:
    pool.add("shared", Plain)
    pool.add("two", Plain, max=2)
    with pool.borrow("shared") as a, pool.borrow("shared") as b:
        assert a is b
    first, second = pool.borrow("two"), pool.borrow("two")
    assert first.object is not second.object
    with pytest.raises(TimeoutError, match="two"):
        pool.borrow("two", timeout=0.01)
    kept = first.object
    first.close()
    with pool.borrow("two") as again:
        assert again is kept
    second.close()


def test_needs_arrive_in_order_and_are_built_first(pool: exia.Pool) -> None:
    built: list[str] = []

    def part(name: str) -> Any:
        def make(*needs: Any, **arguments: Any) -> Any:
            built.append(name)
            return (name, needs, arguments)

        return make

    pool.add("top", part("top"), needs=["left", "right"], arguments={"k": [1]})
    pool.add("right", part("right"), needs=["base"])
    pool.add("left", part("left"), needs=["base"])
    pool.add("base", part("base"))
    with pool.borrow("top") as top:
        base = ("base", (), {})
        assert top == ("top", (("left", (base,), {}), ("right", (base,), {})), {"k": [1]})
    assert built == ["base", "left", "right", "top"]
    plan = pool.plan()
    assert plan.order()[0] == "base"
    assert plan.order()[-1] == "top"
    assert [set(level) for level in plan.levels()] == [{"base"}, {"left", "right"}, {"top"}]


def test_classes_callables_and_texts_make_components(pool: exia.Pool) -> None:
    pool.add("class", Plain)
    pool.add("text", "collections:Counter", arguments={"a": 2})
    pool.add("inner", "os.path:join", arguments={}, needs=("root", "leaf"))
    pool.add("root", lambda: "/x")
    pool.add("leaf", lambda: "y")
    with pool.borrow(Plain) as plain:
        assert type(plain) is Plain
    with pool.borrow("text") as counter:
        assert counter == Counter(a=2)
    with pool.borrow("inner") as joined:
        assert joined == "/x/y"
    pool.add("again", Plain)
    with pytest.raises(exia.NotFoundError, match="class, again"):
        pool.borrow(Plain)


def test_none_and_false_are_objects_too(pool: exia.Pool) -> None:
    pool.add("none", lambda: None)
    pool.add("false", lambda: False)
    with pool.borrow("none") as none, pool.borrow("false") as false:
        assert none is None
        assert false is False


def test_a_discarded_object_is_replaced(pool: exia.Pool) -> None:
    pool.add("a", Noted, max=1)
    lease = pool.borrow("a")
    first = lease.object
    lease.discard()
    assert first.calls[-1] == "close"
    with pool.borrow("a") as second:
        assert second is not first


def test_a_lease_may_be_discarded_inside_its_block(pool: exia.Pool) -> None:
    pool.add("a", Plain)
    lease = pool.borrow("a")
    with lease as first:
        lease.discard()
    with pool.borrow("a") as second:
        assert second is not first


def test_the_block_gives_back_when_it_fails(pool: exia.Pool) -> None:
    pool.add("a", Plain, max=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), pool.borrow("a", timeout=0):
            _ = 1 / 0


def test_a_waiter_gets_what_another_thread_returns(pool: exia.Pool) -> None:
    pool.add("a", Plain, max=1)
    lease = pool.borrow("a")
    helper = threading.Thread(target=when_one_waits, args=(pool, lease.close))
    helper.start()
    with pool.borrow("a", timeout=float("inf")) as got:
        assert type(got) is Plain
    helper.join()


def test_a_wait_ends_in_time(pool: exia.Pool) -> None:
    pool.add("a", Plain, max=1)
    with pool.borrow("a"):
        for timeout in (0, -1, 0.02, 0.25):
            start = time.monotonic()
            with pytest.raises(exia.TimeoutError):
                pool.borrow("a", timeout=timeout)
            assert max(timeout, 0) * 0.9 <= time.monotonic() - start < timeout + 5


def test_ctrl_c_ends_a_wait_without_end(pool: exia.Pool, ctrl_c: Callable[[], None]) -> None:
    pool.add("a", Plain, max=1)
    with pool.borrow("a"):
        helper = threading.Thread(target=when_one_waits, args=(pool, ctrl_c))
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            pool.borrow("a")
        helper.join()
    with pool.borrow("a", timeout=0):
        pass


def test_eight_threads_never_hold_the_same_object(pool: exia.Pool) -> None:
    pool.add("a", Counter, max=3)
    errors: list[str] = []

    def work() -> None:
        for _ in range(200):
            with pool.borrow("a", timeout=60) as counter:
                counter["users"] += 1
                if counter["users"] != 1:
                    errors.append("two users")
                time.sleep(0)
                counter["users"] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    (row,) = pool.show("a")
    assert (row["lent"], row["built"] <= 3, row["hits"]) == (0, True, 1600)


def test_a_dropped_lease_is_returned_and_reported(
    pool: exia.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "exia")
    pool.add("a", Plain, max=1)

    def forgetful() -> None:
        pool.borrow("a")
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"lease of 'a' was dropped"):
        forgetful()
    with pool.borrow("a", timeout=0):
        pass
    assert re.search(r"test_pool\.py:\d+: a lease of 'a' was dropped", caplog.text)


def test_a_lease_dropped_inside_a_callback_is_returned_afterwards(pool: exia.Pool) -> None:
    pool.add("a", Plain, max=1)

    def careless() -> Plain:
        lease = pool.borrow("a")
        del lease
        assert pool.show("a")[0]["lent"] == 1  # not yet: C frames lie below this one
        return Plain()

    pool.add("b", careless)
    with pytest.warns(ResourceWarning):
        pool.borrow("b").close()
    assert pool.show("a")[0]["lent"] == 0


def test_a_lease_outlives_its_pool() -> None:
    pool = exia.Pool("short")
    pool.add("a", Noted)
    lease = pool.borrow("a")
    noted = lease.object
    del pool
    gc.collect()
    assert "close" not in noted.calls
    lease.close()
    del lease
    gc.collect()
    assert noted.calls[-1] == "close"
