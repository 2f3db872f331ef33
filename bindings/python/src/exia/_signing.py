"""Signatures: how to sign, and for versions of models what is signed, by whom, and signing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from exia._arguments import path_or_null, text, text_or_null
from exia._handle import Handle, call, owned, take_text
from exia._native import ffi, lib
from exia._rows import Rows, rows


@contextmanager
def signing(
    key: str | os.PathLike[str] | None,
    password: str | None,
    comment: str | None,
    signature: str | None,
    message: str | None = None,
) -> Iterator[Any]:
    """Give the options for C; what they point to lives as long as the context."""
    options = ffi.new("exia_sign_options *")
    options.struct_size = ffi.sizeof("exia_sign_options")
    strings = [
        owned(path_or_null(key, "key")),
        owned(text_or_null(password, "password")),
        owned(text_or_null(comment, "comment")),
        owned(text_or_null(signature, "signature")),
        owned(text_or_null(message, "message")),
    ]
    options.secret_file, options.password, options.comment = strings[:3]
    options.signature, options.message = strings[3:]
    yield options


class Signed(Handle):
    """The part of a `Model` that tells who signed it."""

    __slots__ = ()

    @property
    def record(self) -> str:
        """What a signature is over: all that the version says of itself, as one canonical JSON."""
        out = ffi.new("char **")
        call(lib.exia_model_record, out, self._c)
        return take_text(out)

    @property
    def signatures(self) -> Rows:
        """Its signatures: rows {state, key, by, comment, why, library, signature}.

        The state is "good", "revoked", "unknown" (no key of the trust file made it) or "bad" (it is
        not of this version).  `library` is the id of the one in which it was signed.
        """
        return rows(lib.exia_model_signatures, self._c)


class Signer(Handle):
    """The part of a `Library` that signs."""

    __slots__ = ()

    def sign(
        self,
        selector: str,
        *,
        key: str | os.PathLike[str] | None = None,
        password: str | None = None,
        comment: str | None = None,
        signature: str | None = None,
        message: str | None = None,
    ) -> None:
        """Sign a version; every part is compared with its digest first.

        Where the key is trusted (`exia.trust_key`) the version's pickles are then loaded as one's
        own, wherever it lies.  The signature goes with it into exports and packages.

        Parameters
        ----------
        key
            The file of the secret key; None: `key.pem` in the home of Exia.
        password
            Of that file; None: it is not encrypted.
        comment
            One line, which is signed, too; None: "digits@7" and the time.
        signature
            One made elsewhere over `Model.record`, such as by minisign; its key must be trusted.
        message
            Why; goes into the history.

        Raises
        ------
        DeniedError
            The password is missing or wrong, or others may read the key.
        UntrustedError
            The signature given is not of this version, or by no key that is trusted.
        """
        with signing(key, password, comment, signature, message) as options:
            call(lib.exia_model_sign, self._c, text(selector, "selector"), options)
