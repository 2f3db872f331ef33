"""What C calls to make, try and end the objects of components written in Python.

The objects sit in a Python list and C keeps their places in it, so that C never holds a reference
that Python's collector cannot see.  A place is taken when an object is created and free again when
it is destroyed.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from exia._handle import callback, describe
from exia._modules import lookup
from exia._native import ffi, lib
from exia.component import construct, sort_arguments
from exia.errors import InvalidError

HOOKS = ("activate", "passivate", "validate")

_log = logging.getLogger("exia")
alive: dict[Any, Factory] = {}  # what C holds a pointer to, until it lets go


class Shelf:
    """The objects of one pool; C knows a place in the list.  Place 0 would be NULL."""

    def __init__(self) -> None:
        self.objects: list[Any] = [None]
        self.free: list[int] = []
        self.makers: dict[str, list[Factory]] = {}  # of the components whose objects lie here

    def put(self, obj: Any) -> int:
        try:
            place = self.free.pop()
        except IndexError:
            place = len(self.objects)
            self.objects.append(obj)
        else:
            self.objects[place] = obj
        return place

    def take(self, place: int) -> Any:
        obj, self.objects[place] = self.objects[place], None
        self.free.append(place)
        return obj


class Factory:
    """What C calls to make a component's objects.  It must not hold the Pool, which holds it."""

    def __init__(
        self,
        name: str,
        make: Callable[..., Any],
        arguments: dict[str, Any],
        needs: tuple[str, ...],
        shelf: Shelf,
    ) -> None:
        self.name = name
        self.make = make
        self.own, self.rest = sort_arguments(make, arguments, f"component {name!r}")
        self.needs = needs
        self.shelf = shelf
        self.made: dict[int, Any] = {}  # by place

    def create(self, needs: Any) -> int:
        """Make one object out of what it needs; answer its place."""
        values = []
        for i, name in enumerate(self.needs):
            address = int(ffi.cast("intptr_t", needs[i]))
            ours = self.shelf.makers.get(name)
            values.append(self.shelf.objects[address] if ours else address)
        made = construct(self.make, values, self.own, self.rest)
        place = self.shelf.put(made)
        self.made[place] = made
        return place

    def take(self, place: int) -> Any:
        """Forget an object, and answer with it."""
        self.made.pop(place, None)
        return self.shelf.take(place)

    @contextmanager
    def handed_over(self, handle: Any) -> Generator[None]:
        """Let C have this factory, which on failure stays with the caller."""
        alive[handle] = self
        self.shelf.makers.setdefault(self.name, []).append(self)
        try:
            yield
        except BaseException:
            self.let_go(handle)
            raise

    def let_go(self, handle: Any) -> None:
        """C has no use for it any more."""
        alive.pop(handle, None)
        self.shelf.makers[self.name].remove(self)


def resolve(what: Any, name: str) -> Callable[..., Any]:
    """Turn what was added into a callable."""
    if isinstance(what, str):
        what = lookup(what, f"component {name!r}")
    if not callable(what):
        raise TypeError(
            f"component {name!r}: {what!r} cannot be called; to lend one object, add lambda: object"
        )
    made: Callable[..., Any] = what
    return made


def c_factory(make: Callable[..., Any], handle: Any) -> Any:
    """Describe a factory to C, with the hooks that its class has."""
    factory = ffi.new("exia_factory *")
    factory.struct_size = ffi.sizeof("exia_factory")
    factory.create = lib.on_create
    factory.destroy = lib.on_destroy
    factory.release = lib.on_release
    factory.payload = handle
    for hook in HOOKS:
        if isinstance(make, type) and _has_hook(make, hook):
            setattr(factory, hook, getattr(lib, f"on_{hook}"))
    return factory


def _has_hook(cls: type, name: str) -> bool:
    """Whether a class has a method of this name that takes no arguments."""
    bound = isinstance(inspect.getattr_static(cls, name, None), staticmethod | classmethod)
    try:
        inspect.signature(getattr(cls, name)).bind(*() if bound else (None,))
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def _object(place: Any, payload: Any) -> Any:
    factory: Factory = ffi.from_handle(payload)
    return factory.shelf.objects[int(ffi.cast("intptr_t", place))]


@contextmanager
def _noting(where: str) -> Generator[None]:
    """Let an exception say where it comes from, once; Python 3.10 cannot."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "add_note") and where not in getattr(error, "__notes__", ()):
            error.add_note(where)
        raise


@callback(lib.EXIA_EUSER)
def on_create(out: Any, needs: Any, payload: Any, err: Any) -> int:
    """Make an object."""
    factory: Factory = ffi.from_handle(payload)
    with _noting(f"in the factory of component {factory.name!r}"):
        out[0] = ffi.cast("void *", factory.create(needs))
    return 0


@callback(lib.EXIA_EUSER)
def on_activate(place: Any, payload: Any, err: Any) -> int:
    """Before a loan."""
    with _noting(f"in activate() of component {ffi.from_handle(payload).name!r}"):
        _object(place, payload).activate()
    return 0


@callback(lib.EXIA_EUSER)
def on_passivate(place: Any, payload: Any, err: Any) -> int:
    """After a return, which counts whatever happens here: C logs it, so nothing is parked."""
    try:
        _object(place, payload).passivate()
    except Exception as error:
        describe(error, err)
        return int(lib.EXIA_EUSER)
    return 0


@callback(lib.EXIA_EUSER)
def on_validate(place: Any, payload: Any, err: Any) -> int:
    """Before a loan: is it still fit?  A failure is an answer here, so nothing is parked."""
    obj = _object(place, payload)
    try:
        if obj.validate() is not False:
            return 0
        reason: Exception = InvalidError(f"{type(obj).__name__}.validate() answered False")
    except Exception as error:
        reason = error
    describe(reason, err)
    return int(lib.EXIA_EUSER)


@callback()
def on_destroy(place: Any, payload: Any) -> None:
    """Let go of an object; its `close`, where it has one, is called."""
    factory: Factory = ffi.from_handle(payload)
    obj = factory.take(int(ffi.cast("intptr_t", place)))
    close = getattr(obj, "close", None)
    try:
        if callable(close) and not isinstance(obj, type):
            close()
    except Exception:
        _log.exception("component %r: close() failed", factory.name)


@callback()
def on_release(payload: Any) -> None:
    """Let go of a factory, after its last object."""
    factory: Factory = ffi.from_handle(payload)
    factory.let_go(payload)
