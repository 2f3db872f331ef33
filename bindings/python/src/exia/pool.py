"""Named components: built in the order of their needs, lent, taken back.

The objects sit in a Python list and C keeps their places in it, so that C never holds a reference
that Python's collector cannot see.  A place is taken when an object is created and free again when
it is destroyed.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

from exia._arguments import (
    integer,
    iterable,
    mapping,
    path,
    plain,
    seconds,
    text,
    text_or_null,
)
from exia._handle import (
    NULL,
    Handle,
    call,
    callback,
    describe,
    drain,
    fail,
    not_copied,
    noted,
    owned,
    retire,
    thread,
)
from exia._native import ffi, lib
from exia._rows import Rows, rows
from exia.dag import Dag
from exia.errors import CycleError, InvalidError, NotFoundError, TimeoutError

SLICE = 0.1  # seconds: the longest single wait in C, so that Ctrl-C and dropped leases are seen
EXIT = 1.0  # seconds that the end of a `with` block waits for loans
HOOKS = ("activate", "passivate", "validate")

_log = logging.getLogger("exia")
_alive: dict[Any, _Factory] = {}  # what C holds a pointer to, until it lets go

# Looked up once: borrowing is the hot path.
_new, _lend, _return = ffi.new, lib.lend, lib.exia_lease_return
_LEASE = ffi.typeof("exia_lease *")
_frame = sys._getframe
_sites: dict[tuple[int, int], _Site] = {}


class _Site(NamedTuple):
    """A place where something is borrowed."""

    code: CodeType
    text: Any  # "file:line" as a C text that stays
    line: int
    module: str
    warned: dict[Any, Any]  # what `warnings` keeps for itself


def _site(frame: FrameType) -> _Site:
    """Name the place of a call, once a place."""
    code, line = frame.f_code, frame.f_lineno
    shown = ffi.new("char[]", f"{code.co_filename}:{line}".encode(errors="replace"))
    site = _Site(code, shown, line, str(frame.f_globals.get("__name__", "")), {})
    _sites[id(code), frame.f_lasti] = site
    return site


class Lease:
    """One loan: `.object`, until it is given back.

    As a context manager it gives the object, and takes it back at the end of the block.  The first
    return counts; a second one raises InvalidError.  A lease that is dropped is returned all the
    same, with a ResourceWarning at the line where it was taken, and a line in the log.

    Examples
    --------
    >>> pool = Pool("demo")
    >>> pool.add("words", list)
    >>> lease = pool.borrow("words")
    >>> lease.object.append("hello")
    >>> lease.close()
    >>> pool.close()
    """

    __slots__ = ("_c", "_component", "_open", "_site", "object")
    __reduce__ = not_copied

    def __init__(self, c: Any, component: _Component, site: _Site, obj: Any) -> None:
        self._c = c
        self._component = component  # which keeps the C pool
        self._site = site
        self.object = obj
        self._open = True

    def close(self) -> None:
        """Give the object back, from any thread."""
        self._open = False
        self.object = None
        call(_return, self._c)

    def discard(self) -> None:
        """Give back an object that is no longer fit: it is destroyed, and replaced when needed."""
        self._open = False
        self.object = None
        call(lib.exia_lease_discard, self._c)

    def __enter__(self) -> Any:
        return self.object

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._open:  # not given back or discarded in the block
            self._open = False
            self.object = None
            status = _return(self._c, thread.err)
            if status < 0:
                fail(status)

    def __del__(self) -> None:
        if self._open:
            self._open = False
            retire(_return_dropped, self._c, self._component, self._site)

    def __repr__(self) -> str:
        state = "" if self._open else ", given back"
        return f"<exia.Lease of {self._component.name!r}{state}>"


def _return_dropped(c: Any, component: _Component, site: _Site) -> None:
    """Return what nobody holds any more, and say so, as if at the line that borrowed it."""
    file, line = site.code.co_filename, site.line
    said = f"a lease of {component.name!r} was dropped: borrow in a with block"
    lib.exia_lease_return(c, NULL)
    _log.warning("%s:%d: %s", file, line, said)
    warnings.warn_explicit(said, ResourceWarning, file, line, site.module, site.warned)


class _Shelf:
    """The objects of one pool; C knows a place in the list.  Place 0 would be NULL."""

    def __init__(self) -> None:
        self.objects: list[Any] = [None]
        self.free: list[int] = []
        self.names: set[str] = set()  # of the components whose objects lie here

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


class _Component:
    """A name resolved once.  It keeps the C pool, so that a loan may outlive the Pool."""

    __slots__ = ("c", "name", "objects", "pool")

    def __init__(self, name: str, c: Any, pool: Any, objects: list[Any] | None) -> None:
        self.name = name
        self.c = c
        self.pool = pool
        self.objects = objects  # None: its objects are C's, and shown as addresses


class _Factory:
    """What C calls to make a component's objects.  It must not hold the Pool, which holds it."""

    def __init__(
        self,
        name: str,
        make: Callable[..., Any],
        arguments: dict[str, Any],
        needs: tuple[str, ...],
        shelf: _Shelf,
    ) -> None:
        self.name = name
        self.make = make
        self.arguments = arguments
        self.needs = needs
        self.shelf = shelf

    def create(self, needs: Any) -> int:
        """Make one object out of what it needs; answer its place."""
        values = []
        for i, name in enumerate(self.needs):
            address = int(ffi.cast("intptr_t", needs[i]))
            ours = name in self.shelf.names
            values.append(self.shelf.objects[address] if ours else address)
        return self.shelf.put(self.make(*values, **self.arguments))


class Pool(Handle):
    """Named components, each built when it is first borrowed, after what it needs.

    A component is one object that all borrowers share, or with `max` up to that many, each lent to
    one borrower at a time.  At the end everything is destroyed in reverse order of building.

    Methods of the object serve as hooks where they take no arguments: `activate` before a loan,
    `passivate` after a return, `validate` before a loan (false, or an exception: it is destroyed
    and replaced), `close` when it is destroyed.  The first three are looked for in the class that
    is added, or named by "module:Class"; `close` in any object.

    Parameters
    ----------
    name
        For errors and the log.

    Examples
    --------
    >>> with Pool("demo") as pool:
    ...     pool.add("words", list, arguments={})
    ...     pool.add("lengths", lambda words: [len(w) for w in words], needs=("words",), max=2)
    ...     with pool.borrow("lengths", timeout=1.0) as lengths:
    ...         print(lengths)
    []
    """

    __slots__ = ("_classes", "_found", "_shelf", "name")

    def __init__(self, name: str) -> None:
        out = ffi.new("exia_pool **")
        call(lib.exia_pool_open, out, text(name, "name"))
        super().__init__(out[0], lib.exia_pool_free)
        self.name = name
        self._shelf = _Shelf()
        self._found: dict[Any, _Component] = {}
        self._classes: dict[Any, list[str]] = {}

    def add(
        self,
        name: str,
        what: Any,
        *,
        needs: Iterable[str] = (),
        max: int | None = None,
        arguments: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | str | None = None,
    ) -> None:
        """Put a component into the pool; nothing is built yet.

        Parameters
        ----------
        what
            A class or another callable, "module:Class" for one that is imported now, or, for a
            component in C, the address of an `exia_factory` as an int or a cffi pointer.
        needs
            Names of components, which may be added later.  Their objects are passed to `what` as
            positional arguments, in this order.
        max
            How many objects there may be, each lent to one borrower.  None: one, shared by all.
        arguments
            Keyword arguments for `what`.
        about
            A title, or a dict (title, operations ...), for people.

        Raises
        ------
        ExistsError
            There is a component of this name.
        CycleError
            The needs would close a cycle, which the text names and `.cycle` holds.
        """
        c_name = text(name, "name")
        needs = tuple(iterable(needs, "needs"))
        names = [owned(text(need, "a need")) for need in needs]
        keywords = {} if arguments is None else mapping(arguments, "arguments")
        if isinstance(about, str):
            about = {"title": about}
        if about is not None:
            about = plain(mapping(about, "about"), "about")
        c_needs = ffi.new("const char *[]", names)
        c_about = owned(NULL if about is None else json.dumps(about).encode())
        options = ffi.new("exia_component_options *")
        options.struct_size = ffi.sizeof("exia_component_options")
        options.needs = c_needs
        options.need_count = len(needs)
        options.about = c_about
        options.max = 0 if max is None else integer(max, "max", 1, 2**32 - 1)
        out = ffi.new("exia_component **")
        if isinstance(what, ffi.CData) or (isinstance(what, int) and not isinstance(what, bool)):
            if keywords:
                raise InvalidError(f"component {name!r} is made by C, which takes no arguments")
            factory = ffi.cast("exia_factory *", what)
            self._call_add(name, needs, out, self._c, c_name, factory, options)
            self._found[name] = _Component(name, out[0], self._c, None)
            return
        make = _resolve(what, name)
        ours = _Factory(name, make, keywords, needs, self._shelf)
        handle = ffi.new_handle(ours)
        factory = _c_factory(make, handle)
        _alive[handle] = ours
        try:
            self._call_add(name, needs, out, self._c, c_name, factory, options)
        except BaseException:
            del _alive[handle]  # on failure the factory stays with the caller
            raise
        self._shelf.names.add(name)
        self._found[name] = _Component(name, out[0], self._c, self._shelf.objects)
        self._classes.setdefault(make, []).append(name)

    def _call_add(self, name: str, needs: tuple[str, ...], *arguments: Any) -> None:
        """Call; a cycle found is put into its error."""
        try:
            call(lib.exia_pool_add, *arguments)
        except CycleError as error:
            after = {row["name"]: row["needs"] for row in self.show()} | {name: needs}
            try:
                Dag(after).order()
            except CycleError as found:
                error.cycle = found.cycle
            raise

    def borrow(self, what: Any, timeout: float | None = None) -> Lease:
        """Borrow an object, building it and what it needs if there is room.

        Parameters
        ----------
        what
            A name; or the class or callable that was added.
        timeout
            Seconds to wait for a return.  None: as long as it takes; Ctrl-C ends the wait.

        Raises
        ------
        TimeoutError
            All objects are lent.
        NotFoundError
            There is no such component, or no such need.
        Exception
            Whatever the factory raised, the very exception.
        """
        try:
            component = self._found[what]
        except (KeyError, TypeError):
            component = self._find(what)
        if timeout is not None:
            timeout = seconds(timeout, "timeout")
        if noted:
            drain()
        frame = _frame(1)
        site = _sites.get((id(frame.f_code), frame.f_lasti)) or _site(frame)
        c = _new(_LEASE)
        wait = 100 if timeout is None or timeout >= SLICE else int(timeout * 1000)
        found = _lend(c, component.c, wait, site.text, thread.err)
        if found < 0:
            found = self._wait(found, c, component, timeout, site.text)
        objects = component.objects
        return Lease(c, component, site, found if objects is None else objects[found])

    def _wait(
        self, status: int, c: Any, component: _Component, timeout: float | None, site: Any
    ) -> int:
        """Go on waiting, in slices: between two of them signals and dropped leases are seen."""
        end = None if timeout is None else time.monotonic() + timeout - SLICE
        while status == lib.EXIA_ETIMEOUT:
            drain()
            left = SLICE if end is None else end - time.monotonic()
            if left <= 0:
                break
            thread.parked = None
            wait = int(min(left, SLICE) * 1000) + 1
            status = _lend(c, component.c, wait, site, thread.err)
        if status < 0:
            fail(status)
        return status

    def _find(self, what: Any) -> _Component:
        """Resolve what was not borrowed yet: a class, or a name that came from C."""
        pool = self._c
        if isinstance(what, str):
            c = lib.exia_pool_find(pool, text(what, "what"))
            if c == NULL:
                there = ", ".join(row["name"] for row in self.show()) or "none yet"
                raise NotFoundError(
                    f"pool {self.name!r} has no component {what!r}; it has: {there}"
                )
            component = _Component(what, c, pool, None)
        else:
            try:
                names = self._classes.get(what, [])
            except TypeError:  # not hashable
                names = []
            if len(names) != 1:
                said = f"as {', '.join(names)}: say which" if names else "was not added"
                raise NotFoundError(f"pool {self.name!r}: {what!r} {said}")
            return self._found[names[0]]
        self._found[what] = component
        return component

    def load(self, shared_object: str | os.PathLike[str]) -> None:
        """Add the components that a `.so` offers through `exia_plugin_entry`: all or none.

        Their objects are C's; a lease shows their address as an int.
        """
        call(lib.exia_pool_load, self._c, os.path.abspath(path(shared_object, "shared_object")))

    def show(self, name: str | None = None) -> Rows:
        """List the components, or one: rows {name, about, needs, max, shared, built, lent, ...}."""
        text_or_null(name, "name")
        table = rows(lib.exia_pool_list, self._c)
        if name is None:
            return table
        chosen = Rows(row for row in table if row["name"] == name)
        if not chosen:
            raise NotFoundError(f"pool {self.name!r} has no component {name!r}")
        return chosen

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()

    def plan(self) -> Dag:
        """Show the needs as a graph; its order is the building order."""
        out = ffi.new("exia_dag **")
        call(lib.exia_pool_plan, out, self._c)
        return Dag._from_c(out[0])

    def clear(self) -> None:
        """Destroy what is idle, dependents first."""
        call(lib.exia_pool_clear, self._c)

    def close(self, timeout: float | None = None) -> None:
        """Stop lending, wait for the loans, destroy everything in reverse order of building.

        Parameters
        ----------
        timeout
            Seconds to wait for loans; None: as long as it takes.

        Raises
        ------
        TimeoutError
            Loans are out, and the text says which.  They are destroyed when they come back.
        """
        pool = self._pointer
        if pool is None:
            return
        end = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        while True:
            drain()
            left = SLICE if end is None else max(0.0, end - time.monotonic())
            try:
                call(lib.exia_pool_close, pool, int(min(left, SLICE) * 1000))
                break
            except TimeoutError:
                if left <= 0:
                    raise
        self._found.clear()  # nothing is found any more, and nothing kept
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close(EXIT)
        except TimeoutError as late:
            if error is None:
                raise
            _log.warning("%s", late)  # the block's own exception matters more

    def __repr__(self) -> str:
        return f"<exia.Pool {self.name!r}{', closed' if self._pointer is None else ''}>"


# ---- factories ----------------------------------------------------------------------------------


def _resolve(what: Any, name: str) -> Callable[..., Any]:
    """Turn what was added into a callable."""
    if isinstance(what, str):
        module, _, path = what.partition(":")
        if not re.fullmatch(r"[\w.]+", module) or not re.fullmatch(r"[\w.]+", path):
            raise InvalidError(f'component {name!r}: {what!r} is not of the form "module:Class"')
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        what = found
    if not callable(what):
        raise TypeError(
            f"component {name!r}: {what!r} cannot be called; to lend one object, add lambda: object"
        )
    made: Callable[..., Any] = what
    return made


def _c_factory(make: Callable[..., Any], handle: Any) -> Any:
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
    factory: _Factory = ffi.from_handle(payload)
    return factory.shelf.objects[int(ffi.cast("intptr_t", place))]


@callback(lib.EXIA_EUSER)
def on_create(out: Any, needs: Any, payload: Any, err: Any) -> int:
    """Make an object."""
    factory: _Factory = ffi.from_handle(payload)
    try:
        out[0] = ffi.cast("void *", factory.create(needs))
    except Exception as error:
        if hasattr(error, "add_note"):
            error.add_note(f"in the factory of component {factory.name!r}")
        raise
    return 0


@callback(lib.EXIA_EUSER)
def on_activate(place: Any, payload: Any, err: Any) -> int:
    """Before a loan."""
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
    factory: _Factory = ffi.from_handle(payload)
    obj = factory.shelf.take(int(ffi.cast("intptr_t", place)))
    close = getattr(obj, "close", None)
    try:
        if callable(close) and not isinstance(obj, type):
            close()
    except Exception:
        _log.exception("component %r: close() failed", factory.name)


@callback()
def on_release(payload: Any) -> None:
    """Let go of a factory, after its last object."""
    _alive.pop(payload, None)
