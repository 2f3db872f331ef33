"""What a pool shows of its components: as rows, as text and as HTML."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from parts import Plain, Scaler

import exia


@pytest.mark.parametrize("thing", [7, property(), functools.partial(int).func, None])
def test_what_is_no_method_is_not_marked(thing: Any) -> None:
    with pytest.raises(TypeError, match="operation"):
        exia.operation(thing)


def test_a_component_tells_of_itself(pool: exia.Pool) -> None:
    pool.add("scaler", Scaler, arguments={"size": 2})
    (row,) = pool.show("scaler")
    assert row["about"] == {
        "title": "Scale to zero mean and unit variance.",
        "attributes": [
            {"name": "copy", "type": "bool", "default": True, "doc": "work on a copy"},
            {"name": "alpha", "type": "float", "default": 1.0, "doc": "factor, above 0"},
            {"name": "norm", "type": "'l1' | 'l2' | None", "default": None, "doc": ""},
            {"name": "steps", "type": "list[str]", "default": "list()", "doc": ""},
            {"name": "size", "type": "int", "doc": ""},
        ],
        "operations": [
            {
                "name": "transform",
                "signature": "(x: np.ndarray, *, axis: int = 0) -> np.ndarray",
                "doc": "Scale x.\n\nAlong one axis.",
            }
        ],
    }


def test_the_values_of_built_objects_are_shown(pool: exia.Pool) -> None:
    pool.add("one", Scaler, arguments={"size": 2})
    pool.add("two", Scaler, arguments={"size": 2}, max=2)

    def values(name: str) -> dict[str, Any]:
        rows = pool.show(name)[0]["about"]["attributes"]
        return {row["name"]: row["value"] for row in rows if "value" in row}

    assert values("one") == {}
    with pool.borrow("one") as scaler:
        scaler.alpha = 7
        assert values("one") == {"copy": True, "alpha": 7.0, "norm": None, "size": 2}
    with pool.borrow("two") as first, pool.borrow("two") as second:
        first.alpha, second.size = 8, 3
        assert values("two")["alpha"] == [8.0, 1.0]
        assert values("two")["size"] == [2, 3]
        assert values("two")["copy"] is True
    pool.clear()
    assert values("one") == values("two") == {}


def test_what_is_said_goes_before_what_the_class_tells(pool: exia.Pool) -> None:
    pool.add("a", Scaler, arguments={"size": 1}, about="mine")
    pool.add("b", Scaler, arguments={"size": 1}, about={"unit": "mm", "operations": []})
    a, b = pool.show()
    assert a["about"]["title"] == "mine"
    assert len(a["about"]["operations"]) == 1
    assert b["about"]["title"].startswith("Scale")
    assert (b["about"]["unit"], b["about"]["operations"]) == ("mm", [])


def test_without_descriptors_the_docstring_gives_the_title(pool: exia.Pool) -> None:
    class Silent:
        def work(self) -> None:
            """Not shown."""

    def documented() -> int:
        """Make a number."""
        return 1

    pool.add("silent", Silent)
    pool.add("function", documented)
    pool.add("lambda", lambda: 1)
    pool.add("partial", functools.partial(int, "7"))
    pool.add("list", list)
    abouts = {row["name"]: row["about"] for row in pool.show()}
    assert abouts["function"] == {"title": "Make a number."}
    assert abouts["list"] == {"title": "Built-in mutable sequence."}
    assert not abouts["silent"]
    assert not abouts["lambda"]
    assert not abouts["partial"]


def test_every_way_to_write_an_operation_is_shown(pool: exia.Pool) -> None:
    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return inner

    class Base:
        @exia.operation
        def plain(self, x: int) -> int:
            """From the base."""
            return x

        @exia.operation
        def gone(self) -> None: ...

        @exia.operation
        @staticmethod
        def static(x: int) -> None: ...

        @classmethod
        @exia.operation
        def made(cls, *x: int) -> None: ...

        @logged
        @exia.operation
        def wrapped(self, x: int = 1) -> None: ...

        @exia.operation
        def starred(*args: int) -> None: ...

        @exia.operation
        async def later(self, x: Any = None, /) -> None: ...

    class Derived(Base):
        gone = None  # type: ignore[assignment]

        def plain(self, x: int, y: int = 2) -> int:
            return x

    pool.add("derived", Derived)
    shown = {row["name"]: row for row in pool.show("derived")[0]["about"]["operations"]}
    assert {name: row["signature"] for name, row in shown.items()} == {
        "plain": "(x: int, y: int = 2) -> int",
        "static": "(x: int) -> None",
        "made": "(*x: int) -> None",
        "wrapped": "(x: int = 1) -> None",
        "starred": "(*args: int) -> None",
        "later": "(x: Any = None, /) -> None",
    }
    assert shown["plain"]["doc"] == "From the base."


def test_texts_that_no_json_can_hold_are_shown_all_the_same(pool: exia.Pool) -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    class Odd:
        odd: Any = exia.Attribute(Any, default="\0\ud800", doc="a\0b\ud800")
        nan = exia.Attribute(float, default=float("nan"))
        huge = exia.Attribute(int, default=10**400)
        bad = exia.Attribute(Bad, default=Bad())

        @exia.operation
        def work(self, x: Any = Bad()) -> None:  # noqa: B008
            """Do\0it."""

    Odd.__doc__ = "\ud800\0 <b>odd</b>\nsecond"
    pool.add("odd", Odd)
    with pool.borrow("odd"):
        about = pool.show("odd")[0]["about"]
        assert about["title"] == "?? <b>odd</b>"
        assert about["operations"] == [{"name": "work", "signature": "(...)", "doc": "Do?it."}]
        assert [row["default"] for row in about["attributes"][:2]] == ["??", "nan"]
        print(pool.show("odd"), pool.show(), pool._repr_html_())


def test_large_values_are_shown_short_and_are_not_taken_apart(pool: exia.Pool) -> None:
    class Large:
        array = exia.Attribute(np.ndarray, default_factory=lambda: np.zeros(10**8, np.uint8))
        words = exia.Attribute(str, default="x" * 10_000)
        items = exia.Attribute(list, default_factory=lambda: list(range(10_000)))

    pool.add("large", Large)
    with pool.borrow("large") as large:
        assert len(large.array) + len(large.items) == 10**8 + 10_000
        shown = pool.show("large")
    assert all(len(row["value"]) <= 120 for row in shown[0]["about"]["attributes"])
    assert len(str(shown)) < 2000


def test_the_pool_is_shown_as_a_table_with_attributes_and_operations(pool: exia.Pool) -> None:
    pool.add("scaler", Scaler, arguments={"size": 2})
    pool.add("plain", lambda: 1)
    text = str(pool.show())
    head = text.splitlines()[0].split()
    assert head[:5] == ["name", "about", "attributes", "operations", "needs"]
    assert "Scale to zero mean" in text
    assert "copy=True, alpha=1.0" in text
    assert "transform(x: np.ndarray, *, axis: int = 0) -> np.ndarray" in text
    assert "Along one axis" not in text
    page = pool._repr_html_()
    assert "<summary>scaler</summary>" in page
    assert "Along one axis." in page
    assert "factor, above 0" in page


def test_one_component_is_shown_in_detail(pool: exia.Pool) -> None:
    pool.add("scaler", Scaler, arguments={"size": 2})
    with pool.borrow("scaler"):
        shown = pool.show("scaler")
    lines = str(shown).splitlines()
    assert lines[0] == "scaler: Scale to zero mean and unit variance."
    (alpha,) = [line for line in lines if line.startswith("alpha")]
    assert alpha.split(maxsplit=4) == ["alpha", "float", "1.0", "1.0", "factor, above 0"]
    at = lines.index("transform(x: np.ndarray, *, axis: int = 0) -> np.ndarray")
    assert lines[at + 1 :] == ["    Scale x.", "", "    Along one axis."]
    assert "<code>transform(x: np.ndarray" in shown._repr_html_()


def test_all_that_is_shown_in_html_is_escaped(pool: exia.Pool) -> None:
    evil = "<script>alert(1)</script>"
    rows = [{"name": evil, "signature": evil, "doc": evil, "type": evil, evil: evil}, evil, 7]
    pool.add("a", lambda: 1, about={"title": evil, evil: evil, "attributes": rows,
                                    "operations": rows})  # fmt: skip

    class Evil:
        x = exia.Attribute(str, default=evil, doc=evil)

        @exia.operation
        def run(self, x: str = evil) -> None: ...

    Evil.__doc__ = Evil.run.__doc__ = evil
    pool.add("b", Evil)
    with pool.borrow("b"):
        for page in (
            pool._repr_html_(),
            pool.show("a")._repr_html_(),
            pool.show("b")._repr_html_(),
        ):
            assert "<script" not in page
            assert "&lt;script&gt;" in page


@pytest.mark.parametrize("value", [7, "x", None, {}, [None, [1], "x"], {"name": {"a": [1]}}])
def test_any_about_is_shown(pool: exia.Pool, value: Any) -> None:
    pool.add("a", lambda: 1, about={"title": value, "attributes": value, "operations": value})
    with pool.borrow("a"):
        for shown in (pool.show(), pool.show("a")):
            assert "a" in str(shown)
            assert "a" in shown._repr_html_()


def test_a_detail_shows_floats_as_the_table_does_and_nothing_empty(pool: exia.Pool) -> None:
    class Part:
        factor = exia.Attribute(float, default=2.0)

        @exia.operation
        def run(self) -> None: ...

    pool.add("part", Part)
    assert "factor=2.0" in str(pool.show())
    assert "2.0" in str(pool.show("part"))
    page = pool.show("part")._repr_html_()
    assert "<td>2.0</td>" in page
    assert "<code>run" in page
    assert "<pre>" not in page


def test_show_is_a_table(pool: exia.Pool) -> None:
    pool.add("a", Plain, about="<the first>", max=2)
    pool.add("b", Plain, needs=("a",), about={"title": "second", "operations": ["fit"]})
    table = pool.show()
    assert table[0]["about"] == {"title": "<the first>"}
    assert table[1]["needs"] == ["a"]
    assert "&lt;the first&gt;" in pool._repr_html_()
    assert str(table).splitlines()[0].split()[:2] == ["name", "about"]
    assert len(pool.show("a")) == 1
