"""The cache of blobs that were read of remote stores."""

from __future__ import annotations

import json
from typing import Any

from exia._handle import call, take_text
from exia._native import ffi, lib


def cache(*, clear: bool = False) -> dict[str, Any]:
    """Tell what is kept on this machine of what was read of remote stores.

    Parameters
    ----------
    clear
        Remove first what nobody uses just now, in whichever process.

    Returns
    -------
    dict
        directory, limit (bytes that it may hold), bytes, blobs, freed.

    Raises
    ------
    UnsupportedError
        There is none; the text says why.
    """
    out = ffi.new("char **")
    call(lib.exia_cache_clear if clear else lib.exia_cache_show, out)
    return dict(json.loads(take_text(out)))
