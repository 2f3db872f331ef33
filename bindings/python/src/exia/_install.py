"""What is installed from packages: put there with all it needs, looked at, mended, taken away."""

from __future__ import annotations

import os
from typing import Any

from exia._arguments import flag, path, path_or_null, text, text_or_null
from exia._handle import Handle, call, owned, take_text
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, rows, take_rows


class Installs(Handle):
    """The part of a `Registry` that installs."""

    __slots__ = ()

    def install(
        self,
        package: str | None = None,
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
        package
            None, with `locked`: all that the lock file lists.
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
            The directory where it lies; of a whole lock file the one of all that is installed.

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
        package: str | None = None,
        source: str | os.PathLike[str] | None = None,
        *,
        upgrade: bool = False,
        lock: str | os.PathLike[str] | None = None,
        locked: bool = False,
    ) -> Rows:
        """Tell what install() would do; nothing changes.

        Returns
        -------
        Rows
            {name, version, tag, digest, from, size, passed_over}: what is needed first, the package
            last.  `from` is "installed", "here" or the source, `size` the bytes of the file, and
            `passed_over` says why a newer version does not go together with the rest.
        """
        out = ffi.new("exia_rows **")
        self._install(lib.exia_registry_plan, out, package, source, upgrade, lock, locked)
        return take_rows(out)

    def _install(
        self,
        function: Any,
        out: Any,
        package: str | None,
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
        options.keep_current = flag(keep_current, "keep_current")
        options.lock = kept = owned(path_or_null(lock, "lock"))
        if isinstance(source, os.PathLike):
            source = os.path.abspath(source)
        with Job() as job:
            call(
                function, out, self._c, text_or_null(package, "package"),
                text_or_null(source, "source"), options, job.c,
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

    def needs(self, package: str) -> Rows:
        """List what an installed package goes with, in the versions that `exia.load` takes.

        That is what was resolved for it when it was installed; where that is gone, the current
        version, else the best, but none that somebody among them does not admit.

        Returns
        -------
        Rows
            As of `installed`, each behind all that it needs, the package itself last.

        Raises
        ------
        NotFoundError
            It is not installed, or something that it needs is not.
        """
        return rows(lib.exia_registry_needs, self._c, text(package, "package"))

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
        return self._check(
            lib.exia_registry_check, quick, repair, source, text_or_null(package, "package")
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
        return self._check(
            lib.exia_registry_check_files, quick, repair, source, text_or_null(package, "package"),
            text_or_null(remote, "remote"),
        )  # fmt: skip

    def _check(
        self, function: Any, quick: bool, repair: bool, source: str | None, *which: Any
    ) -> Rows:
        options = ffi.new("exia_check_options *")
        options.struct_size = ffi.sizeof("exia_check_options")
        options.quick = flag(quick, "quick")
        options.repair = flag(repair, "repair")
        options.remote = kept = owned(text_or_null(source, "source"))
        with Job() as job:
            found = rows(function, self._c, *which, options, job.c)
        del kept
        return found

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
