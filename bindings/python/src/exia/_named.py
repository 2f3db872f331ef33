"""Which components a class or another callable stands for."""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary


class Named:
    """Tells the names of the components that were ever made by a callable.

    What is replaced is not kept alive, unless it has an equality of its own, as a bound method has:
    then another object may ask by it when it is gone.
    """

    def __init__(self) -> None:
        self._weak: WeakKeyDictionary[Any, tuple[str, ...]] = WeakKeyDictionary()
        self._kept: dict[Any, tuple[str, ...]] = {}
        self.lock = threading.RLock()

    def add(self, make: Any, name: str) -> tuple[str, ...]:
        """Note one more component; answer with all.  (): it has no hash, nobody can ask by it."""
        names = self.of(make)
        if name not in names:
            names = (*names, name)
        try:
            self._where(make)[make] = names
        except Exception:  # its hash is its own code
            return ()
        return names

    def of(self, make: Any) -> tuple[str, ...]:
        """Answer with the names of the components."""
        try:
            return self._where(make).get(make, ())
        except Exception:
            return ()

    def clear(self) -> None:
        self._weak.clear()
        self._kept.clear()

    def _where(self, make: Any) -> MutableMapping[Any, tuple[str, ...]]:
        kind: Any = type(make)
        weak = kind.__eq__ is object.__eq__ and getattr(kind, "__weakrefoffset__", 0) != 0
        return self._weak if weak else self._kept
