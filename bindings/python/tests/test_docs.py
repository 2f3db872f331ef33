"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import exia

MODULES = [m.name for m in pkgutil.iter_modules(exia.__path__) if m.name != "_tool"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    module = importlib.import_module(f"exia.{name}")
    result = doctest.testmod(module)
    assert result.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(f"exia.{name}") for name in MODULES]
    examples = sum(len(test.examples) for m in modules for test in finder.find(m))
    assert examples > 30
