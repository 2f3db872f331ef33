"""Attributes by themselves: what they refuse, what they keep, what a subclass inherits."""

from __future__ import annotations

import copy
import enum
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
from parts import Scaler, positive

import exia

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


def test_a_field_without_a_default_must_be_given() -> None:
    @dataclass
    class Scaler:
        factor: Any = exia.Attribute(float)  # noqa: RUF009

    with pytest.raises(TypeError, match=r"Scaler\.factor must be given: it has no default"):
        Scaler()
    assert Scaler(1).factor == 1.0
