"""Named components: built in the order of their needs, lent, taken back."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from exia._arguments import (
    path,
    seconds,
    text,
    text_or_null,
)
from exia._factory import Shelf
from exia._handle import NULL, Closing, call, drain, leaving, own
from exia._lease import Component
from exia._loans import Lender
from exia._native import ffi, lib
from exia._recipe import Options, Recipe
from exia._rows import Rows, rows
from exia._show import ComponentRow, ComponentRows, add_values
from exia._waiting import SLICE
from exia.dag import Dag
from exia.errors import CycleError, NotFoundError, TimeoutError

EXIT = 1.0  # seconds that the end of a `with` block waits for loans

_log = logging.getLogger("exia")


def _free(pool: Any) -> None:
    """Let go of a pool; at the end of the interpreter it is too late to destroy its objects."""
    if not leaving():
        lib.exia_pool_free(pool)


class Pool(Lender, Closing):
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

    __slots__ = ("__weakref__", "_classes", "_pointer", "_shelf", "name")

    def __init__(self, name: str) -> None:
        out = ffi.new("exia_pool **")
        call(lib.exia_pool_open, out, text(name, "name"))
        self._pointer = own(out[0], _free)
        self.name = name
        self._shelf = Shelf()
        self._found = {}
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
            Keyword arguments for `what`.  Those that its constructor does not take set the object's
            attributes, before `__init__` runs; they are checked now.
        about
            A title, or a dict, for people; it goes before what the class tells of itself: the first
            line of its docstring, its attributes and what is marked with `operation`.

        Raises
        ------
        ExistsError
            There is a component of this name.
        CycleError
            The needs would close a cycle, which the text names and `.cycle` holds.
        """
        given: Options = {"needs": needs, "max": max, "arguments": arguments, "about": about}
        c_name = text(name, "name")
        recipe = Recipe(self._shelf, name, what, given)
        out = ffi.new("exia_component **")
        with recipe.handed_over():
            self._call_add(name, recipe.needs, out, self._c, c_name, recipe.factory, recipe.options)
        if recipe.ours is None:
            self._found[name] = self._component(name, out[0], None)
            return
        make = recipe.ours.make
        component = self._component(name, out[0], self._shelf.objects)
        self._found[name] = self._found[make] = component
        names = self._classes.setdefault(make, [])
        names.append(name)
        if len(names) > 1:  # then the callable alone does not say which
            self._found.pop(make, None)

    def _component(self, name: str, c: Any, objects: list[Any] | None) -> Component:
        return Component(name, int(ffi.cast("intptr_t", c)), self._c, objects)

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

    def _find(self, what: Any) -> Component:
        """Resolve what was not borrowed yet: a name that came from C, or what is not there."""
        if not isinstance(what, str):
            try:
                names = self._classes.get(what, [])
            except TypeError:  # not hashable
                names = []
            self._c  # noqa: B018 - closed, it has nothing at all
            said = f"as {', '.join(names)}: say which" if names else "was not added"
            raise NotFoundError(f"pool {self.name!r}: {what!r} {said}")
        c = lib.exia_pool_find(self._c, text(what, "what"))
        if c == NULL:
            there = ", ".join(row["name"] for row in self.show()) or "none yet"
            raise NotFoundError(f"pool {self.name!r} has no component {what!r}; it has: {there}")
        component = self._component(what, c, None)
        self._found[what] = component
        return component

    def load(self, shared_object: str | os.PathLike[str]) -> None:
        """Add the components that a `.so` offers through `exia_plugin_entry`: all or none.

        Their objects are C's; a lease shows their address as an int.
        """
        call(lib.exia_pool_load, self._c, os.path.abspath(path(shared_object, "shared_object")))

    def show(self, name: str | None = None) -> Rows:
        """List the components: rows {name, about, needs, max, shared, built, lent, ...}.

        `print` and Jupyter show a table with the attributes and operations of each, or one
        component in detail.  `about["attributes"]` tells the values that the objects built by now
        have.

        Parameters
        ----------
        name
            One component.
        """
        text_or_null(name, "name")
        table = ComponentRows(rows(lib.exia_pool_list, self._c))
        if name is not None:
            table = ComponentRow(row for row in table if row["name"] == name)
            if not table:
                raise NotFoundError(f"pool {self.name!r} has no component {name!r}")
        for row in table:
            add_values(row, self._shelf)
        return table

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
