"""Components that several tests use."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

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
