"""Factories that fail: the very exception arrives where it belongs."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from parts import Plain

import exia


def test_the_very_exception_of_a_factory_arrives(pool: exia.Pool) -> None:
    original = KeyError("the original")

    def fails() -> None:
        raise original

    pool.add("bad", fails)
    pool.add("needs bad".replace(" ", "-"), Plain, needs=("bad",))
    for name in ("bad", "needs-bad", "bad"):
        with pytest.raises(KeyError) as caught:
            pool.borrow(name)
        assert caught.value is original
    assert [row["built"] for row in pool.show()] == [0, 0]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_an_exception_says_once_which_component_it_comes_from(pool: exia.Pool) -> None:
    original = KeyError("the original")

    def fails(self: Any = None) -> None:
        raise original

    pool.add("bad", fails)
    pool.add("hooked", type("Hooked", (), {"activate": fails}), max=1)
    for name in ("bad", "bad", "hooked", "hooked"):
        with pytest.raises(KeyError):
            pool.borrow(name)
    assert original.__notes__ == ["in the factory of component 'bad'",
                                  "in activate() of component 'hooked'"]  # fmt: skip


def test_a_factory_that_borrows_its_own_component_is_told(pool: exia.Pool) -> None:
    pool.add("a", lambda: pool.borrow("a"))
    pool.add("b", lambda: pool.borrow("c"), max=1)
    pool.add("c", list, needs=["b"])
    for name in ("a", "b"):
        words = f"component '{name}'.*: this very thread works at it; its factory and hooks must"
        with pytest.raises(exia.CycleError, match=words):
            pool.borrow(name, timeout=60)


def test_what_idle_dependents_keep_comes_back_when_the_pool_is_cleared(pool: exia.Pool) -> None:
    pool.add("need", list, max=1)
    pool.add("user", lambda need: need, needs=["need"], max=1)
    pool.borrow("user").close()
    with pytest.raises(exia.TimeoutError, match="raise its max, or clear the pool of idle ones"):
        pool.borrow("need")
    pool.clear()
    pool.borrow("need").close()


def test_a_factory_may_fail_and_then_work(pool: exia.Pool) -> None:
    attempts = iter([OSError("first"), None])

    def makes() -> Plain:
        problem = next(attempts)
        if problem:
            raise problem
        return Plain()

    pool.add("a", makes)
    with pytest.raises(OSError, match="first"):
        pool.borrow("a")
    with pool.borrow("a") as made:
        assert type(made) is Plain


def test_wrong_arguments_are_a_type_error(pool: exia.Pool) -> None:
    pool.add("a", lambda: 1, arguments={"colour": 1})
    with pytest.raises(TypeError, match="colour"):
        pool.borrow("a")


def test_ctrl_c_in_a_factory_arrives(pool: exia.Pool) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    pool.add("a", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.borrow("a")


def test_an_exception_of_one_thread_is_not_raised_in_another(pool: exia.Pool) -> None:
    barrier = threading.Barrier(8)

    def fails() -> None:
        raise ValueError(threading.get_ident())

    pool.add("a", fails, max=8)
    seen: list[tuple[int, Any]] = []

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            with pytest.raises(ValueError) as caught:  # noqa: PT011
                pool.borrow("a")
            seen.append((threading.get_ident(), caught.value.args[0]))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 400
    assert all(own == raised for own, raised in seen)
