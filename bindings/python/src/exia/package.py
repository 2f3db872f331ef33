"""Packages: a workspace packed into one `.veda` file, verified and unpacked."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

from exia._arguments import flag, integer, path, path_or_null, text, text_or_null
from exia._handle import Handle, call, owned, take_text
from exia._member import PIECE, Member, read_into
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, rows
from exia._signing import signing
from exia.errors import InvalidError


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
    unpack: bool = False,
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
    unpack
        The source is a .tar, .tar.gz, .tar.zst or .zip: what is in it goes to KIND/NAME.  What is
        absolute, leads out, or is no file, directory or link is refused.

    Raises
    ------
    ExistsError
        Something is there already.
    """
    into, what = path(directory, "directory"), path(source, "source")
    kind_of = text_or_null(kind, "kind")
    if not flag(unpack, "unpack"):
        call(lib.exia_workspace_add, into, what, kind_of, path_or_null(home, "home"))
    elif home is not None:
        raise InvalidError("an archive lies in no library: leave out `home`")
    else:
        with Job() as job:
            call(lib.exia_workspace_add_archive, into, what, kind_of, job.c)
    for name, found in (entry_points or {}).items():
        call(
            lib.exia_workspace_add_entry, into,
            text(name, "an entry point"), text(found, f"entry point {name!r}"),
        )  # fmt: skip


def pack(
    workspace: str | os.PathLike[str],
    file: str | os.PathLike[str] | None = None,
    *,
    level: int = 0,
    threads: int = 0,
    sign: bool = False,
    key: str | os.PathLike[str] | None = None,
    password: str | None = None,
    comment: str | None = None,
) -> str:
    """Pack a workspace; the same input gives the same bytes.

    Parameters
    ----------
    file
        None: NAME-VERSION-TAG.veda in the working directory.
    level
        Of zstd, 1 to 19; 0: 3.
    threads
        0: one a core; the bytes are the same with any number.
    sign
        As `exia.sign` would do it afterwards, which reads all of it once more; `key`, `password`
        and `comment` are as there.

    Returns
    -------
    str
        The file that was written.
    """
    options = ffi.new("exia_pack_options *")
    options.struct_size = ffi.sizeof("exia_pack_options")
    options.level = integer(level, "level", 0, 2**31 - 1)
    if not sign and (key, password, comment) != (None, None, None):
        raise TypeError("key, password and comment go with sign=True")
    out = ffi.new("char **")
    count = integer(threads, "threads", 0, 1024)
    with signing(key, password, comment, None) as how, Job(threads=count) as job:
        options.sign = how if flag(sign, "sign") else ffi.NULL
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

    Threads may share one.

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

    @classmethod
    def _taken(cls, raw: Any, file: str, trust: Any) -> Package:
        """Wrap what C opened."""
        package = cls.__new__(cls)
        Handle.__init__(package, raw, lib.exia_package_free)
        package.file, package._trust = file, trust
        return package

    @property
    def metadata(self) -> dict[str, Any]:
        """The manifest, the digest, the compression."""
        package = self._c  # whose text it is, whoever closes it meanwhile
        return dict(json.loads(ffi.string(lib.exia_package_facts(package))))

    @property
    def files(self) -> Rows:
        """The members: rows {path, type, mode, size, sha256, target, component}."""
        return rows(lib.exia_package_files, self._c)

    @property
    def signatures(self) -> Rows:
        """The signature, if there is one: a row {state, key, by, comment, why, signature}.

        The state is "good", "revoked", "unknown" (no key of the trust file made it) or "bad" (it is
        not of this package).
        """
        return rows(lib.exia_package_signatures, self._c, self._trust)

    def verify(
        self,
        quick: bool = False,
        *,
        path: str | os.PathLike[str] | None = None,
        require_signature: bool = False,
    ) -> None:
        """Read everything and compare it with the record; quick: not the payload.

        Parameters
        ----------
        path
            Only the member there, and what lies below it.
        require_signature
            It must be signed by a trusted key.  The trust file may require that of every package.

        Raises
        ------
        CorruptError
            The text names the first frame or member that is not as recorded.
        NotFoundError
            There is no such path in it.
        UntrustedError
            The signature is not of this package; or one is required, and there is none that counts.
        """
        options = ffi.new("exia_verify_options *")
        options.struct_size = ffi.sizeof("exia_verify_options")
        options.quick = flag(quick, "quick")
        options.path = kept = owned(path_or_null(path, "path"))
        options.require_signature = flag(require_signature, "require_signature")
        options.trust_file = self._trust
        with Job() as job:
            call(lib.exia_package_verify, self._c, options, job.c)
        del kept

    def unpack(
        self,
        directory: str | os.PathLike[str],
        pattern: str | None = None,
        *,
        component: str | os.PathLike[str] | None = None,
        sync: bool = True,
        require_signature: bool = False,
    ) -> None:
        """Unpack into a directory that is absent or empty: verified, and whole or not at all.

        Parameters
        ----------
        pattern
            Only members that match, or lie below a match; `*` crosses `/`.
        component
            Only what lies at this path, which the manifest lists as a component.
        sync
            False: a crash of the system just after may lose it.
        require_signature
            As for `verify`.
        """
        options = ffi.new("exia_unpack_options *")
        options.struct_size = ffi.sizeof("exia_unpack_options")
        kept = owned(text_or_null(pattern, "pattern")), owned(path_or_null(component, "component"))
        options.pattern, options.component = kept
        options.unsynced = not flag(sync, "sync")
        options.require_signature = flag(require_signature, "require_signature")
        options.trust_file = self._trust
        with Job() as job:
            call(
                lib.exia_package_unpack, self._c, path(directory, "directory"), options, job.c
            )  # fmt: skip

    def read(self, path: str | os.PathLike[str]) -> bytes:
        """Read one file, verified, without unpacking the rest.

        Parameters
        ----------
        path
            As the file is called; `files` shows it percent-encoded.

        Raises
        ------
        NotFoundError
            There is no such path in it.
        InvalidError
            It is a directory or a symbolic link.
        """
        raw, size = self._file(path)
        if size < 2:  # such objects are shared
            small = bytearray(size)
            read_into(self, small, raw, 0, size)
            return bytes(small)
        data = bytes(size)  # nobody else has it yet
        read_into(self, data, raw, 0, size)
        return data

    def open(self, path: str | os.PathLike[str]) -> BinaryIO:
        """Open one file for reading, at any position, without unpacking anything.

        What is read is compared with the digests of the frames that hold it; `verify` compares the
        file with the record.
        """
        raw, size = self._file(path)
        return io.BufferedReader(Member(self, raw, os.fspath(path), size), min(size, PIECE) or 1)

    def cat(self, path: str | os.PathLike[str], file: Any) -> None:
        """Write one file, in order, to what has a `fileno()`, or is a descriptor.

        What was written is good only when this returns: the digest is known last.
        """
        raw, _ = self._file(path)
        out = file if isinstance(file, int) else file.fileno()
        with Job() as job:
            call(lib.exia_package_cat, self._c, raw, integer(out, "file", 0, 2**31 - 1), job.c)

    def _file(self, name: str | os.PathLike[str]) -> tuple[bytes, int]:
        raw, size = path(name, "path"), ffi.new("uint64_t *")
        self.verify(quick=True)  # which judges the signature
        call(lib.exia_package_file_size, size, self._c, raw)
        return raw, size[0]

    def _repr_html_(self) -> str:
        return self.files._repr_html_()

    def __repr__(self) -> str:
        return f"<exia.Package {self.file}>"
