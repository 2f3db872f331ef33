"""Packages: a workspace packed into one `.veda` file, verified and unpacked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from exia._arguments import flag, integer, path, path_or_null, text, text_or_null
from exia._handle import Handle, call, owned, take_text
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, rows
from exia._signing import signing


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


def sign(
    file: str | os.PathLike[str],
    to: str | os.PathLike[str] | None = None,
    *,
    key: str | os.PathLike[str] | None = None,
    password: str | None = None,
    comment: str | None = None,
    signature: str | None = None,
    trust: str | os.PathLike[str] | None = None,
) -> None:
    """Sign a package file; all of it is verified first.

    The signature is over `VEDA/METADATA.json`, and by the digests in there over every file.  It
    takes the place of one that is there; the payload and the package's digest stay as they are.
    Signing the same package again gives the same bytes.

    Parameters
    ----------
    to
        Where the signed package goes; None: it replaces `file`.
    key
        The file of the secret key; None: `key.pem` in the home of Exia.
    password
        Of that file; None: it is not encrypted.
    comment
        One line, which is signed, too; None: "name@version#platform".
    signature
        One made elsewhere over `VEDA/METADATA.json`, such as by minisign; its key must be trusted.
    trust
        The trust file for that; None: `trust.json` in the home of Exia.

    Raises
    ------
    CorruptError
        The package does not verify.
    DeniedError
        The password is missing or wrong, or others may read the key.
    UntrustedError
        The signature given is not of this package, or by no key that is trusted.
    """
    with signing(key, password, comment, signature) as options, Job() as job:
        call(
            lib.exia_package_sign, path(file, "file"), path_or_null(to, "to"), options,
            path_or_null(trust, "trust"), job.c,
        )  # fmt: skip


class Package(Handle):
    """An open package file: its index, metadata and record are checked, its payload is not yet.

    Parameters
    ----------
    trust
        The file that says whose signatures count; None: `trust.json` in the home of Exia.

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

    __slots__ = ("_trust", "file")

    def __init__(
        self, file: str | os.PathLike[str], *, trust: str | os.PathLike[str] | None = None
    ) -> None:
        self._trust = owned(path_or_null(trust, "trust"))
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

    @property
    def signatures(self) -> Rows:
        """The signature, if there is one: a row {state, key, by, comment, why, signature}.

        The state is "good", "revoked", "unknown" (no key of the trust file made it) or "bad" (it is
        not of this package).
        """
        with self._lock:
            return rows(lib.exia_package_signatures, self._c, self._trust)

    def verify(self, quick: bool = False, *, require_signature: bool = False) -> None:
        """Read everything and compare it with the record; quick: not the payload.

        Parameters
        ----------
        require_signature
            It must be signed by a trusted key.  The trust file may require that of every package.

        Raises
        ------
        CorruptError
            The text names the first member that is not as recorded.
        UntrustedError
            The signature is not of this package; or one is required, and there is none that counts.
        """
        options = ffi.new("exia_verify_options *")
        options.struct_size = ffi.sizeof("exia_verify_options")
        options.quick = flag(quick, "quick")
        options.require_signature = flag(require_signature, "require_signature")
        options.trust_file = self._trust
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
