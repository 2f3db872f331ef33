"""The model library: Python objects in and out, versions, aliases, search."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exia import _environment, _objects, _pickles
from exia._arguments import (
    flag,
    integer,
    mapping,
    path,
    path_or_null,
    plain,
    refuse,
    text,
    text_or_null,
)
from exia._backup import Backups
from exia._handle import call, owned, take_text
from exia._import import Imports
from exia._native import ffi, lib
from exia._part import Part, open_flags
from exia._progress import Job
from exia._rows import Rows, rows
from exia._signing import Signed, Signer
from exia._upkeep import Upkeep
from exia._write import expected, numbers, publish
from exia.errors import EnvironmentWarning, InvalidError, NotFoundError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Metrics = Mapping[str, float]


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


class Library(Upkeep, Backups, Imports, Signer):
    """A library of models: immutable numbered versions, aliases that move, a log that is the truth.

    Parameters
    ----------
    url
        A directory, or a records URL.  None: `models` in the home of Exia (EXIA_HOME, else the XDG
        data directory).
    blobs
        Where the bytes go; None: beside the records, which then must be a directory.
    trust
        The policy for pickles that others may have written; None: trust.json in the home of Exia.
    read_only
        Create nothing, refuse every write.

    Examples
    --------
    >>> import tempfile
    >>> library = Library(tempfile.mkdtemp())
    >>> library.write("digits", {"any": "object"}, metrics={"accuracy": 0.98}, alias="champion")
    1
    >>> library.read("digits@champion")
    {'any': 'object'}
    """

    __slots__ = ("url",)

    def __init__(
        self,
        url: str | os.PathLike[str] | None = None,
        *,
        blobs: str | None = None,
        trust: str | os.PathLike[str] | None = None,
        read_only: bool = False,
    ) -> None:
        strings = owned(path_or_null(blobs, "blobs")), owned(path_or_null(trust, "trust"))
        options = ffi.new("exia_library_options *")
        options.struct_size = ffi.sizeof("exia_library_options")
        options.blobs_url, options.trust_file = strings
        options.read_only = flag(read_only, "read_only")
        out = ffi.new("exia_library **")
        call(lib.exia_library_open, out, path_or_null(url, "url"), options)
        super().__init__(out[0], lib.exia_library_free)
        self.url = None if url is None else os.fspath(url)

    def __repr__(self) -> str:
        return f"<exia.Library {self.url or 'in the home of Exia'}>"

    # ---- writing --------------------------------------------------------------------------------

    def write(
        self,
        name: str,
        obj: Any,
        *,
        parts: Mapping[str, Any] | None = None,
        metrics: Metrics | None = None,
        tags: Mapping[str, str | float | bool] | None = None,
        params: Mapping[str, Any] | None = None,
        parent: int | str | None = None,
        alias: str | None = None,
        expect: int | None = None,
        message: str | None = None,
        token: str | None = None,
    ) -> int:
        """Publish the next version of a model.

        It is written from where it lies, without a copy: change no array before this returns.

        Parameters
        ----------
        obj
            Any Python object, also a function; it becomes the part "model".  An array, or a dict of
            arrays, becomes plain tensors; bytes are kept as bytes; a `pathlib.Path` names a file.
        parts
            Further parts of the same version, by name.
        metrics
            Numbers; `name@best(metrics.x)` and the filters see them.  NaN and infinities are kept.
        tags, params
            Plain values to search by, and any JSON object.
        parent
            The version it was made from: a number, or "other@3".
        alias
            Moved to the new version in the same step.
        expect
            Where the alias must stand for that: a version, 0 (absent), None (anywhere).
        message
            Why; goes into the history.
        token
            Names this write, so that it may be repeated without doing it twice.

        Returns
        -------
        int
            The version: 1, 2, 3 ...

        Raises
        ------
        ConflictError
            The alias stood elsewhere; nothing was published.
        """
        others = {} if parts is None else mapping(parts, "parts")
        if "model" in others:
            raise InvalidError('the part "model" is the object itself; name the others otherwise')
        if expect is not None and alias is None:
            raise InvalidError("`expect` says where an alias must stand: name the alias")
        encoded = {"model": _objects.encode(obj)}
        encoded |= {part: _objects.encode(value) for part, value in others.items()}
        imports = sorted(set().union(*(part.imports for part in encoded.values())))
        facts = {
            "tags": tags if tags is None else plain(mapping(tags, "tags"), "tags"),
            "metrics": metrics if metrics is None else numbers(mapping(metrics, "metrics")),
            "params": params if params is None else plain(mapping(params, "params"), "params"),
            "parent": _parent(parent),
            "imports": imports,
            "environment": _environment.environment(imports),
        }
        facts = {key: value for key, value in facts.items() if value is not None}
        return publish(
            self._c, name, encoded, facts, alias=alias, expect=expect, message=message, token=token
        )

    def alias(
        self,
        name: str,
        alias: str,
        version: int | None,
        *,
        expect: int | None = None,
        message: str | None = None,
    ) -> None:
        """Move an alias to a version; None or 0: remove it.

        Parameters
        ----------
        expect
            Where it must stand for that: a version, 0 (absent), None (anywhere).

        Raises
        ------
        ConflictError
            It stood elsewhere; nothing moved.
        """
        number = lib.EXIA_ABSENT if version is None else integer(version, "version", 0)
        call(
            lib.exia_alias_move, self._c, text(name, "name"), text(alias, "alias"), number,
            expected(expect), text_or_null(message, "message"),
        )  # fmt: skip

    def rollback(
        self,
        name: str,
        alias: str,
        *,
        to: datetime | str | None = None,
        expect: int | None = None,
        message: str | None = None,
    ) -> int | None:
        """Undo the alias' last move not yet undone; where it was first put is not undone.

        Parameters
        ----------
        to
            Let it stand where it stood at this time instead, by a move that a rollback undoes: a
            datetime, or UTC as "2026-01-31" or "2026-01-31T23:59:59Z".

        Returns
        -------
        int or None
            Where it stands now; None: nowhere.

        Raises
        ------
        NotFoundError
            There is nothing to go back to, or the version was removed.
        """
        version = ffi.new("int64_t *")
        names = version, self._c, text(name, "name"), text(alias, "alias")
        why = expected(expect), text_or_null(message, "message")
        if to is None:
            call(lib.exia_alias_rollback, *names, *why)
        else:
            call(lib.exia_alias_rollback_to, *names, text(_utc(to), "to"), *why)
        return int(version[0]) or None

    def protect(
        self, name: str, alias: str, on: bool = True, *, message: str | None = None
    ) -> None:
        """Protect an alias, or no longer, which needs a message.

        A protected alias moves only with `expect` and `message`, and is never removed; else
        DeniedError is raised.
        """
        call(
            lib.exia_alias_protect, self._c, text(name, "name"), text(alias, "alias"),
            flag(on, "on"), text_or_null(message, "message"),
        )  # fmt: skip

    def remove(self, name: str, version: int, *, message: str | None = None) -> None:
        """Hide a version for ever; its number is not used again.

        Raises
        ------
        ConflictError
            Aliases are on it; the text names them.
        """
        call(
            lib.exia_model_remove, self._c, text(name, "name"), integer(version, "version", 1),
            text_or_null(message, "message"),
        )  # fmt: skip

    # ---- reading --------------------------------------------------------------------------------

    def open(
        self,
        selector: str,
        *,
        verify: bool = False,
        populate: bool = False,
        read_only: bool = False,
    ) -> Model:
        """Open one version.

        Parameters
        ----------
        selector
            "x" (the latest), "x@7", "x@champion", "x@latest-1", "x@previous(champion)",
            "x@best(metrics.auc)" (the maximum) or "x@worst(metrics.loss)" (the minimum).
        verify
            Read into private memory and check every digest.
        populate
            Fault the pages in now.
        read_only
            Views and arrays are not writable.  The mappings then count against no limit of the
            system's (vm.overcommit_memory 2, RLIMIT_DATA); beyond such a limit a part is mapped so
            anyway.

        Examples
        --------
        >>> import tempfile
        >>> library = Library(tempfile.mkdtemp())
        >>> library.write("x", b"abc")
        1
        >>> with library.open("x@latest") as model:
        ...     bytes(model.view())
        b'abc'
        """
        out = ffi.new("exia_model **")
        flags = open_flags(verify, populate, read_only)
        with Job() as job:  # what is on a remote store and not in the cache comes now
            name = text(selector, "selector")
            call(lib.exia_model_open_with, out, self._c, name, flags, job.c)
        return Model(out[0])

    def read(self, selector: str, *, part: str | None = None) -> Any:
        """Give the object of a version, or of one of its parts; see `open` and `Model.read`."""
        with self.open(selector) as model:
            return model.read(part)

    def requirements(self, selector: str) -> str:
        """Give the packages that a version was written under, pinned, for a file that pip reads.

        Examples
        --------
        >>> import tempfile
        >>> library = Library(tempfile.mkdtemp())
        >>> library.write("x", {"plain": "data"})
        1
        >>> print(library.requirements("x@1"))  # doctest: +ELLIPSIS
        # x@1 was written under CPython 3... on ...
        """
        with self.open(selector) as model:
            return model.requirements

    def search(self, filter: str | None = None) -> Rows:
        """List the versions that a filter selects, newest first unless it orders them.

        Examples
        --------
        >>> import tempfile
        >>> library = Library(tempfile.mkdtemp())
        >>> library.write("x", 1, metrics={"auc": 0.95})
        1
        >>> [r["version"] for r in library.search("metrics.auc > 0.9 order by metrics.auc desc")]
        [1]
        """
        return rows(lib.exia_library_search, self._c, text_or_null(filter, "filter"))

    def versions(self, name: str) -> Rows:
        """List the versions of a model, newest first."""
        text(name, "name")
        quoted = name.replace("'", "''")
        return self.search(f"name = '{quoted}'")

    def history(self, name: str, alias: str | None = None) -> Rows:
        """List every entry of a model's log, or those of one alias, oldest first."""
        if alias is None:
            return rows(lib.exia_library_history, self._c, text(name, "name"))
        return rows(lib.exia_alias_history, self._c, text(name, "name"), text(alias, "alias"))

    def _repr_html_(self) -> str:
        return self.search()._repr_html_()

    def export(self, selector: str, directory: str | os.PathLike[str]) -> None:
        """Write a version as a plain directory, which must not be there yet."""
        with Job() as job:
            call(
                lib.exia_library_export, self._c, text(selector, "selector"),
                path(directory, "directory"), job.c,
            )  # fmt: skip


def _utc(time: datetime | str) -> str:
    """Write a time as the log does; a datetime without a zone is local."""
    if isinstance(time, str):
        return time
    if not isinstance(time, datetime):
        refuse(time, "to", "a datetime or a text")
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"


def _parent(parent: int | str | None) -> int | str | None:
    if parent is None:
        return None
    if isinstance(parent, str):
        text(parent, "parent")
        return parent
    return integer(parent, "parent", 1)
