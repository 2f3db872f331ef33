"""A class in a pool: its attributes are set by arguments, before it is made."""

from __future__ import annotations

import abc
from typing import Any

import pytest
from parts import Scaler

import exia


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
