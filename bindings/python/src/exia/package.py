"""Packages: a workspace packed into one `.veda` file, verified and unpacked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from exia._arguments import flag, integer, path, path_or_null, text, text_or_null
from exia._handle import Handle, call, take_text
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, rows


def new_workspace(directory: str | os.PathLike[str], name: str) -> None:
    """Start a workspace: a directory with a manifest, `veda.json`.

    Raises
    ------
    ExistsError
        There is a manifest already.
    """
    call(lib.exia_workspace_new, path(directory, "directory"), text(name, "name"))


def add_component(
    directory: str | os.PathLike[str],
    source: str | os.PathLike[str],
    kind: str | None = None,
    home: str | os.PathLike[str] | None = None,
    *,
    entry_points: Mapping[str, str] | None = None,
) -> None:
    """Copy a file or a directory into a workspace, to KIND/BASENAME, and list it as a component.

    Parameters
    ----------
    source
        A path; or, with kind "model", "name@selector" of the library in `home`.
    kind
        "code", "model", "data", "env" or "doc"; None: guessed.
    entry_points
        Name -> "module:object": what `exia.load("package:name")` gives.

    Raises
    ------
    ExistsError
        Something is there already.
    """
    call(
        lib.exia_workspace_add, path(directory, "directory"), path(source, "source"),
        text_or_null(kind, "kind"), path_or_null(home, "home"),
    )  # fmt: skip
    for name, found in (entry_points or {}).items():
        call(
            lib.exia_workspace_add_entry, path(directory, "directory"),
            text(name, "an entry point"), text(found, f"entry point {name!r}"),
        )  # fmt: skip


def pack(
    workspace: str | os.PathLike[str],
    file: str | os.PathLike[str] | None = None,
    *,
    level: int = 0,
) -> str:
    """Pack a workspace; the same input gives the same bytes.

    Parameters
    ----------
    file
        None: NAME-VERSION-TAG.veda in the working directory.
    level
        Of zstd, 1 to 19; 0: 3.

    Returns
    -------
    str
        The file that was written.
    """
    options = ffi.new("exia_pack_options *")
    options.struct_size = ffi.sizeof("exia_pack_options")
    options.level = integer(level, "level", 0, 2**31 - 1)
    out = ffi.new("char **")
    with Job() as job:
        call(
            lib.exia_package_write, out, path(workspace, "workspace"), path_or_null(file, "file"),
            options, job.c,
        )  # fmt: skip
    return take_text(out)


class Package(Handle):
    """An open package file: its index, metadata and record are checked, its payload is not yet.

    Examples
    --------
    >>> import tempfile
    >>> directory = tempfile.mkdtemp()
    >>> new_workspace(directory + "/w", "hello")
    >>> package = Package(pack(directory + "/w", directory + "/hello.veda"))
    >>> package.verify()
    >>> [row["path"] for row in package.files]
    ['veda.json']
    """

    __slots__ = ("file",)

    def __init__(self, file: str | os.PathLike[str]) -> None:
        out = ffi.new("exia_package **")
        call(lib.exia_package_open, out, path(file, "file"))
        super().__init__(out[0], lib.exia_package_free)
        self.file = os.fspath(file)

    @property
    def metadata(self) -> dict[str, Any]:
        """The manifest, the digest, the compression."""
        with self._lock:
            return dict(json.loads(ffi.string(lib.exia_package_facts(self._c))))

    @property
    def files(self) -> Rows:
        """The members: rows {path, type, mode, size, sha256, target, component}."""
        with self._lock:
            return rows(lib.exia_package_files, self._c)

    def verify(self, quick: bool = False) -> None:
        """Read everything and compare it with the record; quick: not the payload.

        Raises
        ------
        CorruptError
            The text names the first member that is not as recorded.
        """
        options = ffi.new("exia_verify_options *")
        options.struct_size = ffi.sizeof("exia_verify_options")
        options.quick = flag(quick, "quick")
        with self._lock, Job() as job:
            call(lib.exia_package_verify, self._c, options, job.c)

    def unpack(self, directory: str | os.PathLike[str], pattern: str | None = None) -> None:
        """Unpack into a directory that is absent or empty: verified, and whole or not at all.

        Parameters
        ----------
        pattern
            Only members that match, or lie below a match; `*` crosses `/`.
        """
        with self._lock, Job() as job:
            call(
                lib.exia_package_unpack, self._c, path(directory, "directory"),
                text_or_null(pattern, "pattern"), job.c,
            )  # fmt: skip

    def _repr_html_(self) -> str:
        return self.files._repr_html_()

    def __repr__(self) -> str:
        return f"<exia.Package {self.file}>"
