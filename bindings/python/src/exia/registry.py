"""Packages here and elsewhere: register, query, push, pull, install, load."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from importlib import machinery
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
from exia.errors import ConflictError, InvalidError, NotFoundError


class Transfer(NamedTuple):
    """Bytes of a package: all, moved now, and reused where they had to go or near it."""

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

    def check_remote(self, name: str) -> Rows:
        """Open both sides of a remote and tell what is there: rows {store, key, value}."""
        return rows(lib.exia_registry_remote_check, self._c, text(name, "name"))

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

    def update(self, package: str, facts: Mapping[str, Any], remote: str | None = None) -> None:
        """Replace the free facts about a package."""
        said = json.dumps(plain(mapping(facts, "facts"), "facts"))
        call(
            lib.exia_registry_update, self._c, text(package, "package"), said.encode(),
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
        self._install(lib.exia_registry_install, out, package, source, upgrade, lock, locked)
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
    ) -> None:
        options = ffi.new("exia_install_options *")
        options.struct_size = ffi.sizeof("exia_install_options")
        options.upgrade = flag(upgrade, "upgrade")
        options.locked = flag(locked, "locked")
        options.lock = kept = owned(path_or_null(lock, "lock"))
        if isinstance(source, os.PathLike):
            source = os.path.abspath(source)
        with Job() as job:
            call(
                function, out, self._c, text(package, "package"), text_or_null(source, "source"),
                options, job.c,
            )  # fmt: skip
        del kept

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

    def uninstall(self, package: str) -> None:
        """Take an installed package away.

        Raises
        ------
        ConflictError
            Installed packages need it; the text names them.
        """
        call(lib.exia_registry_uninstall, self._c, text(package, "package"))

    def installed(self, package: str | None = None) -> Rows:
        """List what is installed, or one package."""
        return rows(lib.exia_registry_installed, self._c, text_or_null(package, "package"))

    def which(self, file: str | os.PathLike[str]) -> str:
        """Tell the package that a file was installed by, as "name@version#tag"."""
        out = ffi.new("char **")
        call(lib.exia_registry_which, out, self._c, os.path.abspath(path(file, "file")))
        return take_text(out)

    def _repr_html_(self) -> str:
        return self.query()._repr_html_()

    def __repr__(self) -> str:
        return (
            "<exia.Registry, closed>" if self._pointer is None else f"<exia.Registry {self.home}>"
        )


# ---- entry points -------------------------------------------------------------------------------

_importing = threading.RLock()
_homes: set[str] = set()  # where packages lie whose code was loaded


class _Loader(machinery.SourceFileLoader):
    """Leaves an installed package as it was recorded: it keeps no bytecode."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Write nothing."""


def _finder(directory: str) -> machinery.FileFinder:
    """Find modules in a directory of an installed package: an entry of `sys.path_hooks`."""
    if not any(directory.startswith(home) for home in _homes):
        raise ImportError("no directory of an installed package", path=directory)
    return machinery.FileFinder(
        directory,
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (_Loader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )


def load(entry_point: str, home: str | os.PathLike[str] | None = None) -> Any:
    """Give the object behind an entry point of an installed package.

    While its module is imported, the code of the package, and that of the packages it needs, is on
    `sys.path`.  No bytecode is written beside it, then or later.

    Parameters
    ----------
    entry_point
        "package:entry", also "package@1.2:entry".

    Raises
    ------
    NotFoundError
        The package is not installed, or has no such entry point.
    ConflictError
        A module of that name was imported from elsewhere.

    Examples
    --------
    ``exia.load("digits:predict")(image)``
    """
    text(entry_point, "entry_point")
    package, colon, entry = entry_point.partition(":")
    if not (package and colon and entry):
        raise InvalidError(f'{entry_point!r} is not of the form "package:entry"')
    with Registry(home) as registry:
        row = _installed(registry, package)
        entries = row.get("entry_points") or {}
        if entry not in entries:
            there = ", ".join(entries) or "none"
            raise NotFoundError(
                f"package {package!r} has no entry point {entry!r}; it has: {there}"
            )
        paths = _code_paths(registry, row)
        _homes.add(str(registry.home / "installed") + os.sep)
    module_name, _, attributes = str(entries[entry]).partition(":")
    with _importing, _on_path(paths):
        _check_module(module_name.split(".")[0], paths)
        found: Any = importlib.import_module(module_name)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


def _installed(registry: Registry, package: str) -> dict[str, Any]:
    """Find an installed package; of several versions the first, which is the newest."""
    found = registry.installed(package)
    if not found:
        raise NotFoundError(f"package {package!r} is not installed in {registry.home}")
    return found[0]


def _code_paths(registry: Registry, row: dict[str, Any]) -> list[str]:
    """List the directories that hold code: of the package, then of what it needs."""
    paths: dict[str, None] = {}
    rows_left, seen = [row], {row["name"]}
    while rows_left:
        row = rows_left.pop(0)
        for component in row.get("components") or []:
            if component["kind"] == "code":
                paths[str((Path(row["directory"]) / component["path"]).parent)] = None
        for requirement in row.get("dependencies") or []:
            name = re.split(r"[ <>=!~^*,]", str(requirement).strip(), maxsplit=1)[0]
            if name not in seen:
                seen.add(name)
                rows_left.append(_installed(registry, name))
    return list(paths)


@contextmanager
def _on_path(paths: Iterable[str]) -> Generator[None]:
    """Put directories first on sys.path for a while."""
    paths = list(paths)
    if _finder not in sys.path_hooks:
        sys.path_hooks.insert(0, _finder)
    sys.path[:0] = paths
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for entry in paths:
            with suppress(ValueError):  # the module may have changed sys.path too
                sys.path.remove(entry)


def _check_module(name: str, paths: list[str]) -> None:
    """Refuse to answer with a module of the same name that came from elsewhere."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if file is None:
        return
    if not any(Path(file).is_relative_to(entry) for entry in paths):
        raise ConflictError(
            f"module {name!r} was imported from {file} before: load the package in a new process"
        )
