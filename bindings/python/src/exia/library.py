"""The model library: Python objects in and out, versions, aliases, search."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from exia import _environment, _objects
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
from exia._handle import call, owned
from exia._import import Imports
from exia._model import Model
from exia._native import ffi, lib
from exia._part import open_flags
from exia._progress import Job
from exia._rows import Rows, rows
from exia._signing import Signer
from exia._upkeep import Upkeep
from exia._write import expected, numbers, publish
from exia.errors import InvalidError

Metrics = Mapping[str, float]


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
