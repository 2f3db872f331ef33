"""Packages here and elsewhere: register, query, push, pull, install."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from exia._arguments import (
    flag,
    integer,
    iterable,
    mapping,
    path,
    path_or_null,
    plain,
    text,
    text_or_null,
)
from exia._handle import Handle, call, owned, take_text
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, rows, take_rows


class Transfer(NamedTuple):
    """Bytes of a package: all, sent or fetched now, and those that need not move."""

    total: int
    moved: int
    reused: int


class Registry(Handle):
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
        return Transfer(int(out.total), int(out.moved), int(out.reused))

    def install(
        self,
        package: str,
        source: str | os.PathLike[str] | None = None,
        *,
        upgrade: bool = False,
        lock: str | os.PathLike[str] | None = None,
        locked: bool = False,
        keep_current: bool = False,
    ) -> str:
        """Install a package and all it needs, or nothing.

        Needs are met by what is installed, else by the newest versions that go together;
        pre-releases only where a need names one.

        Parameters
        ----------
        source
            The remote that what is missing here is pulled from; or a directory of package files: a
            Path, or a text with a "/" in it.
        upgrade
            Needs are met by the newest versions, not by what is installed.
        lock
            A lock file, "veda.lock".  What it lists is taken so and not otherwise, unless this is
            an upgrade; afterwards it lists what was taken.  It is written when it is not there.
        locked
            Only what the lock file lists is taken, and it is not written.
        keep_current
            Another version that is current stays so; else it is the one that was asked for.

        Returns
        -------
        str
            The directory where it lies.

        Raises
        ------
        NotFoundError
            Something is not there, or does not go together; the text says who needs what.
        CycleError
            The packages need each other.
        ConflictError
            Two packages have one identity, or one is not that of the lock file.
        """
        out = ffi.new("char **")
        self._install(
            lib.exia_registry_install, out, package, source, upgrade, lock, locked, keep_current
        )
        return take_text(out)

    def plan(
        self,
        package: str,
        source: str | os.PathLike[str] | None = None,
        *,
        upgrade: bool = False,
        lock: str | os.PathLike[str] | None = None,
        locked: bool = False,
    ) -> Rows:
        """Tell what install() would do: rows {name, version, tag, digest, from}.

        What is needed comes first, the package last; `from` is "installed", "here" or the source.
        Nothing changes.
        """
        out = ffi.new("exia_rows **")
        self._install(lib.exia_registry_plan, out, package, source, upgrade, lock, locked)
        return take_rows(out)

    def _install(
        self,
        function: Any,
        out: Any,
        package: str,
        source: str | os.PathLike[str] | None,
        upgrade: bool,
        lock: str | os.PathLike[str] | None,
        locked: bool,
        keep_current: bool = False,
    ) -> None:
        options = ffi.new("exia_install_options *")
        options.struct_size = ffi.sizeof("exia_install_options")
        options.upgrade = flag(upgrade, "upgrade")
        options.locked = flag(locked, "locked")
        options.lock = kept = owned(path_or_null(lock, "lock"))
        if isinstance(source, os.PathLike):
            source = os.path.abspath(source)
        options.keep_current = flag(keep_current, "keep_current")
        with Job() as job:
            call(
                function, out, self._c, text(package, "package"), text_or_null(source, "source"),
                options, job.c,
            )  # fmt: skip
        del kept

    def activate(self, package: str, *, expect: str | None = None) -> None:
        """Make an installed package the current one of its name: what `exia.load` takes.

        Parameters
        ----------
        expect
            What must be current for it to happen: "1.2", "1.2#any" or "none"; None: anything.

        Raises
        ------
        ConflictError
            Another one than expected is current; the text names it.
        """
        call(
            lib.exia_registry_activate, self._c, text(package, "package"),
            text_or_null(expect, "expect"),
        )  # fmt: skip

    def uninstall(self, package: str) -> None:
        """Take an installed package away; the best that remains of its name is current then.

        Raises
        ------
        ConflictError
            Installed packages need it; the text names them.
        """
        call(lib.exia_registry_uninstall, self._c, text(package, "package"))

    def installed(self, package: str | None = None) -> Rows:
        """List what is installed, or one package; `current` tells which versions are."""
        return rows(lib.exia_registry_installed, self._c, text_or_null(package, "package"))

    def which(self, file: str | os.PathLike[str]) -> str:
        """Tell the package that a file was installed by, as "name@version#tag"."""
        out = ffi.new("char **")
        call(lib.exia_registry_which, out, self._c, os.path.abspath(path(file, "file")))
        return take_text(out)

    def check(
        self, package: str | None = None, *, quick: bool = False, repair: bool = False,
        source: str | None = None,
    ) -> Rows:  # fmt: skip
        """Compare what is installed, or one package, with its record, file by file.

        Parameters
        ----------
        quick
            Read no file, so that no digest is compared.
        repair
            What is not as it was installed is unpacked anew and takes its place in one step.
        source
            The remote that a package to be repaired is pulled from when it is not registered here.

        Returns
        -------
        Rows
            A row {name, version, tag, path, problem, expected, found, repaired, why} a problem.
        """
        remote = owned(text_or_null(source, "source"))
        options = ffi.new("exia_check_options *")
        options.struct_size = ffi.sizeof("exia_check_options")
        options.quick = flag(quick, "quick")
        options.repair = flag(repair, "repair")
        options.remote = remote
        with Job() as job:
            return rows(
                lib.exia_registry_check, self._c, text_or_null(package, "package"), options, job.c
            )

    def check_files(
        self, package: str | None = None, *, remote: str | None = None, quick: bool = False,
        repair: bool = False, source: str | None = None,
    ) -> Rows:  # fmt: skip
        """Compare the files of registered packages, or of one, with their records.

        Parameters
        ----------
        remote
            Look there, which reads them; without it here.
        quick
            Compare only sizes.
        repair
            Put a good copy in the place of a bad file: on a remote what is registered here.
        source
            The remote that a file here is pulled from anew.

        Returns
        -------
        Rows
            As those of `check`: `path` is the key of the file.
        """
        pulled = owned(text_or_null(source, "source"))
        options = ffi.new("exia_check_options *")
        options.struct_size = ffi.sizeof("exia_check_options")
        options.quick = flag(quick, "quick")
        options.repair = flag(repair, "repair")
        options.remote = pulled
        with Job() as job:
            return rows(
                lib.exia_registry_check_files,
                self._c,
                text_or_null(package, "package"),
                text_or_null(remote, "remote"),
                options,
                job.c,
            )

    def prune(self, *, apply: bool = False) -> Rows:
        """Uninstall what only came along for packages that are gone, or only tell what would go.

        Returns
        -------
        Rows
            A row {name, version, tag, directory, why} a package, or a leftover of a dead process:
            of that `directory`, which may be a file, and `why`.
        """
        options = ffi.new("exia_prune_options *")
        options.struct_size = ffi.sizeof("exia_prune_options")
        options.apply = flag(apply, "apply")
        with Job() as job:
            return rows(lib.exia_registry_prune, self._c, options, job.c)

    def export_bundle(
        self,
        packages: str | Iterable[str],
        file: str | os.PathLike[str],
        *,
        source: str | None = None,
        have: str | Iterable[str] | None = None,
        only: bool = False,
    ) -> Rows:
        """Write packages and all that they need as one file, for a site without a network.

        Parameters
        ----------
        file
            A plain tar: bundle.json, then the packages.  It appears whole or not at all.
        source
            The remote that what is missing here is pulled from.
        have
            What the other side has, as its `have` tells: it is left out.
        only
            These packages alone, not what they need.

        Returns
        -------
        Rows
            {name, version, tag, digest, file, size, state}: "exported" or "left out".
        """
        names = [packages] if isinstance(packages, str) else iterable(packages, "packages")
        if have is not None and not isinstance(have, str):
            have = "\n".join(text(line, "have").decode() for line in iterable(have, "have"))
        said = [ffi.new("char[]", text(name, "packages")) for name in names]
        source_c = ffi.new("char[]", text(source, "source")) if source is not None else ffi.NULL
        have_c = ffi.new("char[]", text(have, "have")) if have is not None else ffi.NULL
        options = ffi.new("exia_export_options *")
        options.struct_size = ffi.sizeof("exia_export_options")
        options.remote, options.have, options.only = source_c, have_c, flag(only, "only")
        with Job() as job:
            return rows(
                lib.exia_registry_export, self._c, ffi.new("char *[]", said), len(said),
                path(file, "file"), options, job.c,
            )  # fmt: skip

    def import_bundle(self, file: str | os.PathLike[str]) -> Rows:
        """Register all packages of a bundle: all are verified first, what is here is skipped.

        Returns
        -------
        Rows
            {name, version, tag, digest, file, size, state}: "imported" or "there already".
        """
        with Job() as job:
            return rows(lib.exia_registry_import, self._c, path(file, "file"), job.c)

    def have(self, remote: str | None = None) -> list[str]:
        """List what is registered as lines "name@version#tag digest", for `export_bundle`."""
        out = ffi.new("char **")
        with Job() as job:
            call(lib.exia_registry_have, out, self._c, text_or_null(remote, "remote"), job.c)
        return take_text(out).splitlines()

    def _repr_html_(self) -> str:
        return self.query()._repr_html_()

    def __repr__(self) -> str:
        return (
            "<exia.Registry, closed>" if self._pointer is None else f"<exia.Registry {self.home}>"
        )
