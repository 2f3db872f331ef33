"""Packages here and elsewhere: remotes, register, query, push, pull."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from exia._arguments import (
    flag,
    integer,
    mapping,
    path,
    path_or_null,
    plain,
    text,
    text_or_null,
)
from exia._bundle import Bundles
from exia._handle import call, take_text
from exia._install import Installs
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, rows


class Transfer(NamedTuple):
    """Bytes of a package: all, sent or fetched now, and those that need not move.

    `package` is the one that was meant, as "name@1.2#linux_x86_64".
    """

    total: int
    moved: int
    reused: int
    package: str


class Registry(Installs, Bundles):
    """The packages that are known and installed here, and the remotes.

    A package is "name" (the newest version that fits this platform), "name@1.2" or
    "name@1.2#linux_x86_64".  `remote` is a name added before; None is what is here.

    Parameters
    ----------
    home
        None: EXIA_HOME, else the XDG data directory.

    Examples
    --------
    >>> import tempfile
    >>> registry = Registry(tempfile.mkdtemp())
    >>> registry.query()
    []
    """

    __slots__ = ()

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        out = ffi.new("exia_registry **")
        call(lib.exia_registry_open, out, path_or_null(home, "home"))
        super().__init__(out[0], lib.exia_registry_free)

    @property
    def home(self) -> Path:
        """Its directory."""
        return Path(os.fsdecode(ffi.string(lib.exia_registry_home(self._c))))

    def add_remote(
        self, name: str, records: str | os.PathLike[str], packages: str | os.PathLike[str]
    ) -> None:
        """Remember a remote.

        Parameters
        ----------
        records
            Where packages are listed: a records URL, such as "sqlite:/depot/catalog.db".
        packages
            Where the bytes go: a blobs URL, such as "file:/depot/packages".
        """
        call(
            lib.exia_registry_remote_add, self._c, text(name, "name"), path(records, "records"),
            path(packages, "packages"),
        )  # fmt: skip

    def remove_remote(self, name: str) -> None:
        """Forget a remote; nothing over there changes."""
        call(lib.exia_registry_remote_remove, self._c, text(name, "name"))

    def remotes(self) -> Rows:
        """List the remotes: rows {name, records, packages}; passwords are not shown."""
        return rows(lib.exia_registry_remotes, self._c)

    def check_remote(self, name: str, *, attempt: bool = False) -> Rows:
        """Open both sides of a remote and tell what is there.

        Parameters
        ----------
        attempt
            Store 12 MiB there, read, list, copy and remove them again, and tell how long each took.

        Returns
        -------
        Rows
            {store, key, value}: of "records" and of "packages".
        """
        if not flag(attempt, "attempt"):
            return rows(lib.exia_registry_remote_check, self._c, text(name, "name"))
        with Job() as job:
            return rows(lib.exia_registry_remote_try, self._c, text(name, "name"), job.c)

    def register(self, file: str | os.PathLike[str], remote: str | None = None) -> None:
        """Make a package file known: verified, its bytes kept, then recorded; again is no error.

        Raises
        ------
        ExistsError
            Another package has this name, version and platform.
        """
        with Job() as job:
            call(
                lib.exia_registry_register, self._c, path(file, "file"),
                text_or_null(remote, "remote"), job.c,
            )  # fmt: skip

    def update(
        self,
        package: str,
        facts: Mapping[str, Any],
        remote: str | None = None,
        *,
        merge: bool = False,
    ) -> None:
        """Replace the free facts about a package; `merge` keeps those not named, None drops one."""
        said = json.dumps(plain(mapping(facts, "facts"), "facts"))
        change = lib.exia_registry_merge if flag(merge, "merge") else lib.exia_registry_update
        call(
            change, self._c, text(package, "package"), said.encode(),
            text_or_null(remote, "remote"),
        )  # fmt: skip

    def query(self, filter: str | None = None, remote: str | None = None) -> Rows:
        """List the packages that a filter selects, by name, newest version first.

        Parameters
        ----------
        filter
            An expression over the keys of the rows.  Versions compare as versions; ``latest`` is
            true of the newest of each name and tag; ``'x' in dependencies`` selects what needs x,
            ``'model' in components.kind`` what has a model.

        Examples
        --------
        ``registry.query("version >= '1.10' and facts.stage = 'prod' order by time desc limit 10")``
        """
        return rows(
            lib.exia_registry_query, self._c, text_or_null(filter, "filter"),
            text_or_null(remote, "remote"),
        )  # fmt: skip

    def unregister(self, package: str, remote: str | None = None) -> None:
        """Forget a package: name@version at least."""
        call(
            lib.exia_registry_unregister, self._c, text(package, "package"),
            text_or_null(remote, "remote"),
        )  # fmt: skip

    def push(self, package: str, to: str, *, dry_run: bool = False) -> Transfer:
        """Send a package that is registered here to a remote.

        What other versions of the package have there already is copied on the spot, where the
        remote's store can do that.  A push that was cut goes on when it is repeated.

        Parameters
        ----------
        dry_run
            Move nothing, and say what would move.
        """
        return self._transfer(lib.exia_registry_push, package, text(to, "to"), dry_run)

    def pull(self, package: str, source: str, *, dry_run: bool = False) -> Transfer:
        """Fetch a package from a remote and register it here.

        What packages have that are registered here is taken from them.  A pull that was cut goes
        on when it is repeated.

        Parameters
        ----------
        dry_run
            Move nothing, and say what would move.
        """
        return self._transfer(lib.exia_registry_pull, package, text(source, "source"), dry_run)

    def url(self, package: str, source: str, *, seconds: int = 3600) -> str:
        """Make a URL at which whoever has it can read a remote's package, without keys.

        Parameters
        ----------
        source
            The remote, whose packages lie in S3.
        seconds
            How long it is good; at most seven days.

        Returns
        -------
        str
            The URL.  What is read there is checked by `exia.Package(...).verify()`.

        Raises
        ------
        UnsupportedError
            The remote's packages have no URLs.
        """
        out = ffi.new("char **")
        call(
            lib.exia_registry_url, out, self._c, text(package, "package"),
            text(source, "source"), integer(seconds, "seconds", 1),
        )  # fmt: skip
        return take_text(out)

    def _transfer(self, function: Any, package: str, remote: bytes, dry_run: bool) -> Transfer:
        out = ffi.new("exia_transfer *")
        options = ffi.new("exia_transfer_options *")
        options.struct_size = ffi.sizeof("exia_transfer_options")
        options.dry_run = flag(dry_run, "dry_run")
        with Job() as job:
            call(function, out, self._c, text(package, "package"), remote, options, job.c)
        package = ffi.string(out.package).decode()
        return Transfer(int(out.total), int(out.moved), int(out.reused), package)

    def _repr_html_(self) -> str:
        return self.query()._repr_html_()

    def __repr__(self) -> str:
        return (
            "<exia.Registry, closed>" if self._pointer is None else f"<exia.Registry {self.home}>"
        )
