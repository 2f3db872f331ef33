"""Named components: built in the order of their needs, lent, taken back."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from exia._arguments import flag, path, seconds, text
from exia._factory import Shelf
from exia._handle import NULL, Closing, attempt, call, drain, leaving, own, settle
from exia._lease import Component
from exia._loans import Lender, on_wait
from exia._modules import COMPONENTS, find_kit, load_entry_point, read_again
from exia._named import Named
from exia._native import ffi, lib
from exia._recipe import Options, Recipe
from exia._rows import Rows, rows
from exia._show import ComponentRow, ComponentRows, add_values
from exia.dag import Dag
from exia.errors import CycleError, InvalidError, NotFoundError, TimeoutError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from exia._async import Borrowing

T = TypeVar("T")

SLICE = 0.1  # seconds: the longest single wait of close(), so that Ctrl-C is seen
EXIT = 1.0  # seconds that the end of a `with` block waits for loans

_log = logging.getLogger("exia")


def _free(pool: Any) -> None:
    """Let go of a pool; at the end of the interpreter it is too late to destroy its objects."""
    if not leaving():
        lib.exia_pool_free(pool)


class Pool(Lender, Closing):
    """Named components, each built when it is first borrowed, after what it needs.

    A component is one object that all borrowers share, or with `max` up to that many, each lent to
    one borrower at a time.  At the end everything is destroyed in reverse order of building.  The
    end of a `with` block waits a second for loans that are out, then raises TimeoutError as `close`
    does; where the block itself failed, a line in the log says it.

    Methods of the object serve as hooks where they take no arguments: `activate` before a loan,
    `passivate` after a return, `validate` before a loan (false, or an exception: it is destroyed
    and replaced), `close` when it is destroyed.  The first three are looked for in the class that
    is added, or named by "module:Class"; `close` in any object.

    Parameters
    ----------
    name
        For errors and the log.
    kit
        A function that is called with the pool and adds components to it; or "module:function", or
        the name of an entry point of `exia.kits`, see `kits()`.  If it fails there is no pool.
        None: the pool starts empty.

    Examples
    --------
    >>> with Pool("demo") as pool:
    ...     pool.add("words", list, arguments={})
    ...     pool.add("lengths", lambda words: [len(w) for w in words], needs=("words",), max=2)
    ...     with pool.borrow("lengths", timeout=1.0) as lengths:
    ...         print(lengths)
    []
    """

    __slots__ = ("__weakref__", "_named", "_pointer", "_recipes", "_shelf", "name")

    def __init__(self, name: str, *, kit: Callable[[Pool], object] | str | None = None) -> None:
        fill = None if kit is None else find_kit(kit)
        out = ffi.new("exia_pool **")
        call(lib.exia_pool_open, out, text(name, "name"))
        self._pointer = own(out[0], _free)
        call(lib.exia_pool_on_wait, out[0], ffi.cast("exia_wait_fn *", on_wait), NULL)
        self.name = name
        self._shelf = Shelf()
        self._found = {}
        self._named = Named()
        self._recipes: dict[str, Recipe] = {}
        if fill is not None:
            try:
                fill(self)
            except BaseException as error:
                if hasattr(error, "add_note"):
                    error.add_note(f"in kit {kit!r} of pool {name!r}")
                with suppress(TimeoutError):  # a loan that the kit took
                    self.close(0)
                raise

    # ---- components -----------------------------------------------------------------------------

    def add(
        self,
        name: str,
        what: Any,
        *,
        needs: Iterable[str] = (),
        max: int | None = None,
        min_idle: int = 0,
        idle: float | None = None,
        life: float | None = None,
        overdue: float | None = None,
        arguments: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | str | None = None,
    ) -> None:
        """Put a component into the pool; nothing is built yet.

        Parameters
        ----------
        name
            For `borrow` and `needs`: of A-Z, a-z, 0-9, _ and, not first, . and -.
        what
            A class or another callable, "module:Class" for one that is imported now, or, for a
            component in C, the address of an `exia_factory` as an int or a cffi pointer.
        needs
            Names of components, which may be added later.  Their objects are passed to `what` as
            positional arguments, in this order.  One that has `max` is out for as long as the
            object that needs it lives, also while that is idle.
        max
            How many objects there may be, each lent to one borrower.  None: one, shared by all.
        min_idle, idle, life, overdue
            Limits that `maintain` keeps, in seconds but for the first: so many objects are ready
            besides those lent; one that nobody borrowed for so long goes; one of this age goes
            when it is given back; a loan out for so long is told to the log (None: five minutes,
            if the object is not shared; `math.inf`: never).
        arguments
            Keyword arguments for `what`.  Those that its constructor does not take set the object's
            attributes, before `__init__` runs; they are checked now.  Where the class has no
            `__init__`, an attribute without a default must be among them.
        about
            A title, or a dict, for people; it goes before what the class tells of itself: the first
            line of its docstring, its attributes and what is marked with `operation`.

        Raises
        ------
        ExistsError
            There is a component of this name.
        CycleError
            The needs would close a cycle, which the text names and `.cycle` holds.
        InvalidError
            The name, a limit or an argument is not valid; the text says why.
        """
        given: Options = {
            "needs": needs, "max": max, "min_idle": min_idle, "idle": idle, "life": life,
            "overdue": overdue, "arguments": arguments, "about": about,
        }  # fmt: skip
        c_name = text(name, "name")
        recipe = Recipe(self._shelf, name, what, given)
        with recipe.handed_over():
            self._change(
                name, recipe, lib.exia_pool_add, NULL, self._c, c_name, recipe.factory,
                recipe.options,
            )  # fmt: skip
        self._find(name)
        self._know(name, recipe)

    def add_entry_point(
        self,
        entry_point: str,
        name: str | None = None,
        *,
        distribution: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Put a component into the pool that an installed distribution offers; see `components()`.

        Parameters
        ----------
        entry_point
            The name of an entry point of the group `exia.components`.
        name
            The component's name.  None: that of the entry point.
        distribution
            Which distribution's, where several offer one of this name.
        **options
            As for `add`.

        Raises
        ------
        NotFoundError
            No distribution offers it.
        ConflictError
            Several do; the text names them.
        InvalidError
            It cannot be imported; the text names the distribution.
        """
        found = load_entry_point(COMPONENTS, entry_point, distribution)
        self.add(entry_point if name is None else name, found, **options)

    def replace(
        self,
        name: str | Callable[..., Any],
        what: Any,
        *,
        rebuild: bool = False,
        **options: Unpack[Options],
    ) -> Rows:
        """Put something else behind a component while it is in use.

        The first new object is built at once; if that fails, all is as it was.  From then on every
        loan is of a new object.  Old ones that are idle are destroyed now; those that are lent go
        when they are given back.  The class or callable that was there before goes on to stand for
        the component in `borrow`, as the new one does.

        Parameters
        ----------
        name
            Of the component; or a class or callable, as for `borrow`.
        what
            As for `add`.  What Python makes is replaced by what Python makes, and C's by C's.
        rebuild
            Build anew what depends on it, too.  False: what was built with an old object keeps it.
        **options
            As for `add`; what is not said stays as it was.  Those that a `.so` gave all stay.

        Returns
        -------
        Rows
            Who still has an old object, as `loans` tells it.

        Raises
        ------
        NotFoundError
            There is no such component.
        CycleError
            The new needs would close a cycle.
        TimeoutError
            Something that it needs did not come within 30 s, or never can.
        Exception
            Whatever the new factory raised, the very exception.
        """
        component = self._component(name)
        self._put_behind(component, what, rebuild, options)
        settle()  # only now: C has taken the recipe over
        return Rows(row for row in self.loans(component.name) if row["old"])

    def _put_behind(self, component: Component, what: Any, rebuild: bool, options: Options) -> None:
        name = component.name
        was = self._recipes.get(name)
        kept: Options = {} if was is None else was.given
        recipe = Recipe(self._shelf, name, what, {**kept, **options})
        if (recipe.ours is None) != (was is None or was.ours is None):
            ours, theirs = ("C", "Python") if recipe.ours is None else ("Python", "C")
            raise InvalidError(
                f"component {name!r} is made by {theirs}: {ours} cannot replace it; add another one"
            )
        if was is None and options:
            raise InvalidError(f"component {name!r} came from C: its options stay as they are")
        with recipe.handed_over():
            self._change(
                name, recipe, lib.exia_component_replace, component.c, recipe.factory,
                NULL if was is None else recipe.options, flag(rebuild, "rebuild"),
            )  # fmt: skip
        if was is not None:
            self._know(name, recipe)

    def reload(self, name: str | Callable[..., Any]) -> Rows:
        """Read the module of a component's class or function again, and replace the component.

        Old and new code live side by side: old objects run on with the old module until they are
        given back.  If the new source cannot be imported, or its first object cannot be built, the
        old module and the old component stay.  Other modules, and other components of this one, go
        on with what they have.  In `borrow` the old class goes on to stand for the component.

        Parameters
        ----------
        name
            Of the component; or a class or callable, as for `borrow`.

        Returns
        -------
        Rows
            Who still has an old object, as `loans` tells it.

        Raises
        ------
        InvalidError
            Its code has no source file, such as a class written in a notebook: use `replace`.
        Exception
            Whatever the module, or the new factory, raised.
        """
        component = self._component(name)
        name = component.name
        recipe = self._recipes.get(name)
        if recipe is None or recipe.ours is None:
            raise InvalidError(f"component {name!r} is made by C: there is no module to read again")
        with read_again(recipe.ours.make, recipe.path, f"component {name!r}") as what:
            self._put_behind(component, what, False, {})
        self._recipes[name].path = recipe.path
        settle()  # only now: the new module stays
        return Rows(row for row in self.loans(name) if row["old"])

    @overload
    def borrow_async(self, what: str, timeout: float | None = None) -> Borrowing[Any]: ...
    @overload
    def borrow_async(
        self, what: Callable[..., T], timeout: float | None = None
    ) -> Borrowing[T]: ...
    def borrow_async(self, what: Any, timeout: float | None = None) -> Borrowing[Any]:
        """Borrow in an event loop: `async with pool.borrow_async(what) as obj`.

        The loop is never blocked: a factory, too, is called in a thread.  Coroutines and threads
        are served in one order, that of arrival; who is cancelled gives its place up.  Awaited, it
        gives a Lease.

        Parameters
        ----------
        what
            As for `borrow`.
        timeout
            Seconds to wait for a return.  None: as long as it takes.

        Raises
        ------
        NotFoundError
            There is no such component: at once.  All else is raised by `async with` or `await`, and
            is as in `borrow`.

        Examples
        --------
        >>> import asyncio
        >>> pool = Pool("demo")
        >>> pool.add("words", list, max=2)
        >>> async def work():
        ...     async with pool.borrow_async("words", timeout=1.0) as words:
        ...         return words
        >>> asyncio.run(work())
        []
        >>> pool.close()
        """
        from exia._async import Borrowing  # asyncio takes long to load

        return Borrowing(self._lease(what, sys._getframe(1)), timeout)

    def _know(self, name: str, recipe: Recipe) -> None:
        """Remember what a component is made from, and that this stands for it."""
        with self._named.lock:
            was, self._recipes[name] = self._recipes.get(name), recipe
            for made_by in (was, recipe):
                make = None if made_by is None or made_by.ours is None else made_by.ours.make
                names = () if make is None else self._named.add(make, name)
                if names:  # else it has no hash
                    self._found.pop(make, None)
                    if made_by is recipe and len(names) == 1:  # else `_find` answers
                        self._found[make] = self._found[name]

    def _component(self, name: str | Callable[..., Any]) -> Component:
        """Find a component by its name, or by what makes it."""
        if not callable(name):
            text(name, "name")
        known = self._found.get(name) if isinstance(name, str) else None
        return known or self._find(name)

    def _change(self, name: str, recipe: Recipe, *arguments: Any) -> None:
        """Call, for who will `settle`; a cycle found is put into its error."""
        try:
            attempt(*arguments)
        except CycleError as error:
            after = {row["name"]: row["needs"] for row in self.show()} | {name: recipe.needs}
            try:
                Dag(after).order()
            except CycleError as found:
                error.cycle = found.cycle
            raise

    def _find(self, what: Any) -> Component:
        """Resolve what is not in `_found`: a name from C, what was replaced; or it is not there."""
        if not isinstance(what, str):
            self._c  # noqa: B018 - closed, it has nothing at all
            names = self._named.of(what)
            if len(names) == 1:  # it was replaced: the quick way would keep it alive
                return self._component(names[0])
            said = f"stands for {', '.join(names)}: say which" if names else "was not added"
            raise NotFoundError(f"pool {self.name!r}: {what!r} {said}")
        c = lib.exia_pool_find(self._c, text(what, "what"))
        if c == NULL:
            there = ", ".join(row["name"] for row in self.show()) or "none yet"
            raise NotFoundError(f"pool {self.name!r} has no component {what!r}; it has: {there}")
        objects = self._shelf.objects if self._shelf.makers.get(what) else None
        component = Component(what, int(ffi.cast("intptr_t", c)), self._c, objects)
        self._found[what] = component
        return component

    def load(self, shared_object: str | os.PathLike[str]) -> None:
        """Add the components that a `.so` offers through `exia_plugin_entry`: all or none.

        Their objects are C's; a lease shows their address as an int.

        Parameters
        ----------
        shared_object
            A path; relative to the working directory.

        Raises
        ------
        ExiaError
            It cannot be loaded, or its entry failed; the text says why.
        """
        call(lib.exia_pool_load, self._c, os.path.abspath(path(shared_object, "shared_object")))

    def show(self, name: str | Callable[..., Any] | None = None) -> Rows:
        """List the components: rows {name, about, needs, max, shared, built, lent, ...}.

        `print` and Jupyter show a table with the attributes and operations of each, or one
        component in detail.  `about["attributes"]` tells the values that the objects built by now
        have; a `max` of 0 means one object, shared; the counts are those of `stats`.

        Parameters
        ----------
        name
            Of one component; or a class or callable, as for `borrow`.  None: all.

        Raises
        ------
        NotFoundError
            There is no such component.
        """
        one = None if name is None else self._component(name).name
        table = ComponentRows(rows(lib.exia_pool_list, self._c))
        if one is not None:
            table = ComponentRow(row for row in table if row["name"] == one)
        for row in table:
            add_values(row, self._shelf)
        return table

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()

    def stats(self) -> Rows:
        """Count objects and loans.

        Returns
        -------
        Rows
            name; built, idle, lent, waiting: objects now, loans out (also those to other
            components' objects), and who waits; hits, created, destroyed, failed: loans, objects
            and failures so far; expired: objects that `maintain` destroyed; last_hit, ticks: calls
            of `maintain` before the last loan (None: no loan yet), and by now.
        """
        said = ("about", "needs", "max", "shared")
        return Rows(
            {key: value for key, value in row.items() if key not in said}
            for row in rows(lib.exia_pool_list, self._c)
        )

    def loans(self, name: str | Callable[..., Any]) -> Rows:
        """Tell who has a component's objects.

        Parameters
        ----------
        name
            Of the component; or a class or callable, as for `borrow`.

        Returns
        -------
        Rows
            {where, by, ticks, old}: the line that borrowed it; the component that has it for life
            (None: a borrower); how many calls of `maintain` ago it was first seen; whether the
            object goes when it comes back, such as one that was replaced.
        """
        return rows(lib.exia_component_loans, self._component(name).c)

    def plan(self) -> Dag:
        """Answer with the needs as a graph; its order is the building order.

        `print(pool.plan().export("mermaid"))` shows it.
        """
        out = ffi.new("exia_dag **")
        call(lib.exia_pool_plan, out, self._c)
        return Dag._from_c(out[0])

    # ---- upkeep and the end ---------------------------------------------------------------------

    def maintain(self) -> None:
        """Keep the limits `min_idle`, `idle`, `life` and `overdue`: call it now and then.

        Each call is one tick.  It destroys what is idle or has lived for too long, builds what
        should be ready, and tells the log of loans that are overdue.  What fails goes to the log.
        """
        call(lib.exia_pool_maintain, self._c)

    def clear(self) -> None:
        """Destroy what is idle, dependents first; what is lent is not touched."""
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
        for kept in (self._found, self._named, self._recipes):
            kept.clear()  # nothing is found any more, and nothing kept
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

    @property
    def _called(self) -> str:
        return f"pool {self.name!r}"

    def __repr__(self) -> str:
        return f"<exia.Pool {self.name!r}{', closed' if self._pointer is None else ''}>"
