"""The end of objects and of pools."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest
from parts import Noted, Plain

import exia
from exia import _factory
from exia import pool as module


def test_the_end_destroys_in_reverse_order_and_a_failing_close_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []

    class Part:
        def __init__(self, *needs: Any, name: str) -> None:
            self.name = name

        def close(self) -> None:
            ended.append(self.name)
            if self.name == "middle":
                raise RuntimeError("no way")

    with exia.Pool("order") as pool:
        pool.add("top", Part, needs=("middle",), arguments={"name": "top"})
        pool.add("middle", Part, needs=("base",), arguments={"name": "middle"})
        pool.add("base", Part, arguments={"name": "base"})
        with pool.borrow("top"):
            pass
    assert ended == ["top", "middle", "base"]
    assert "no way" in caplog.text


def test_clear_destroys_what_is_idle(pool: exia.Pool) -> None:
    pool.add("a", Noted)
    with pool.borrow("a") as first:
        pass
    pool.clear()
    assert first.calls[-1] == "close"
    with pool.borrow("a") as second:
        assert second is not first


def test_a_close_names_the_loans_that_are_out() -> None:
    pool = exia.Pool("out")
    pool.add("a", Plain)
    lease = pool.borrow("a")
    with pytest.raises(exia.TimeoutError, match=r"'?a'? taken at .*test_pool_close\.py"):
        pool.close(0.01)
    lease.close()
    pool.close(0)


def test_the_end_of_a_block_does_not_hide_its_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXIT", 0.01)
    kept = []

    def work(fails: bool) -> None:
        with exia.Pool("out") as pool:
            pool.add("a", Plain)
            kept.append(pool.borrow("a"))
            _ = 1 / (not fails)

    with pytest.raises(ZeroDivisionError):
        work(True)
    with pytest.raises(exia.TimeoutError):
        work(False)
    for lease in kept:
        lease.close()


def test_nothing_is_kept_after_the_end() -> None:
    alive = len(_factory.alive)
    pool = exia.Pool("gone")
    pool.add("a", Plain)
    with pool.borrow("a") as made:
        seen = weakref.ref(made)
    del made
    pool.close()
    del pool
    gc.collect()
    assert seen() is None
    assert len(_factory.alive) == alive


def test_a_pool_that_is_dropped_ends_its_objects() -> None:
    alive = len(_factory.alive)
    pool = exia.Pool("dropped")
    pool.add("a", Noted)
    with pool.borrow("a") as noted:
        pass
    del pool
    gc.collect()
    assert noted.calls[-1] == "close"
    assert len(_factory.alive) == alive


def test_a_pool_may_be_open_at_the_end_of_the_interpreter() -> None:
    code = (
        "import exia\n"
        "class A:\n"
        "    def close(self): print('closed', flush=True)\n"
        "pool = exia.Pool('p'); pool.add('a', A)\n"
        "lease = pool.borrow('a')\n"
        "other = exia.Pool('q'); other.add('a', A)\n"
        "with other.borrow('a'): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Fatal" not in done.stderr
