"""Packages and all that they need as one file, and back."""

from __future__ import annotations

import os
from collections.abc import Iterable

from exia._arguments import flag, iterable, path, text, text_or_null
from exia._handle import Handle, call, owned, take_text
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, rows


class Bundles(Handle):
    """The part of a `Registry` that takes packages to a site without a network."""

    __slots__ = ()

    def export_bundle(
        self,
        packages: str | Iterable[str],
        file: str | os.PathLike[str],
        *,
        source: str | None = None,
        have: str | Iterable[str] | None = None,
        only: bool = False,
        platforms: str | Iterable[str] | None = None,
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
        platforms
            What it is for: tags, as "linux_aarch64", each with all that is needed there.  None:
            this platform, or that of the tag that a package is named with.

        Returns
        -------
        Rows
            {name, version, tag, digest, file, size, state}: "exported" or "left out".
        """
        names = [packages] if isinstance(packages, str) else iterable(packages, "packages")
        if have is not None and not isinstance(have, str):
            have = "\n".join(text(line, "have").decode() for line in iterable(have, "have"))
        if platforms is None:
            platforms = ()
        tags = [platforms] if isinstance(platforms, str) else iterable(platforms, "platforms")
        said = [owned(text(name, "packages")) for name in names]
        strings = owned(text_or_null(source, "source")), owned(text_or_null(have, "have"))
        tag_texts = [owned(text(tag, "platforms")) for tag in tags]
        tag_list = ffi.new("char *[]", tag_texts)
        options = ffi.new("exia_export_options *")
        options.struct_size = ffi.sizeof("exia_export_options")
        options.remote, options.have = strings
        options.only = flag(only, "only")
        options.platforms, options.platform_count = tag_list, len(tag_texts)
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
