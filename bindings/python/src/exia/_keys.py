"""Keys: who signs, and whose signatures count.

Keys are of ed25519; public ones and signatures are in the formats of minisign.  Whose count is in
the trust file, `trust.json` in the home of Exia unless another is named.
"""

from __future__ import annotations

import json
import os

from exia._arguments import path, path_or_null, text, text_or_null
from exia._handle import call, take_text
from exia._native import ffi, lib
from exia._rows import Rows, rows

File = str | os.PathLike[str]


def new_key(file: File | None = None, *, password: str | None = None) -> dict[str, str]:
    """Make a pair of keys: the secret one, and beside it the public one, `FILE.pub` for `FILE.pem`.

    It is not trusted by that.

    Parameters
    ----------
    file
        Of the secret key; only you can read it.  None: `key.pem` in the home of Exia.
    password
        Encrypts it; None: it is not encrypted.

    Returns
    -------
    dict
        id, key (the public one), secret_file, public_file.

    Raises
    ------
    ExistsError
        One of the files is there already.
    """
    out = ffi.new("char **")
    call(lib.exia_key_new, out, path_or_null(file, "file"), text_or_null(password, "password"))
    return dict(json.loads(take_text(out)))


def keys(trust: File | None = None) -> Rows:
    """List the keys of the trust file: rows {name, id, key, revoked, why}."""
    return rows(lib.exia_keys, path_or_null(trust, "trust"))


def trust_key(name: str, key: str | os.PathLike[str], *, trust: File | None = None) -> None:
    """From now on signatures of this key count, as those of `name`.

    Parameters
    ----------
    key
        A public key, "RW..." in all 56 letters, or the file that has it.

    Raises
    ------
    UntrustedError
        The key was revoked.
    ExistsError
        The name has another key, or the key another name.
    """
    where = path_or_null(trust, "trust")
    call(lib.exia_key_trust, where, text(name, "name"), path(key, "key"))


def revoke_key(name: str, why: str | None = None, *, trust: File | None = None) -> None:
    """From now on no signature of this key counts, whenever it was made.

    Parameters
    ----------
    name
        Its name, its id, or the public key itself.
    why
        For those who meet such a signature.
    """
    where = path_or_null(trust, "trust")
    call(lib.exia_key_revoke, where, text(name, "name"), text_or_null(why, "why"))
