"""What _loans.c makes: the quick part of lending."""

from collections import deque
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Generic, NoReturn, TypeVar, final, overload

from exia._lease import Component, Site

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

@final
class Lease(Generic[T_co]):
    @property
    def object(self) -> T_co: ...
    def close(self) -> None: ...
    def discard(self) -> None: ...
    def __enter__(self) -> T_co: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def _address(self) -> int: ...
    @property
    def _component(self) -> Component: ...
    @property
    def _site(self) -> Site | None: ...
    def _borrow_by(self, place: int, try_: bool, /) -> tuple[int, int, str] | None: ...
    def _try_open(self) -> bool: ...
    def _try_close(self) -> bool: ...

class Lender:
    _found: dict[Any, Component]
    @overload
    def borrow(self, what: str, timeout: float | None = None) -> Lease[Any]: ...
    @overload
    def borrow(self, what: Callable[..., T], timeout: float | None = None) -> Lease[T]: ...
    def _lease(self, what: object, frame: FrameType, /) -> Lease[Any]: ...

def hand_over(
    site: Callable[[FrameType], Site],
    fail: Callable[[int, int, str], NoReturn],
    seconds: Callable[[object], float],
    drop: Callable[[Lease[Any], bool], None],
    noted: deque[Any],
    drain: Callable[[], None],
    ask: Callable[[], bool],
    back: Callable[[bool], None],
    park: Callable[[type[BaseException], BaseException, TracebackType | None], None],
    /,
) -> None: ...
def look_back() -> None: ...
def leave() -> None: ...

on_wait: int  # the address of a C function
