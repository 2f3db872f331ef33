"""Unpickling by policy: what a pickle from elsewhere may name, call and change.

A pickle is a program.  Where the library says that only this user can have written it, it is run as
it is.  Anything else goes through a slower unpickler that hands out nothing but

- the constructors that the policy lists, by their exact "module.name",
- classes that really live in the packages that it lists, and
- where it lists numpy, the few functions by which numpy makes arrays again,

that calls nothing but what it handed out, and that changes none of it.  Some modules are refused
even when they are listed: they turn any list of names into "everything".  And no object may pose as
an array: numpy would believe the address that it gives.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar

from exia._listed import ARRAYS, NEVER, NUMPY, PLAIN, REACHING
from exia.errors import UntrustedError

ALIGNED = 0x80  # among the flags of a dtype
SHOWN = 40  # names in an error

_Unpickler: Any = pickle._Unpickler  # the one in Python: C's has no hooks


class PolicyUnpickler(_Unpickler):  # type: ignore[misc]
    """An unpickler that keeps to a policy.

    Parameters
    ----------
    stream
        The pickle.
    buffers
        Its out-of-band buffers.
    packages, constructors
        The policy's lists.
    what
        The model and part, for the error.
    why
        Why the policy applies, and where it may be changed, for the error.
    """

    def __init__(
        self,
        stream: bytes,
        buffers: Iterable[memoryview],
        *,
        packages: Sequence[str],
        constructors: Sequence[str],
        what: str,
        why: str,
    ) -> None:
        super().__init__(io.BytesIO(stream), fix_imports=False, buffers=buffers)
        self._stream = stream
        self._packages = packages
        self._constructors = frozenset(constructors)
        self._what = what
        self._why = why
        self._handed: dict[int, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Hand out what the policy allows."""
        if not self._allows(module, name):
            self._refuse_missing(module, name)
        found = super().find_class(module, name)
        self._handed[id(found)] = found
        return found

    def get_extension(self, code: int) -> None:
        """Refuse a registered extension: what it stands for may be cached, past `find_class`."""
        self._refuse(f"the extension {code} of copyreg, which no policy can allow")

    def _allows(self, module: str, name: str) -> bool:
        """Whether the policy hands it out; a module of no listed package is not imported for it."""
        full = f"{module}.{name}"
        if full in PLAIN:
            return True
        if _is_never(module, name):
            self._refuse(f"{_shown(full)}, which no policy can allow")
        if full in self._constructors or (full in NUMPY and "numpy" in self._packages):
            return True
        if not self._in_package(module) or _reaches(full):  # which is not imported for it, either
            return False
        return self._lives(super().find_class(module, name))

    def _in_package(self, module: str) -> bool:
        return any(module == p or module.startswith(p + ".") for p in self._packages)

    def _lives(self, found: Any) -> bool:
        """Whether it is a class that its own module, in a listed package, has by its own name."""
        if not isinstance(found, type) or not self._in_package(found.__module__):
            return False
        module, name = found.__module__, found.__qualname__
        if _is_never(module, name) or any(
            _reaches(f"{base.__module__}.{base.__qualname__}") for base in found.__mro__
        ):
            return False
        return getattr(sys.modules.get(module), name, None) is found

    def _names(self) -> Iterator[tuple[str, str]]:
        """Read all that the pickle names, without running it: for an error, not for the check."""
        memo: dict[int, str | None] = {}
        below = top = None  # the last two things pushed, where they are texts
        for opcode, argument, _ in pickletools.genops(self._stream):
            if opcode.name in ("GLOBAL", "INST"):
                module, _, name = str(argument).partition(" ")
                yield module, name
                argument = None
            elif opcode.name == "STACK_GLOBAL" and below is not None and top is not None:
                yield below, top
            elif opcode.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
                memo[len(memo) if argument is None else int(str(argument))] = top
                continue
            elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
                argument = memo.get(int(str(argument)))
            below, top = top, argument if isinstance(argument, str) else None

    def _refuse_missing(self, module: str, name: str) -> None:
        """Refuse this name, and say which others the policy lacks, so that it is edited once."""
        missing = {(module, name): None}
        with contextlib.suppress(ValueError, ImportError, AttributeError):  # a broken pickle
            for other in self._names():
                if not self._allows(*other):
                    missing[other] = None
        packages = {m.split(".")[0]: None for m, _ in missing if not self._in_package(m)}
        self._refuse(
            "what the trust policy does not list: if you trust its author, add "
            f'{_quoted([f"{m}.{n}" for m, n in missing])} to "constructors"'
            + (f', or for all their classes {_quoted(packages)} to "packages"' if packages else "")
        )

    def _refuse(self, wanted: str) -> None:
        raise UntrustedError(f"the pickle in {self._what} wants {wanted} ({self._why})")

    def _check_call(self, function: Any) -> None:
        if id(function) not in self._handed:
            self._refuse(f"to call {type(function).__name__} {str(function)[:60]!r}, a made object")
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(function, type) and issubclass(function, numpy.ndarray):
            self._refuse(
                f"to call {function.__name__}, which no policy can allow: it takes any memory for "
                "objects, and numpy itself writes another call"
            )

    def _check_made(self) -> None:
        """Refuse what was just made where it, not its class, says that it is an array."""
        made = self.stack[-1]
        if type(made).__module__ == "builtins" or id(made) in self._handed:
            return
        own = getattr(made, "__dict__", {})
        for name in ARRAYS:
            with contextlib.suppress(Exception):  # what numpy would meet, too
                if name in own or (hasattr(made, name) and not hasattr(type(made), name)):
                    break
        else:
            return
        self._refuse(f"an object of {type(made).__name__} to pose as an array by {name}")

    def load_reduce(self) -> None:
        """Call only what was handed out."""
        self._check_call(self.stack[-2])
        super().load_reduce()
        self._check_made()

    def load_newobj(self) -> None:
        """As load_reduce."""
        self._check_call(self.stack[-2])
        super().load_newobj()
        self._check_made()

    def load_newobj_ex(self) -> None:
        """As load_reduce."""
        self._check_call(self.stack[-3])
        super().load_newobj_ex()
        self._check_made()

    def _instantiate(self, klass: Any, args: Any) -> None:
        """As load_reduce, for INST and OBJ."""
        self._check_call(klass)
        super()._instantiate(klass, args)
        self._check_made()

    def load_build(self) -> None:
        """Set the state of objects, never that of a class or function."""
        target = self.stack[-2]
        if id(target) in self._handed:
            self._refuse(f"to change {target!r} itself")
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(target, numpy.dtype):
            if not _is_dtype_state(numpy, target, self.stack[-1]):
                self._refuse("a dtype that numpy would not write")
        if numpy is not None and isinstance(target, numpy.ndarray) and target.size:
            self._refuse("to change an array that has its data, which others may see")
        super().load_build()
        self._check_made()

    def load_setitem(self) -> None:
        """Set an item, which some classes take for an attribute."""
        super().load_setitem()
        self._check_made()

    def load_setitems(self) -> None:
        """As load_setitem."""
        super().load_setitems()
        self._check_made()

    dispatch: ClassVar[dict[int, Any]] = {
        **_Unpickler.dispatch,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.BUILD[0]: load_build,
    }


def _is_dtype_state(numpy: Any, made: Any, state: Any) -> bool:
    """Whether numpy itself would write this state for this dtype.

    numpy takes any: one that hides its objects, or whose fields lie behind its end, makes arrays
    that read memory at will.  Objects within a structure are refused: they may be put there later.
    """
    try:
        _, _, subarray, names, fields, size, _, flags = state[:8]
        right = made
        if subarray is not None:
            base, shape = subarray
            parts, right = [base], numpy.dtype((base, shape))
        elif names is not None:
            parts = [fields[name][0] for name in names]
            offsets = [fields[name][1] for name in names]
            layout = {"names": [*names], "formats": parts, "offsets": offsets, "itemsize": size}
            right = numpy.dtype(layout, align=bool(flags & ALIGNED))
        else:
            parts = []
        if any(not isinstance(part, numpy.dtype) or part.hasobject for part in parts):
            return False
        same: bool = right.__reduce__()[2][2:8] == state[2:8]
        return same and made.itemsize == right.itemsize
    except Exception:
        return False


def _is_never(module: str, name: str) -> bool:
    parts = module.split(".")
    return "." in name or parts[0] in NEVER or "__main__" in parts  # a program: it runs as it comes


def _reaches(full: str) -> bool:
    return any(f"{full}.".startswith(f"{listed}.") for listed in REACHING)


def _shown(name: str) -> str:
    """Make a name that a stranger chose fit for an error: short, in one line."""
    return name if name.isprintable() and len(name) <= 200 else ascii(name[:200])


def _quoted(names: Collection[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f'"{_shown(name)}"' for name in islice(names, SHOWN)) + more
