"""Components that say what can be set and done: `Attribute` and `operation`.

Both only describe.  A class that uses them needs no base class and works without a pool; a pool
reads the description, sets the attributes, and shows both.
"""

from __future__ import annotations

import inspect
import reprlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar, overload

from exia._arguments import plain, refuse
from exia._kinds import Misfit, check_kind, choices, fit, kind_name
from exia.errors import InvalidError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

SHOWN = 80  # characters of a value in an error or a table
_UNSET: Any = inspect.Parameter.empty  # a class is the same one after a pickle, too
_MARK = "__exia_operation__"
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = SHOWN


class Attribute(Generic[T]):
    """A property of a component's objects: typed, checked when it is set, with a default and a doc.

    The value lies in the object's `__dict__` under the attribute's own name, so objects are copied
    and pickled as others are; where a class has `__slots__`, one of them is `__dict__`.  Subclasses
    inherit attributes and may replace them.  A field of a dataclass may be one, too.

    Parameters
    ----------
    kind
        A class, a union, `Optional`, `Literal`, or `Any`.  An int is taken for a float and becomes
        one, a bool is never taken for a number, and numpy's numbers become Python's own.  What is
        inside a list, set, frozenset, tuple or dict is checked as well; of other generic types only
        the class.
    default
        What an object has until it is set.  Without one, reading before setting is an
        AttributeError, and a pool asks for it where no `__init__` can set it.
    default_factory
        Makes each object's own default, when it is first read: for what can be changed in place.
    check
        Called with a value of the right type; false, or an exception: the value is refused.
    doc
        What it is, and which values are allowed: part of the error when `check` refuses one.

    Raises
    ------
    TypeError
        On setting: the value is of another type.
    InvalidError
        On setting: it is none of the choices, or `check` refuses it.

    Examples
    --------
    >>> class Scaler:
    ...     alpha = Attribute(float, default=1.0, check=lambda v: v > 0, doc="factor, above 0")
    >>> scaler = Scaler()
    >>> scaler.alpha = 2
    >>> scaler.alpha
    2.0
    >>> scaler.alpha = -1
    Traceback (most recent call last):
        ...
    exia.errors.InvalidError: Scaler.alpha: -1.0 is refused by its check (factor, above 0)
    """

    @overload
    def __init__(
        self,
        kind: type[T],
        default: T = ...,
        *,
        default_factory: Callable[[], T] | None = None,
        check: Callable[[T], object] | None = None,
        doc: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self: Attribute[Any],
        kind: types.UnionType | typing._SpecialForm | None,
        default: object = ...,
        *,
        default_factory: Callable[[], object] | None = None,
        check: Callable[[Any], object] | None = None,
        doc: str = "",
    ) -> None: ...

    def __init__(
        self,
        kind: Any,
        default: Any = _UNSET,
        *,
        default_factory: Callable[[], Any] | None = None,
        check: Callable[[Any], object] | None = None,
        doc: str = "",
    ) -> None:
        check_kind(kind)
        for name, function in (("default_factory", default_factory), ("check", check)):
            if function is not None and not callable(function):
                refuse(function, name, "callable")
        if not isinstance(doc, str):
            refuse(doc, "doc", "a str")
        if default is not _UNSET and default_factory is not None:
            raise InvalidError("an Attribute has a default or a default_factory, not both")
        if default is not _UNSET and type(default).__hash__ is None:
            raise InvalidError(
                f"all objects would share the default {_repr.repr(default)}: say "
                f"default_factory={type(default).__name__}, or another function that makes one"
            )
        self.name = ""
        self.kind = kind
        self.default_factory = default_factory
        self.check = check
        self.__doc__ = doc
        self.default = default if default is _UNSET else self.fit(default, "the default")

    def __set_name__(self, owner: type, name: str) -> None:
        if self.name and self.name != name:
            raise TypeError(f"one Attribute cannot be both {self.name!r} and {name!r}")
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Attribute[T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        try:
            return instance.__dict__[self.name]
        except (AttributeError, KeyError):
            if self.default is not _UNSET:
                return self.default
        where = _where(instance, self.name)
        if self.default_factory is None:
            raise AttributeError(f"{where} was not set, and has no default")
        made = self.fit(self.default_factory(), f"{where}, from its default_factory,")
        return self._values(instance).setdefault(self.name, made)  # the first thread's counts

    def __set__(self, instance: object, value: T) -> None:
        if type(value) is not self.kind or self.check is not None:
            if value is self:  # the default of a dataclass's field: it was not given
                return self._unset(instance)
            value = self.fit(value, _where(instance, self.name))
        self._values(instance)[self.name] = value

    def _unset(self, instance: object) -> None:
        """Let an object have the default again."""
        if self.default is _UNSET and self.default_factory is None:
            raise TypeError(f"{_where(instance, self.name)} must be given: it has no default")
        self._values(instance).pop(self.name, None)

    def _values(self, instance: object) -> dict[str, Any]:
        """Where the values of an object lie."""
        try:
            values: dict[str, Any] = instance.__dict__
        except AttributeError:
            raise TypeError(
                f"{_where(instance, self.name)} has no place: "
                f"add '__dict__' to the __slots__ of {type(instance).__name__}"
            ) from None
        if not self.name:
            raise TypeError("an Attribute is made in the body of a class, where it gets its name")
        return values

    def fit(self, value: Any, where: str) -> Any:
        """Answer with a value as it is kept, or refuse it; `where` is named."""
        try:
            value = fit(self.kind, value)
        except Misfit:
            shown = f"{where} must be {kind_name(self.kind)}, not {_repr.repr(value)}"
            if any(type(value) is type(choice) for choice in choices(self.kind)):
                raise InvalidError(shown) from None
            raise TypeError(f"{shown} ({type(value).__name__})") from None
        if self.check is None:
            return value
        reason: Exception | None = None
        try:
            if self.check(value):
                return value
        except Exception as error:
            reason = error
        said = f": {reason}" if reason else ""
        doc = f" ({self.__doc__})" if self.__doc__ else ""
        raise InvalidError(
            f"{where}: {_repr.repr(value)} is refused by its check{said}{doc}"
        ) from reason

    def describe(self) -> dict[str, Any]:
        """Answer with what a pool shows: {name, type, default, doc}."""
        row: dict[str, Any] = {"name": self.name, "type": kind_name(self.kind)}
        if self.default_factory is not None:
            row["default"] = f"{getattr(self.default_factory, '__name__', 'made')}()"
        elif self.default is not _UNSET:
            row["default"] = shown(self.default)
        return row | {"doc": clean(self.__doc__ or "")}

    def __repr__(self) -> str:
        default = "" if self.default is _UNSET else f", default={_repr.repr(self.default)}"
        return f"Attribute({kind_name(self.kind)}{default})"


def operation(function: F) -> F:
    """Mark a method as one of a component's main operations, which a pool shows.

    The method stays as it is.  Where a subclass has its own, that one is shown.

    Examples
    --------
    >>> class Scaler:
    ...     @operation
    ...     def transform(self, x: float) -> float:
    ...         '''Scale x.'''
    ...         return x / 2
    >>> pool = __import__("exia").Pool("demo")
    >>> pool.add("scaler", Scaler)
    >>> pool.show("scaler")[0]["about"]["operations"]
    [{'name': 'transform', 'signature': '(x: float) -> float', 'doc': 'Scale x.'}]
    >>> pool.close()
    """
    if not callable(function) and not isinstance(function, staticmethod | classmethod):
        refuse(function, "what @operation marks", "a method")
    try:
        setattr(function, _MARK, True)
    except AttributeError:
        refuse(function, "what @operation marks", "a function")
    return function


def _where(instance: object, name: str) -> str:
    return f"{type(instance).__name__}.{name}"


# ---- what a pool asks ---------------------------------------------------------------------------


def attributes(cls: type) -> dict[str, Attribute[Any]]:
    """List the attributes of a class, those of its bases first."""
    found: dict[str, Attribute[Any]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Attribute):
                found[name] = value
            else:
                found.pop(name, None)
    return found


def current(obj: Any) -> dict[str, Any]:
    """Show the values that an object's attributes have now; no default is made for it."""
    values = getattr(obj, "__dict__", {})
    found = {name: values.get(name, a.default) for name, a in attributes(type(obj)).items()}
    return {name: shown(value) for name, value in found.items() if value is not _UNSET}


def describe(what: Any) -> dict[str, Any]:
    """Answer with what can be told of a class or function: {title, attributes, operations}."""
    about: dict[str, Any] = {}
    doc = getattr(what, "__doc__", None)
    if isinstance(doc, str) and doc.strip() and (
        isinstance(what, type) or doc is not type(what).__doc__
    ):  # fmt: skip
        about["title"] = clean(doc).split("\n", 1)[0]
    if isinstance(what, type):
        rows = [attribute.describe() for attribute in attributes(what).values()]
        about |= {"attributes": rows} if rows else {}
        rows = list(_operations(what))
        about |= {"operations": rows} if rows else {}
    return about


def _operations(cls: type) -> Iterator[dict[str, Any]]:
    """List the operations of a class, those of its bases first."""
    marked: dict[str, str] = {}  # with the doc nearest to the class
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            function = inspect.unwrap(getattr(value, "__func__", value))
            if name in marked or getattr(function, _MARK, False) or getattr(value, _MARK, False):
                marked[name] = getattr(function, "__doc__", None) or marked.get(name, "")
    for name, doc in marked.items():
        method = inspect.getattr_static(cls, name)
        if callable(method) or isinstance(method, staticmethod | classmethod):
            yield {"name": name, "signature": _signature(method), "doc": clean(doc)}


class _Bare(str):
    """An annotation that was written as text, shown without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _signature(method: Any) -> str:
    """Show how a method is called on an object."""
    try:
        signature = inspect.signature(getattr(method, "__func__", method))
        parameters = list(signature.parameters.values())
        if not isinstance(method, staticmethod) and parameters:
            if parameters[0].kind in (0, 1):  # else self is one of *args
                del parameters[0]
        bare = [
            p.replace(annotation=_Bare(p.annotation)) if isinstance(p.annotation, str) else p
            for p in parameters
        ]
        answer = signature.return_annotation
        if isinstance(answer, str):
            answer = _Bare(answer)
        return clean(str(signature.replace(parameters=bare, return_annotation=answer)))
    except Exception:  # such as a default whose repr fails
        return "(...)"


def shown(value: Any) -> Any:
    """Make any value fit for JSON, and short: as it is if it is one plain thing, else as text."""
    if isinstance(value, str) and len(value) <= SHOWN:
        return clean(value)
    if value is None or isinstance(value, bool | int | float):
        with suppress(TypeError, InvalidError):  # not finite, too large
            return plain(value, "value")
    return clean(" ".join(_repr.repr(value).split()))


def clean(text: str) -> str:
    """Make a text of anybody fit for JSON: no NUL, no half characters."""
    return inspect.cleandoc(text).replace("\0", "?").encode(errors="replace").decode()


# ---- what a factory asks ------------------------------------------------------------------------


def sort_arguments(
    what: Any, arguments: Mapping[str, Any], who: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the arguments that set attributes from those that the constructor takes."""
    there = attributes(what) if isinstance(what, type) else {}
    if not there:
        return {}, dict(arguments)
    taken, any_name = _parameters(what)
    own, rest = {}, {}
    for name, value in arguments.items():
        if any_name or name in taken:
            rest[name] = value
        elif name in there:
            own[name] = there[name].fit(value, f"{what.__name__}.{name}")
        else:
            known = ", ".join(dict.fromkeys([*taken, *there]))
            raise TypeError(f"{who}: {what.__name__} has no attribute {name!r}; it has: {known}")
    if what.__init__ is object.__init__:  # which sets none
        for name, attribute in there.items():
            if attribute.default is _UNSET and attribute.default_factory is None:
                if name not in own and name not in rest:
                    raise InvalidError(
                        f"{who}: {what.__name__}.{name} has no default: "
                        f"say arguments={{{name!r}: ...}}"
                    )
    return own, rest


def _parameters(cls: type) -> tuple[list[str], bool]:
    """Which keywords the constructor takes, and whether it takes any."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):  # a builtin's
        return [], False
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def construct(what: Any, needs: list[Any], own: dict[str, Any], rest: dict[str, Any]) -> Any:
    """Make an object whose `__init__` finds its attributes set."""
    if not own:
        return what(*needs, **rest)
    by_hand = type(what).__call__ is type.__call__
    made = what.__new__(what, *needs, **rest) if by_hand else what(*needs, **rest)
    if isinstance(made, what):
        for name, value in own.items():
            setattr(made, name, value)
        if by_hand:
            made.__init__(*needs, **rest)
    return made
