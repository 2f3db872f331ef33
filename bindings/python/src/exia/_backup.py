"""A model library to a directory or one file, and back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from exia._arguments import iterable, path, text
from exia._handle import Handle, owned
from exia._native import ffi, lib
from exia._progress import Job
from exia._rows import Rows, rows


class Backups(Handle):
    """The part of a `Library` that takes it elsewhere."""

    __slots__ = ()

    def backup(self, path: str | os.PathLike[str], *, models: Iterable[str] | None = None) -> Rows:
        """Back up the library while others write to it.

        Every model goes as it stood at one moment of the call.  A directory that holds a backup of
        this library gets what is new; it is a backup at all times, also when the call is killed.

        Parameters
        ----------
        path
            A directory, or one new file when it ends in `.tar.zst`.
        models
            The names of those that go; None: all.

        Returns
        -------
        Rows
            A row of {name, entries, new} for each model: entries of its log.

        Raises
        ------
        ExistsError
            The file is there; it is never written over.
        ConflictError
            The directory holds a backup of another library.

        Examples
        --------
        >>> import os, tempfile
        >>> from exia import Library
        >>> here, there = Library(tempfile.mkdtemp()), Library(tempfile.mkdtemp())
        >>> here.write("answer", b"42")
        1
        >>> file = os.path.join(tempfile.mkdtemp(), "models.tar.zst")
        >>> print(here.backup(file))
        name    entries  new
        answer  1        1
        >>> print(there.restore(file))
        name    entries  new
        answer  1        1
        >>> there.read("answer")
        b'42'
        """
        return self._move(lib.exia_library_backup, path, models)

    def restore(self, path: str | os.PathLike[str], *, models: Iterable[str] | None = None) -> Rows:
        """Bring a backup into this library, empty or not.

        A model that is not there comes as it was; one whose log is the beginning of the backup's
        gets the rest; again is no error.  What was restored is from elsewhere, so its pickles go
        by the policy, wherever the library lies.

        Parameters
        ----------
        path
            The directory or the file.
        models
            The names of those that come; None: all.

        Returns
        -------
        Rows
            A row of {name, entries, new} for each model: entries of its log.

        Raises
        ------
        ConflictError
            A model has other entries than the backup: nothing was changed.
        CorruptError
            It is no backup, or not what was written.
        """
        return self._move(lib.exia_library_restore, path, models)

    def _move(self, function: Any, where: Any, models: Iterable[str] | None) -> Rows:
        options = ffi.new("exia_backup_options *")
        options.struct_size = ffi.sizeof("exia_backup_options")
        names = None if models is None else iterable(models, "models")
        if names is not None:
            texts = [owned(text(name, "a model's name")) for name in names]
            array = ffi.new("char *[]", texts)
            options.models, options.model_count = array, len(texts)
        with Job() as job:
            return rows(function, self._c, path(where, "path"), options, job.c)
