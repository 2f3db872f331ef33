"""What a pool refuses, by name, and without a trace."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from parts import Plain

import exia


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
