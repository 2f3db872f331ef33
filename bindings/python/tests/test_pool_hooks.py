"""Hooks: when they are called, and what their exceptions do."""

from __future__ import annotations

import contextlib

import pytest
from parts import Noted, Plain

import exia
from exia import _handle


def test_hooks_are_called_around_each_loan(pool: exia.Pool) -> None:
    pool.add("a", Noted, max=1)
    with pool.borrow("a") as noted:
        assert noted.calls == ["activate"]
    with pool.borrow("a") as again:
        assert again is noted
    pool.close()
    assert noted.calls == [
        "activate", "passivate", "validate", "activate", "passivate", "close"
    ]  # fmt: skip


def test_a_return_counts_whatever_passivate_does(
    pool: exia.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad:
        def passivate(self) -> None:
            raise ZeroDivisionError("too bad")

    pool.add("bad", Bad, max=1)
    with pool.borrow("bad") as first:
        pass
    assert "too bad" in caplog.text
    assert _handle.thread.parked is None  # it must not come up in a later call
    with pool.borrow("bad", timeout=0) as second:
        assert second is not first


def test_an_object_that_is_not_fit_is_replaced(pool: exia.Pool) -> None:
    pool.add("a", Noted, max=1)
    with pool.borrow("a") as first:
        first.fit = False
    with pool.borrow("a") as second:
        assert second is not first
    assert first.calls[-1] == "close"


@pytest.mark.parametrize("hook", ["validate", "activate", "passivate", "close"])
def test_ctrl_c_in_a_hook_arrives_whatever_c_does_about_it(pool: exia.Pool, hook: str) -> None:
    def interrupted(self: Plain) -> None:
        raise KeyboardInterrupt

    def use() -> None:
        for _ in range(2):
            with pool.borrow("a", timeout=0):
                pass
        pool.borrow("a").discard()

    pool.add("a", type("Hooked", (Plain,), {hook: interrupted}), max=1)
    with pytest.raises(KeyboardInterrupt):
        use()
    assert _handle.thread.parked is None
    assert pool.show("a")[0]["lent"] == 0
    with contextlib.suppress(KeyboardInterrupt):
        pool.close(0)
    pool.close(0)


def test_a_hook_that_takes_arguments_is_none(pool: exia.Pool) -> None:
    class Strict:
        def validate(self, value: int) -> None:
            raise AssertionError

        @classmethod
        def activate(cls, value: int) -> None:
            raise AssertionError

    pool.add("a", Strict, max=1)
    for _ in range(2):
        with pool.borrow("a"):
            pass


def test_a_hook_that_fails_raises_its_own_exception(pool: exia.Pool) -> None:
    class Bad:
        def activate(self) -> None:
            raise LookupError("activate")

    pool.add("a", Bad)
    with pytest.raises(LookupError, match="activate"):
        pool.borrow("a")
