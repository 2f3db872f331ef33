"""Pools: bad input, factories that fail, loans, hooks, threads."""

from __future__ import annotations

import contextlib
import gc
import logging
import re
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import exia
from exia import _factory, _handle
from exia import pool as module


@pytest.fixture
def pool() -> Any:
    with exia.Pool("test") as opened:
        yield opened


class Plain:
    """A component without hooks."""


class Noted:
    """Notes which hooks were called."""

    made = 0

    def __init__(self, *needs: Any, **arguments: Any) -> None:
        type(self).made += 1
        self.needs, self.arguments, self.calls = needs, arguments, []
        self.fit = True

    def activate(self) -> None:
        self.calls.append("activate")

    def passivate(self) -> None:
        self.calls.append("passivate")

    def validate(self) -> bool:
        self.calls.append("validate")
        return self.fit

    def close(self) -> None:
        self.calls.append("close")


def when_one_waits(pool: exia.Pool, act: Callable[[], None]) -> None:
    while pool.show("a")[0]["waiting"] == 0:
        time.sleep(0.001)
    act()


# ---- bad input ----------------------------------------------------------------------------------


def test_a_cycle_of_needs_is_refused_and_named(pool: exia.Pool) -> None:
    pool.add("a", Plain, needs=("b",))
    pool.add("b", Plain, needs=("c",))
    with pytest.raises(exia.CycleError, match=r"a.*b.*c") as caught:
        pool.add("c", Plain, needs=("a",))
    assert caught.value.cycle in (["a", "c", "b"], ["c", "b", "a"], ["b", "a", "c"])
    with pytest.raises(exia.CycleError) as caught:
        pool.add("self", Plain, needs=("self",))
    assert caught.value.cycle == ["self"]
    assert [row["name"] for row in pool.show()] == ["a", "b"]
    pool.add("c", lambda: 1)


def test_a_name_is_taken_once(pool: exia.Pool) -> None:
    pool.add("a", Plain)
    with pytest.raises(FileExistsError, match="a"):
        pool.add("a", Plain)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 10_000, "a\nb"])
def test_a_bad_name_is_refused(pool: exia.Pool, name: str) -> None:
    with pytest.raises(exia.InvalidError):
        pool.add(name, Plain)
    assert pool.show() == []


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        (7.5, TypeError, "cannot be called"),
        (None, TypeError, "cannot be called"),
        (True, TypeError, "cannot be called"),
        (5, TypeError, "add lambda: object"),
        (4097, TypeError, "add lambda: object"),
        ("..:x", ValueError, "module:Class"),
        ("math:.pi", ValueError, "module:Class"),
        ("collections", ValueError, "module:Class"),
        ("collections:", ValueError, "module:Class"),
        ("os;x:y", ValueError, "module:Class"),
        ("collections:__import__('os')", ValueError, "module:Class"),
        ("no_such_module:X", ModuleNotFoundError, "no_such_module"),
        ("collections:NoSuchClass", AttributeError, "NoSuchClass"),
        ("math:pi", TypeError, "cannot be called"),
    ],
)
def test_what_makes_nothing_is_refused(
    pool: exia.Pool, what: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        pool.add("a", what)
    assert pool.show() == []


@pytest.mark.parametrize("most", [0, -1, 1 << 40])
def test_a_bad_max_is_refused(pool: exia.Pool, most: int) -> None:
    with pytest.raises(exia.InvalidError, match="max"):
        pool.add("a", Plain, max=most)


def test_what_is_not_there_is_named_with_what_is(pool: exia.Pool) -> None:
    pool.add("alpha", Plain)
    with pytest.raises(LookupError, match=r"'beta'.*alpha"):
        pool.borrow("beta")
    with pytest.raises(exia.NotFoundError, match="Counter"):
        pool.borrow(Counter)
    with pytest.raises(exia.NotFoundError):
        pool.borrow([])
    for ask in (pool.show, pool.loans, pool.reload, pool.borrow_async):
        with pytest.raises(exia.NotFoundError, match=r"no component 'beta'; it has: alpha"):
            ask("beta")  # type: ignore[operator]


def test_a_missing_need_is_named(pool: exia.Pool) -> None:
    pool.add("alpha", Plain, needs=("beta",))
    with pytest.raises(exia.NotFoundError, match=r"beta.*alpha|alpha.*beta"):
        pool.borrow("alpha")
    pool.add("beta", Plain)
    pool.add("gamma", lambda beta: beta, needs=["beta"])
    with pool.borrow("gamma") as gamma:
        assert type(gamma) is Plain


def test_a_second_return_is_an_error(pool: exia.Pool) -> None:
    pool.add("a", Plain, max=1)
    lease = pool.borrow("a")
    lease.close()
    for again in (lease.close, lease.discard, lease.__enter__):
        with pytest.raises(exia.InvalidError):
            again()
    other = pool.borrow("a")
    with pytest.raises(exia.InvalidError):
        lease.close()
    with pytest.raises(exia.TimeoutError):
        pool.borrow("a", timeout=0)
    other.close()
    assert lease.object is None


def test_a_closed_pool_lends_nothing(pool: exia.Pool) -> None:
    pool.add("a", Plain)
    pool.close()
    pool.close()
    for use in (lambda: pool.borrow("a"), lambda: pool.add("b", Plain), pool.show, pool.clear):
        with pytest.raises(exia.ClosedError, match="pool 'test' is closed"):
            use()


# ---- factories that fail ------------------------------------------------------------------------


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


# ---- loans --------------------------------------------------------------------------------------


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


# ---- hooks and the end --------------------------------------------------------------------------


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
    with pytest.raises(exia.TimeoutError, match=r"'?a'? taken at .*test_pool\.py"):
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


def test_show_is_a_table(pool: exia.Pool) -> None:
    pool.add("a", Plain, about="<the first>", max=2)
    pool.add("b", Plain, needs=("a",), about={"title": "second", "operations": ["fit"]})
    table = pool.show()
    assert table[0]["about"] == {"title": "<the first>"}
    assert table[1]["needs"] == ["a"]
    assert "&lt;the first&gt;" in pool._repr_html_()
    assert str(table).splitlines()[0].split()[:2] == ["name", "about"]
    assert len(pool.show("a")) == 1
