"""Unpickling by policy: what a pickle from elsewhere may name, call and change.

A pickle is a program.  Where the library says that only this user can have written it, it is run as
it is.  Anything else goes through a slower unpickler that hands out nothing but

- the constructors that the policy lists, by their exact "module.name", and
- classes that really live in the packages that it lists,

that calls nothing but what it handed out, and that changes none of it.  Some modules are refused
even when they are listed: they turn any list of names into "everything".
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from exia.errors import UntrustedError

# Data that pickles name; they make values of plain data and nothing else.
PLAIN = {f"builtins.{c.__name__}" for c in (bytearray, complex, frozenset, range, set, slice)}

# They call, import, compile, or reach into others.
NEVER = {
    "_codecs", "_ctypes", "_functools", "_imp", "_operator", "_pickle", "_posixsubprocess",
    "builtins", "cloudpickle", "codecs", "copyreg", "ctypes", "functools", "gc", "imp",
    "importlib", "inspect", "marshal", "operator", "os", "pickle", "pkgutil", "posix", "runpy",
    "subprocess", "sys", "types",
}  # fmt: skip

# They open, write or remove the files that they are told to: a package's name does not list them.
FILES = {
    "numpy.DataSource", "numpy.lib.npyio.DataSource", "numpy.lib.npyio.NpzFile", "numpy.memmap",
}  # fmt: skip

ALIGNED = 0x80  # among the flags of a dtype

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
        self._packages = packages
        self._constructors = frozenset(constructors)
        self._what = what
        self._why = why
        self._handed: dict[int, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Hand out what the policy allows."""
        full = f"{module}.{name}"
        if full not in PLAIN:
            if "." in name or module.split(".")[0] in NEVER:
                self._refuse(f"{full}, which no policy can allow")
            if full not in self._constructors and not self._listed(module):
                package = module.split(".")[0]
                self._refuse(
                    f"{full}, which the trust policy does not list: if you trust its author, add "
                    f'"{full}" to "constructors", or for all its classes "{package}" to "packages"'
                )
        found = super().find_class(module, name)
        if full not in PLAIN and full not in self._constructors and not self._lives(found):
            self._refuse(
                f"{full}, which is no class of a listed package: if you trust its author, add "
                f'"{full}" to "constructors"'
            )
        if full not in self._constructors and f"{found.__module__}.{found.__qualname__}" in FILES:
            self._refuse(
                f"{full}, which works on files that the pickle names: if you trust its author, add "
                f'"{full}" to "constructors"'
            )
        self._handed[id(found)] = found
        return found

    def _listed(self, module: str) -> bool:
        return any(module == p or module.startswith(p + ".") for p in self._packages)

    def _lives(self, found: Any) -> bool:
        """Whether it is a class that its own module, in a listed package, has by its own name."""
        if not isinstance(found, type) or not self._listed(found.__module__):
            return False
        home = sys.modules.get(found.__module__)
        return getattr(home, found.__qualname__, None) is found

    def _refuse(self, wanted: str) -> None:
        raise UntrustedError(f"the pickle in {self._what} wants {wanted} ({self._why})")

    def _check_call(self, function: Any) -> None:
        if id(function) not in self._handed:
            self._refuse(f"to call {type(function).__name__} {str(function)[:60]!r}, a made object")

    def load_reduce(self) -> None:
        """Call only what was handed out."""
        self._check_call(self.stack[-2])
        super().load_reduce()

    def load_newobj(self) -> None:
        """As load_reduce."""
        self._check_call(self.stack[-2])
        super().load_newobj()

    def load_newobj_ex(self) -> None:
        """As load_reduce."""
        self._check_call(self.stack[-3])
        super().load_newobj_ex()

    def load_obj(self) -> None:
        """As load_reduce."""
        self._check_call(self.stack[0])
        super().load_obj()

    def load_build(self) -> None:
        """Set the state of objects, never that of a class or function."""
        target = self.stack[-2]
        if id(target) in self._handed:
            self._refuse(f"to change {target!r} itself")
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(target, numpy.dtype):
            if not _is_dtype_state(numpy, target, self.stack[-1]):
                self._refuse("a dtype that numpy would not write")
        super().load_build()

    dispatch: ClassVar[dict[int, Any]] = {
        **_Unpickler.dispatch,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.OBJ[0]: load_obj,
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
