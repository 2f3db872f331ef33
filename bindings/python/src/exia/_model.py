"""One version of a model, open: its facts, its parts, the object that was written."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exia import _environment, _objects, _pickles
from exia._arguments import path, path_or_null, text
from exia._handle import call, take_text
from exia._native import ffi, lib
from exia._part import Part, open_flags
from exia._signing import Signed
from exia.errors import EnvironmentWarning, NotFoundError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Model(Signed):
    """One open version: nothing that happens to the library later touches it.

    What was read from it stays valid after `close`, and after the library is gone.
    """

    __slots__ = ("_facts",)

    def __init__(self, pointer: Any) -> None:
        super().__init__(pointer, lib.exia_model_free)
        self._facts: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The version's row: name, version, time, who, why, tags, metrics, params, parts ..."""
        if self._facts is None:
            self._facts = json.loads(ffi.string(lib.exia_model_facts(self._c)))
        return self._facts

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.facts["name"])

    @property
    def version(self) -> int:
        """The version's number."""
        return int(self.facts["version"])

    @property
    def policy(self) -> dict[str, Any]:
        """What a pickle inside may do: {"trusted": True}, or the lists of the policy, and why.

        With `signed`, {by, key, comment, library}, where a signature by a trusted key settles it:
        `read` then compares what it loads with the digests that are signed.
        """
        return dict(json.loads(ffi.string(lib.exia_model_policy(self._c))))

    @property
    def environment(self) -> dict[str, Any] | None:
        """What it was written under; None: not recorded."""
        out = ffi.new("char **")
        try:
            call(lib.exia_model_environment, out, self._c)
        except NotFoundError:
            return None
        return dict(json.loads(take_text(out)))

    @property
    def differences(self) -> dict[str, tuple[str, str | None]]:
        """How this environment differs from that one: name -> version then, and now or None."""
        return _environment.differences(self.environment or {})

    @property
    def requirements(self) -> str:
        """The packages it was written under, pinned, as pip reads them from a file.

        Raises
        ------
        NotFoundError
            No environment was recorded.
        CorruptError
            It names what is no package.
        """
        out = ffi.new("char **")
        call(lib.exia_model_requirements, out, self._c)
        return take_text(out)

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """Its parts: name -> {format, size, sha256}."""
        return {
            part["name"]: {key: part.get(key) for key in ("format", "size", "sha256")}
            for part in self.facts["parts"]
        }

    def _part(self, part: str | None) -> tuple[str, str]:
        """Find a part; None is "model", or the only one.  Answers its name and its format."""
        formats = {entry["name"]: entry["format"] for entry in self.facts["parts"]}
        if part is None:
            part = "model" if "model" in formats or len(formats) != 1 else next(iter(formats))
        text(part, "part")
        if part not in formats:
            there = ", ".join(formats)
            raise NotFoundError(f"{self} has no part {part!r}; it has: {there}")
        return part, formats[part]

    def part(self, part: str | None = None) -> Part:
        """Give one part; None: "model", or the only one."""
        return Part(self._c, *self._part(part))

    def view(self, part: str | None = None) -> memoryview:
        """View the bytes of a part, without a copy; writing changes this mapping only.

        From Python 3.12 on `memoryview(model)` is the same.
        """
        return self.part(part).view()

    def __buffer__(self, flags: int) -> memoryview:
        return self.view()

    @property
    def path(self) -> Path | None:
        """The file that holds the part "model" (or the only one); None: it is in no local file."""
        return self.part().path

    @property
    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """The tensors of the part "model" (or the only one), by name, without a copy."""
        return self.part().tensors

    @property
    def source(self) -> dict[str, str]:
        """The text of functions and classes that are stored by value: name -> source."""
        name, format = self._part(None)
        return _objects.source(self.view(name)) if format == "safetensors" else {}

    def read(self, part: str | None = None) -> Any:
        """Give the object that was written.

        Arrays are views of the file's mapping: they may be written to, and the file never changes.
        Bytes come as bytes, a file as a memoryview of its mapping (`path` says where it lies).
        Where a pickled object was written under other versions of the packages it comes from, an
        EnvironmentWarning tells which; `differences` has them as data.

        Raises
        ------
        UntrustedError
            The trust policy refuses the pickle; the text says what to add to it.
        """
        name, format = self._part(part)
        view = self.view(name)
        if format == "safetensors":
            if self.facts.get("imports"):
                self._compare()
            digest = self.parts[name]["sha256"]
            return _objects.decode(view, self.policy, f"{self}, part {name!r}", digest)
        if format in _pickles.FORMATS:
            digest = self.parts[name]["sha256"]
            return _pickles.read(view, format, self.policy, f"{self}, part {name!r}", digest)
        return bytes(view) if format == "bytes" else view

    def _compare(self) -> None:
        """Warn, once a read, when the environment is another."""
        found = [f"{n} {a} (here: {b or 'none'})" for n, (a, b) in self.differences.items()]
        if found:
            said = f"{self} was written under {', '.join(found)}"
            warnings.warn(said, EnvironmentWarning, stacklevel=4)

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def __repr__(self) -> str:
        return f"<exia.Model {self}>" if self._pointer is not None else "<exia.Model, closed>"


def open_model(
    directory: str | os.PathLike[str],
    *,
    trust: str | os.PathLike[str] | None = None,
    verify: bool = False,
    populate: bool = False,
    read_only: bool = False,
) -> Model:
    """Open a plain directory that `Library.export` or a package holds; no library is needed.

    Parameters
    ----------
    trust
        The policy for pickles; None: trust.json in the user's home of Exia.
    verify, populate, read_only
        As in `Library.open`.
    """
    out = ffi.new("exia_model **")
    call(
        lib.exia_model_open_directory, out, path(directory, "directory"),
        path_or_null(trust, "trust"), open_flags(verify, populate, read_only),
    )  # fmt: skip
    return Model(out[0])
