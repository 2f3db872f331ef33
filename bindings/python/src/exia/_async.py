"""Borrowing in an event loop, which is never blocked.

What cannot be had at once is waited for in the pool's own queue, by a place that the loop watches.
Where a factory must be asked, a thread does that, made for this one call: those of the loop's
executor may all be busy, perhaps with waiting behind this very place.
"""

from __future__ import annotations

import asyncio
import contextvars
import warnings
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, TypeVar

from exia._arguments import seconds
from exia._handle import call, meaning, own
from exia._loans import Lease
from exia._native import ffi, lib
from exia._waiting import stopping
from exia.errors import CancelledError, NoSpaceError, TimeoutError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Borrowing(Coroutine[Any, Any, Lease[T_co]], Generic[T_co]):
    """What `Pool.borrow_async` answers with, for one loan.

    `async with` gives the object and takes it back; `await` gives a Lease.  As with a coroutine,
    there is a RuntimeWarning when neither is done; and it is one, so that it may be a task.
    """

    __slots__ = ("_lease", "_lent", "_steps", "_timeout")

    def __init__(self, lease: Lease[T_co], timeout: float | None) -> None:
        self._lease: Lease[T_co] | None = None  # not awaited yet
        self._lent: Lease[T_co] | None = None  # to the block
        self._steps: Coroutine[Any, Any, Lease[T_co]] | None = None  # of a task
        self._timeout = None if timeout is None else seconds(timeout, "timeout")
        self._lease = lease

    def __del__(self) -> None:
        lease, self._lease = self._lease, None
        site = None if lease is None else lease._site
        if lease is not None and site is not None:
            said = f"borrow_async of {lease._component.name!r} was never awaited"
            file = site.code.co_filename
            warnings.warn_explicit(said, RuntimeWarning, file, site.line, site.module, site.warned)

    def __repr__(self) -> str:
        lease = self._lease or self._lent
        return f"<exia borrow_async{f' of {lease._component.name!r}' if lease else ', over'}>"

    async def _borrow(self) -> Lease[T_co]:
        lease, self._lease = self._lease, None
        if lease is None:
            raise RuntimeError("borrow_async() is for one loan: call it again for another")
        if not lease._try_open():
            await _Queued(lease, self._timeout).borrow()
        return lease

    def __await__(self) -> Generator[Any, None, Lease[T_co]]:
        return self._borrow().__await__()

    def send(self, value: Any) -> Any:
        """Go on, as a task does."""
        if self._steps is None:
            self._steps = self._borrow()
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an exception; before the first step it was given up, and takes nothing."""
        if self._steps is None:
            self.close()
            self._steps = self._borrow()
        return self._steps.throw(*error)

    def close(self) -> None:
        """Give it up."""
        self._lease = None
        if self._steps is not None:
            self._steps.close()

    async def __aenter__(self) -> T_co:
        self._lent = await self._borrow()
        return self._lent.object

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lease, self._lent = self._lent, None
        if lease is not None and not lease._try_close():
            await asyncio.shield(_in_thread(lease.close))


class _Queued:
    """A lease that waits for its loan."""

    def __init__(self, lease: Lease[Any], timeout: float | None) -> None:
        self.lease = lease
        self.loop = asyncio.get_running_loop()
        self.end = None if timeout is None else self.loop.time() + timeout
        self.given_up = False
        self.late = f"component {lease._component.name!r}: it was not ready in the time allowed"
        out = ffi.new("exia_place **")
        try:
            call(lib.exia_place_open, out, lease._component.c)
        except NoSpaceError as never:  # all are kept for life
            raise TimeoutError(str(never)) from None
        self.place = own(out[0], lib.exia_place_free)
        self.address = int(ffi.cast("intptr_t", self.place))

    async def borrow(self) -> None:
        """Stand in the queue until there is a loan.  Whoever is cancelled keeps nothing."""
        job: asyncio.Future[int] | None = None
        try:
            while (status := self.ask(True)) != lib.EXIA_OK:
                if status == lib.EXIA_DONE:  # it is its turn, and the factory is to be asked
                    job = _in_thread(self.build)
                    status = await asyncio.shield(job)
                    job = None
                if status == lib.EXIA_OK:
                    break
                if self.is_late():
                    raise TimeoutError(self.late)
                await self.turn()
            self.lease._try_open()
        finally:
            self.given_up = True
            if job is None:
                ffi.release(self.place)
            else:
                job.add_done_callback(self.abandon)

    def ask(self, at_once: bool) -> int:
        """Borrow if it is its turn; answer with OK, DONE or ETIMEOUT, which is: not yet."""
        failed = self.lease._borrow_by(self.address, at_once)
        if failed is None:
            return int(lib.EXIA_OK)
        if failed[0] not in (lib.EXIA_DONE, lib.EXIA_ETIMEOUT):
            raise meaning(*failed)
        self.late = failed[2] or self.late
        return failed[0]

    def build(self) -> int:
        """Borrow in a thread, which may take its time, but does not wait longer than we do."""
        with stopping(lambda: self.given_up or self.is_late()):
            try:
                return self.ask(False)
            except CancelledError:
                if self.is_late():
                    return int(lib.EXIA_ETIMEOUT)
                raise

    def is_late(self) -> bool:
        return self.end is not None and self.loop.time() >= self.end

    async def turn(self) -> None:
        """Sleep until it may be its turn, or the time is over."""
        news = self.loop.create_future()

        def tell() -> None:
            if not news.done():
                news.set_result(None)

        timer = None if self.end is None else self.loop.call_at(self.end, tell)
        file = lib.exia_place_fd(self.place)
        self.loop.add_reader(file, tell)
        try:
            await news
        finally:
            self.loop.remove_reader(file)
            if timer is not None:
                timer.cancel()

    def abandon(self, job: asyncio.Future[int]) -> None:
        """Give back what the thread brought when nobody wanted it any more."""
        ffi.release(self.place)
        if job.exception() is None and job.result() == lib.EXIA_OK:
            self.lease._try_open()
            if not self.lease._try_close():
                _in_thread(self.lease.close)


def _in_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Call in a thread that ends with it."""

    def run() -> T:
        try:
            return function()
        except StopIteration as error:  # a future that got it would never be done
            raise RuntimeError("a factory raised StopIteration") from error

    executor = ThreadPoolExecutor(1, "exia")
    context = contextvars.copy_context()
    job = asyncio.get_running_loop().run_in_executor(executor, context.run, run)
    executor.shutdown(wait=False)
    return job
