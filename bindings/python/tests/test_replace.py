"""A component is replaced while the pool is used."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import exia


class Old:
    """Old."""


class New:
    """New."""


def test_a_replaced_component_drains_and_tells_who_has_the_old_object(pool: exia.Pool) -> None:
    pool.add("part", Old, max=2)
    first = pool.borrow("part")
    (loan,) = pool.replace("part", New)
    assert loan["where"].split("/")[-1].startswith("test_replace.py:")
    assert (loan["by"], loan["old"]) == (None, True)
    assert type(first.object) is Old
    with pool.borrow("part") as new:
        assert type(new) is New
        assert [row["old"] for row in pool.loans("part")] == [True, False]
    first.close()
    assert pool.loans("part") == []
    assert pool.show("part")[0]["about"] == {"title": "New."}
    with pool.borrow(New) as new:
        assert type(new) is New
    with pool.borrow(Old) as new:
        assert type(new) is New
    assert pool.show(Old)[0]["name"] == pool.show(New)[0]["name"] == "part"
    pool.replace(Old, Old)
    with pool.borrow(New) as old:
        assert type(old) is Old
        assert len(pool.loans(New)) == 1


def test_a_callable_that_names_two_components_is_refused_also_when_it_was_replaced(
    pool: exia.Pool,
) -> None:
    pool.add("one", Old)
    pool.replace("one", New)
    pool.add("two", Old)
    for ask in (pool.borrow, pool.show, pool.loans, pool.reload):
        with pytest.raises(exia.NotFoundError, match="stands for one, two: say which"):
            ask(Old)
    with pytest.raises(exia.NotFoundError, match="stands for one, two: say which"):
        pool.replace(Old, New)
    with pool.borrow(New) as new:
        assert type(new) is New
    pool.replace("two", New)
    with pytest.raises(exia.NotFoundError, match="stands for one, two: say which"):
        pool.borrow(New)


def test_a_method_of_an_object_names_its_component_after_it_was_replaced(pool: exia.Pool) -> None:
    class Maker:
        def make(self) -> str:
            return "made"

    maker = Maker()
    pool.add("part", maker.make)
    pool.replace("part", New)
    gc.collect()
    with pool.borrow(maker.make) as new:  # another object, which equals the first
        assert type(new) is New


def test_of_a_replaced_class_nothing_is_kept_and_a_class_may_come_back(pool: exia.Pool) -> None:
    def passing() -> type:
        class Passing:
            pass

        return Passing

    seen = []
    pool.add("part", Old)
    pool.add("twin", Old)
    for _ in range(3):
        cls = passing()
        seen.append(weakref.ref(cls))
        pool.replace("part", cls)
        pool.borrow(cls).close()
        del cls
    pool.replace("part", Old)
    with pytest.raises(exia.NotFoundError, match="part, twin: say which"):
        pool.borrow(Old)
    gc.collect()
    assert [ref() for ref in seen] == [None, None, None]


def test_what_is_not_said_stays_as_it_was(pool: exia.Pool) -> None:
    pool.add("need", lambda: "the need")
    pool.add("part", lambda need, a: (need, a), needs=["need"], max=3, arguments={"a": 1},
             about="mine", idle=5, min_idle=1)  # fmt: skip
    pool.replace("part", lambda need, a: [need, a])
    with pool.borrow("part") as part:
        assert part == ["the need", 1]
    (row,) = pool.show("part")
    assert (row["needs"], row["max"], row["about"]) == (["need"], 3, {"title": "mine"})
    pool.replace("part", lambda a: a, needs=(), arguments={"a": 2}, max=1)
    with pool.borrow("part") as part:
        assert part == 2
    (row,) = pool.show("part")
    assert (row["needs"], row["max"], row["about"]) == ([], 1, {"title": "mine"})


def test_what_was_given_once_or_has_changed_since_stays_as_it_was(pool: exia.Pool) -> None:
    arguments = {"a": 1}
    pool.add("need", lambda: "the need")
    pool.add("part", lambda need, a: (need, a), needs=(n for n in ["need"]), arguments=arguments)
    arguments["a"] = 2
    pool.replace("part", lambda need, a: [need, a])
    with pool.borrow("part") as part:
        assert part == ["the need", 1]


@pytest.mark.parametrize(
    "options", [{"needs": None}, {"needs": 0}, {"arguments": 0}, {"about": 0}, {"needs": "need"}]
)
def test_options_of_another_type_are_refused(pool: exia.Pool, options: Any) -> None:
    pool.add("part", Old)
    with pytest.raises(TypeError, match=next(iter(options))):
        pool.replace("part", New, **options)
    with pytest.raises(TypeError, match=next(iter(options))):
        pool.add("other", New, **options)


def test_dependents_are_rebuilt_when_asked(pool: exia.Pool) -> None:
    pool.add("part", Old)
    pool.add("user", lambda part: [part], needs=["part"])
    with pool.borrow("user") as user:
        assert type(user[0]) is Old
    (loan,) = pool.replace("part", New)
    assert loan["by"] == "user"
    with pool.borrow("user") as user:
        assert type(user[0]) is Old
    assert pool.replace("part", New, rebuild=True) == []
    with pool.borrow("user") as user:
        assert type(user[0]) is New


def test_a_replacement_that_fails_leaves_the_old_one(pool: exia.Pool) -> None:
    def fails() -> None:
        raise KeyError("no")

    pool.add("part", Old)
    pool.add("user", lambda part: part, needs=["part"])
    with pytest.raises(KeyError, match="no"):
        pool.replace("part", fails)
    with pytest.raises(exia.CycleError) as caught:
        pool.replace("part", New, needs=["user"])
    assert sorted(map(str, caught.value.cycle)) == ["part", "user"]
    with pytest.raises(exia.NotFoundError, match="nothing"):
        pool.replace("nothing", New)
    with pytest.raises(exia.InvalidError, match="min_idle"):
        pool.replace("part", New, min_idle=5)
    with pytest.raises(exia.InvalidError, match=r"made by Python: C cannot replace it"):
        pool.replace("part", 0x1000)
    with pytest.raises(TypeError, match="rebuild"):
        pool.replace("part", New, rebuild="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="colour"):
        pool.replace("part", New, colour=1)  # type: ignore[call-arg]
    assert len(pool._shelf.makers["part"]) == 1  # C has let go of all others
    with pool.borrow(Old) as part:
        assert type(part) is Old


def test_an_interrupt_while_the_old_object_is_closed_leaves_the_new_one_in_place(
    pool: exia.Pool,
) -> None:
    class Old:
        def close(self) -> None:
            raise KeyboardInterrupt

    class New:
        pass

    pool.add("a", Old)
    pool.borrow("a").close()
    with pytest.raises(KeyboardInterrupt):
        pool.replace("a", New)
    for what in ("a", New):
        with pool.borrow(what) as made:
            assert isinstance(made, New)
    pool.clear()
    with pool.borrow(New) as made:
        assert isinstance(made, New)
