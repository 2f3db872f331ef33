"""Attributes and operations: values that are refused, defaults, inheritance, what a pool shows."""

from __future__ import annotations

import abc
import copy
import enum
import functools
import pickle
import subprocess
import sys
import threading
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, TypeVar

import cloudpickle
import numpy as np
import pytest

import exia


def positive(value: float) -> bool:
    return value > 0


class Scaler:
    """Scale to zero mean and unit variance.

    More words.
    """

    copy = exia.Attribute(bool, default=True, doc="work on a copy")
    alpha = exia.Attribute(float, default=1.0, check=positive, doc="factor, above 0")
    norm: exia.Attribute[Literal["l1", "l2"] | None] = exia.Attribute(
        Literal["l1", "l2"] | None, default=None
    )
    steps = exia.Attribute(list[str], default_factory=list)
    size = exia.Attribute(int)

    @exia.operation
    def transform(self, x: np.ndarray, *, axis: int = 0) -> np.ndarray:
        """Scale x.

        Along one axis.
        """
        return x * self.alpha

    def helper(self) -> None:
        """Not an operation."""


@pytest.fixture
def pool() -> Any:
    with exia.Pool("test") as opened:
        yield opened


# ---- values that are refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "kind", "words"),
    [
        ("copy", 1, TypeError, r"^Scaler\.copy must be bool, not 1 \(int\)$"),
        ("copy", "yes", TypeError, "'yes'"),
        ("alpha", "x", TypeError, r"^Scaler\.alpha must be float, not 'x' \(str\)$"),
        ("alpha", True, TypeError, r"not True \(bool\)"),
        ("alpha", None, TypeError, r"not None \(NoneType\)"),
        ("alpha", 10**400, TypeError, "must be float"),
        ("alpha", np.array([1.0, 2.0]), TypeError, "must be float"),
        ("alpha", -1, ValueError, r"^Scaler\.alpha: -1\.0 is refused by its check \(factor, above"),
        ("alpha", float("nan"), ValueError, "nan is refused"),
        ("norm", "l3", ValueError, r"^Scaler\.norm must be 'l1' \| 'l2' \| None, not 'l3'$"),
        ("norm", 3, TypeError, r"not 3 \(int\)"),
        ("steps", ("a",), TypeError, r"must be list\[str\]"),
        ("steps", ["a", 1], TypeError, r"must be list\[str\], not \['a', 1\]"),
        ("size", 1.0, TypeError, "must be int"),
        ("size", False, TypeError, "must be int"),
        ("size", "x" * 10_000, TypeError, "must be int"),
    ],
)
def test_a_value_is_refused_with_its_name_and_what_is_allowed(
    name: str, value: Any, kind: type[Exception], words: str
) -> None:
    scaler = Scaler()
    before = vars(scaler).copy()
    with pytest.raises(kind, match=words) as caught:
        setattr(scaler, name, value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    assert vars(scaler) == before
    if kind is ValueError:
        assert isinstance(caught.value, exia.InvalidError)


def test_a_check_that_raises_refuses_with_its_reason() -> None:
    def even(value: int) -> bool:
        if value % 2:
            raise ArithmeticError("odd")
        return True

    class Part:
        n = exia.Attribute(int, default=0, check=even)

    with pytest.raises(
        exia.InvalidError, match=r"Part\.n: 3 is refused by its check: odd"
    ) as caught:
        Part().n = 3
    assert isinstance(caught.value.__cause__, ArithmeticError)


@pytest.mark.parametrize("kind", ["int", TypeVar("T"), 7, list["int"], int | TypeVar("T")])
def test_what_is_no_type_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="type of an Attribute"):
        exia.Attribute(kind)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"default": "x"}, TypeError, "the default must be int, not 'x'"),
        ({"default": None}, TypeError, "the default must be int, not None"),
        ({"default": -1, "check": positive}, ValueError, "the default: -1 is refused"),
        ({"default": 1, "default_factory": int}, ValueError, "not both"),
        ({"default_factory": 1}, TypeError, "default_factory must be callable"),
        ({"check": 1}, TypeError, "check must be callable"),
        ({"doc": 1}, TypeError, "doc must be a str"),
    ],
)
def test_a_bad_definition_is_refused(
    arguments: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        exia.Attribute(int, **arguments)


def test_a_default_that_can_be_changed_is_refused() -> None:
    for bad in ([], {}, set(), np.zeros(2)):
        with pytest.raises(exia.InvalidError, match=rf"default_factory={type(bad).__name__}"):
            exia.Attribute(type(bad), default=bad)


def test_one_attribute_has_one_name() -> None:
    with pytest.raises((TypeError, RuntimeError)) as caught:

        class Part:
            a = b = exia.Attribute(int, default=1)

    assert "'a' and 'b'" in str(caught.value.__cause__ or caught.value)


def test_an_attribute_put_into_a_class_later_is_refused_when_it_is_set() -> None:
    class Part:
        pass

    Part.late = exia.Attribute(int)  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="body of a class"):
        Part().late = 1  # type: ignore[attr-defined]


def test_slots_without_a_dict_are_an_error_that_says_what_to_do() -> None:
    class Slotted:
        __slots__ = ()
        n = exia.Attribute(int, default=7)

    class Fit:
        __slots__ = ("__dict__",)
        n = exia.Attribute(int, default=7)

    assert Slotted().n == 7
    with pytest.raises(TypeError, match=r"Slotted\.n has no place: add '__dict__'"):
        Slotted().n = 1
    fit = Fit()
    fit.n = 1
    assert fit.n == 1


@pytest.mark.parametrize("thing", [7, property(), functools.partial(int).func, None])
def test_what_is_no_method_is_not_marked(thing: Any) -> None:
    with pytest.raises(TypeError, match="operation"):
        exia.operation(thing)


# ---- values -------------------------------------------------------------------------------------


def test_each_object_has_its_own_values() -> None:
    a, b = Scaler(), Scaler()
    a.alpha, a.size = 2, 3
    assert (a.alpha, type(a.alpha), a.size) == (2.0, float, 3)
    assert b.alpha == 1.0
    with pytest.raises(AttributeError, match=r"Scaler\.size was not set, and has no default"):
        _ = b.size
    assert not hasattr(b, "size")
    a.steps.append("x")
    assert (a.steps, b.steps) == (["x"], [])


def test_an_object_is_copied_and_pickled_with_its_values() -> None:
    scaler = Scaler()
    scaler.alpha = 3
    for twin in (copy.copy(scaler), copy.deepcopy(scaler), pickle.loads(pickle.dumps(scaler))):
        assert twin.alpha == 3.0
        twin.alpha = 4
    assert scaler.alpha == 3.0


def test_a_class_that_is_pickled_by_value_keeps_its_attributes() -> None:
    class Part:
        """A part."""

        alpha = exia.Attribute(float, default=1.0, check=lambda v: v > 0)
        size = exia.Attribute(int)

        @exia.operation
        def run(self) -> None: ...

    part = Part()
    part.alpha = 3
    code = (
        "import exia, pickle, sys\n"
        "twin = pickle.load(sys.stdin.buffer)\n"
        "print(twin.alpha, type(twin)().alpha, hasattr(twin, 'size'))\n"
        "pool = exia.Pool('p')\n"
        "pool.add('a', type(twin), arguments={'size': 1})\n"
        "print(pool.show('a')[0]['about'])\n"
        "try: twin.alpha = -1\n"
        "except exia.InvalidError as error: print(error)\n"
        "try: pool.add('b', type(twin))\n"
        "except exia.InvalidError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=cloudpickle.dumps(part), capture_output=True, check=True
    )
    values, about, refused, missing = done.stdout.decode().splitlines()
    assert values == "3.0 1.0 False"
    with exia.Pool("p") as pool:
        pool.add("a", Part, arguments={"size": 1})
        assert about == str(pool.show("a")[0]["about"])
    assert refused == "Part.alpha: -1.0 is refused by its check"
    assert "Part.size has no default" in missing


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        (float, 2, 2.0),
        (float, np.float32(0.5), 0.5),
        (int, np.int64(7), 7),
        (bool, np.bool_(True), True),
        (int | float, 2, 2),
        (float | int, 2, 2),
        (float | None, 2, 2.0),
        (Optional[int], None, None),  # noqa: UP045
        (bool | int, True, True),
        (int | str, "x", "x"),
        (Any, None, None),
        (None, None, None),
        (Literal[1, "a"], 1, 1),
        (Colour, Colour.RED, Colour.RED),
        (tuple[int, ...], (1, 2), (1, 2)),
        (tuple[int, str], (1, "a"), (1, "a")),
        (dict[str, float], {"a": 1}, {"a": 1}),
        (set[int], {1}, {1}),
        (typing.List, [1, "a"], [1, "a"]),  # noqa: UP006
        (typing.List, (), None),  # noqa: UP006
        (Callable[[int], int], len, len),
        (type[Exception], ValueError, ValueError),
        (np.ndarray, np.ndarray, None),
        (tuple[int, str], (1,), None),
        (dict[str, float], {1: 1.0}, None),
        (Literal[1], True, None),
        (Callable[[int], int], 1, None),
    ],
)
def test_a_value_fits_or_not(kind: Any, value: Any, kept: Any) -> None:
    class Part:
        x: Any = exia.Attribute(kind)

    part = Part()
    if kept is None and value is not None:
        with pytest.raises((TypeError, ValueError)):
            part.x = value
    else:
        part.x = value
        assert part.x == kept
        assert type(part.x) is type(kept)


def test_subclasses_inherit_and_replace() -> None:
    class Base:
        a = exia.Attribute(int, default=1)
        b = exia.Attribute(int, default=2)

    class Derived(Base):
        a = exia.Attribute(int, default=10)  # type: ignore[assignment]
        b = 20  # type: ignore[assignment]
        c = exia.Attribute(int, default=30)

    derived = Derived()
    assert (derived.a, derived.b, derived.c) == (10, 20, 30)
    with pytest.raises(TypeError, match=r"Derived\.a"):
        derived.a = "x"
    with exia.Pool("p") as pool:
        pool.add("d", Derived)
        assert [a["name"] for a in pool.show("d")[0]["about"]["attributes"]] == ["a", "c"]
    assert Base().a == 1


def test_the_class_shows_the_attribute_itself() -> None:
    assert isinstance(Scaler.alpha, exia.Attribute)
    assert repr(Scaler.alpha) == "Attribute(float, default=1.0)"
    assert Scaler.alpha.__doc__ == "factor, above 0"


def test_many_threads_get_one_default() -> None:
    barrier = threading.Barrier(8)

    class Part:
        items = exia.Attribute(list, default_factory=list)

    part, seen = Part(), []

    def work() -> None:
        barrier.wait()
        seen.append(part.items)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(items is part.items for items in seen)


def test_a_default_factory_that_makes_another_type_is_named() -> None:
    class Part:
        items = exia.Attribute(list, default_factory=dict)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match=r"Part\.items, from its default_factory, must be list"):
        _ = Part().items


# ---- in a pool ----------------------------------------------------------------------------------


def test_arguments_set_the_attributes_of_a_class_without_init(pool: exia.Pool) -> None:
    pool.add("scaler", Scaler, arguments={"alpha": 5, "size": 2})
    with pool.borrow("scaler") as scaler:
        assert (scaler.alpha, scaler.size, scaler.copy) == (5.0, 2, True)


def test_arguments_that_do_not_fit_are_refused_at_once(pool: exia.Pool) -> None:
    for arguments, kind, words in (
        ({"size": 1, "alpha": "x"}, TypeError, r"Scaler\.alpha must be float"),
        ({"size": 1, "alpha": -1}, exia.InvalidError, r"Scaler\.alpha: -1"),
        ({"size": 1, "colour": 1}, TypeError, "'scaler'.*no attribute 'colour'; it has: copy, al"),
        ({}, exia.InvalidError, r"Scaler\.size has no default: say arguments={'size'"),
    ):
        with pytest.raises(kind, match=words):
            pool.add("scaler", Scaler, arguments=arguments)
    assert pool.show() == []


def test_init_finds_the_attributes_set_and_gets_what_it_takes(pool: exia.Pool) -> None:
    class Part:
        alpha = exia.Attribute(float, default=1.0)
        beta = exia.Attribute(float, default=1.0)

        def __init__(self, need: Any, beta: float, gamma: int = 0) -> None:
            self.need, self.beta, self.gamma = need, beta * 2, gamma
            self.seen = self.alpha

    pool.add("need", lambda: "the need")
    pool.add("part", Part, needs=["need"], arguments={"alpha": 3, "beta": 4, "gamma": 5})
    with pool.borrow("part") as part:
        assert (part.need, part.seen, part.beta, part.gamma) == ("the need", 3.0, 8.0, 5)
    with pytest.raises(TypeError, match="'colour'; it has: need, beta, gamma, alpha"):
        pool.add("other", Part, needs=["need"], arguments={"colour": 1})


def test_a_metaclass_that_makes_objects_its_own_way_is_asked(pool: exia.Pool) -> None:
    class Meta(type):
        def __call__(cls) -> Any:
            made = super().__call__()
            made.by_meta = True
            return made

    class Part(metaclass=Meta):
        alpha = exia.Attribute(float, default=1.0)

    pool.add("part", Part, arguments={"alpha": 2})
    with pool.borrow("part") as part:
        assert (part.alpha, part.by_meta) == (2.0, True)


def test_an_abstract_class_is_refused_by_python_itself(pool: exia.Pool) -> None:
    class Part(abc.ABC):
        alpha = exia.Attribute(float, default=1.0)

        @abc.abstractmethod
        def work(self) -> None: ...

    pool.add("part", Part, arguments={"alpha": 2})
    with pytest.raises(TypeError, match="abstract"):
        pool.borrow("part")


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


# ---- types --------------------------------------------------------------------------------------


def test_a_type_checker_knows_the_type_of_an_attribute(mypy: Any) -> None:
    revealed, errors = mypy(
        "import exia\n"
        "class Scaler:\n"
        "    alpha = exia.Attribute(float, default=1.0, check=lambda v: v > 0, doc='d')\n"
        "    copy = exia.Attribute(bool, default=True)\n"
        "    names = exia.Attribute(list[str], default_factory=list)\n"
        "    limit: exia.Attribute[int | None] = exia.Attribute(int | None, default=None)\n"
        "    @exia.operation\n"
        "    def transform(self, x: float) -> float:\n"
        "        return x * self.alpha\n"
        "reveal_type(Scaler().alpha)\n"
        "reveal_type(Scaler.alpha)\n"
        "reveal_type(Scaler().copy)\n"
        "reveal_type(Scaler().names)\n"
        "reveal_type(Scaler().limit)\n"
        "reveal_type(Scaler().transform(1))\n"
        "Scaler().alpha = 'x'\n"
    )
    assert revealed == [
        "builtins.float",
        "exia.component.Attribute[builtins.float]",
        "builtins.bool",
        "builtins.list[builtins.str]",
        "builtins.int | None",
        "builtins.float",
    ]
    assert errors == [
        'Incompatible types in assignment (expression has type "str", variable has type '
        '"float")  [assignment]'
    ]


# ---- dataclasses --------------------------------------------------------------------------------


def test_an_attribute_may_be_a_field_of_a_dataclass(pool: exia.Pool) -> None:
    @dataclass
    class Scaler:
        name: str
        factor: Any = exia.Attribute(float, default=2.0, check=lambda v: v > 0)  # noqa: RUF009
        steps: Any = exia.Attribute(list, default_factory=list)  # noqa: RUF009
        kind: Any = field(default=exia.Attribute(Any, default="plain"))

    one, two = Scaler("one"), Scaler("two", 3, ["a"], "other")
    assert (one.factor, one.steps, one.kind) == (2.0, [], "plain")
    assert (two.factor, two.steps, two.kind) == (3.0, ["a"], "other")
    assert one == Scaler("one", 2.0)
    assert one.steps is not Scaler("one").steps
    two.__init__("again")  # type: ignore[misc]
    assert (two.factor, two.steps) == (2.0, [])
    with pytest.raises(exia.InvalidError, match="factor"):
        Scaler("bad", -1)
    with pytest.raises(TypeError, match="factor"):
        Scaler("bad", "1")
    pool.add("scaler", Scaler, arguments={"name": "mine", "factor": 4})
    with pool.borrow(Scaler) as scaler:
        assert scaler == Scaler("mine", 4.0)
    assert pool.show(Scaler)[0]["about"]["attributes"][0]["value"] == 4.0


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


def test_a_field_without_a_default_must_be_given() -> None:
    @dataclass
    class Scaler:
        factor: Any = exia.Attribute(float)  # noqa: RUF009

    with pytest.raises(TypeError, match=r"Scaler\.factor must be given: it has no default"):
        Scaler()
    assert Scaler(1).factor == 1.0
