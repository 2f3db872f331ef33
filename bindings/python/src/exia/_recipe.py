"""What a component is made from, as Python gives it and as C takes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypedDict

from exia._arguments import integer, iterable, mapping, plain, seconds, text
from exia._factory import Factory, Shelf, c_factory, resolve
from exia._handle import NULL, owned
from exia._native import ffi
from exia.component import describe
from exia.errors import InvalidError


class Options(TypedDict, total=False):
    """What may be said of a component besides its name and what makes it: see `Pool.add`."""

    needs: Iterable[str]
    max: int | None
    min_idle: int
    idle: float | None
    life: float | None
    overdue: float | None
    arguments: Mapping[str, Any] | None
    about: Mapping[str, Any] | str | None


class Recipe:
    """One component: what makes it, and its options; it owns what their C structs point to."""

    def __init__(self, shelf: Shelf, name: str, what: Any, given: Options) -> None:
        for key in given.keys() - Options.__annotations__.keys():
            raise TypeError(f"component {name!r}: there is no option {key!r}")
        self.path = what if isinstance(what, str) else None
        self.needs = tuple(iterable(given.get("needs", ()), "needs"))
        arguments, about = given.get("arguments"), given.get("about")
        keywords = {} if arguments is None else mapping(arguments, "arguments")
        if isinstance(about, str):
            about = {"title": about}
        about = {} if about is None else plain(mapping(about, "about"), "about")
        self.given = given | Options(needs=self.needs, arguments=keywords, about=about)
        most = given.get("max")
        self.options = ffi.new("exia_component_options *")
        self.options.struct_size = ffi.sizeof("exia_component_options")
        self._names = [owned(text(need, "a need")) for need in self.needs]
        self._needs = ffi.new("const char *[]", self._names)
        self.options.needs = self._needs
        self.options.need_count = len(self.needs)
        self.options.max = 0 if most is None else integer(most, "max", 1, 2**32 - 1)
        self.options.min_idle = integer(given.get("min_idle", 0), "min_idle", 0, 2**32 - 1)
        self.options.idle_ms = _milliseconds(given.get("idle"), "idle")
        self.options.life_ms = _milliseconds(given.get("life"), "life")
        self.options.overdue_ms = _milliseconds(given.get("overdue"), "overdue")
        self.ours: Factory | None = None  # None: its objects are C's
        if isinstance(what, ffi.CData) or _is_address(what):
            if keywords:
                raise InvalidError(f"component {name!r} is made by C, which takes no arguments")
            self.factory = ffi.cast("exia_factory *", what)
        else:
            make = resolve(what, name)
            about = describe(make) | about
            self.ours = Factory(name, make, keywords, self.needs, shelf)
            self._handle = ffi.new_handle(self.ours)
            self.factory = c_factory(make, self._handle)
        self._about = owned(json.dumps(about).encode() if about else NULL)
        self.options.about = self._about

    def handed_over(self) -> AbstractContextManager[None]:
        """Let C have the factory, which on failure stays with the caller."""
        return nullcontext() if self.ours is None else self.ours.handed_over(self._handle)


def _milliseconds(value: float | None, what: str) -> int:
    """Check a limit; None: there is none."""
    if value is None:
        return 0
    limit = seconds(value, what)
    if value < 0:
        raise InvalidError(f"{what} must be 0 or more seconds, not {value}")
    return max(1, int(limit * 1000))


def _is_address(what: Any) -> bool:
    """Whether it may be where an `exia_factory` lies; a small number is something to lend."""
    return isinstance(what, int) and what >= 4096 and what % ffi.alignof("exia_factory") == 0
