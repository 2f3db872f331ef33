"""Models made elsewhere into a library: files, directories of them, exported versions, MLflow.

Everything found becomes a `Found` first; then all are published in their order, or only told.  What
came so bears its origin, so that its pickles go by the policy, and the same parts come once.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from exia import _environment, _objects, _pickles
from exia._arguments import flag, path, text, text_or_null
from exia._handle import Handle, call, take_text
from exia._model import open_model
from exia._native import ffi, lib
from exia._objects import Encoded
from exia._rows import Rows, rows
from exia._tensors import parse
from exia._write import publish
from exia.errors import CorruptError, ExiaError, InvalidError, NotFoundError

FORMATS = {
    ".safetensors": "safetensors", ".onnx": "onnx", ".joblib": "joblib", ".pkl": "pickle",
    ".pickle": "pickle",
}  # fmt: skip
EXPORTED = "version.json"  # in the directory of an exported version

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
MARKED = re.compile(r"(?P<name>.+?)[-_. ]?[-_. ][vV](?P<version>\d+(\.\d+)*)")  # fraud_v1.2
VERSION = re.compile(r"[vV]?(?P<version>\d+(\.\d+)*)")  # a directory or file called v3, or 3
GENERAL = {"model", "models", "weights"}  # they name nothing: what holds them does


class Found(NamedTuple):
    """One version to be."""

    name: str  # what it is called there
    order: tuple[tuple[int, ...], tuple[Any, ...]]  # among the versions of its model
    source: str
    parts: dict[str, Encoded]
    facts: dict[str, Any] = {}  # noqa: RUF012
    aliases: tuple[str, ...] = ()


class Left(NamedTuple):
    """What stays where it is, and why."""

    source: str
    why: str


class Imports(Handle):
    """The part of a `Library` that takes in what was made elsewhere."""

    __slots__ = ()

    def import_from(
        self,
        source: str | os.PathLike[str],
        *,
        name: str | None = None,
        dry_run: bool = False,
        convert: bool = False,
        trust: bool = False,
    ) -> Rows:
        """Take in models that something else wrote; again changes nothing.

        A file keeps its bytes and becomes the part "model".  No pickle is loaded, unless to be
        converted; what is read later goes by the trust policy, wherever the library lies, for it
        is from elsewhere.

        Parameters
        ----------
        source
            A file; a directory that is searched for files of safetensors, ONNX, joblib and pickle
            and for versions that `export` wrote; or the local store of MLflow, `mlruns` or its
            SQLite database, of which all registered models come, with the metrics, parameters and
            tags of their runs, and aliases that are not here yet.
        name
            Of the model, of which all that is found becomes versions.  None: by the file,
            "fraud_v2.pkl" is of "fraud", as is "fraud/2/model.pkl"; the versions are sorted.
        dry_run
            Change nothing, tell what would be done.
        convert
            Load pickle and joblib files, as far as the policy allows, and write the objects, which
            are then read without a copy.
        trust
            Load what is to be converted without asking the policy: you know who wrote it.

        Returns
        -------
        Rows
            {do, name, version, source, why}: do is "imported" (of a dry run "import"), "there"
            (this version has it already), or "left".

        Raises
        ------
        NotFoundError
            There is no such file or directory.
        UnsupportedError
            It is MLflow's, which is not installed here.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from exia import Library
        >>> files = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (files / "fraud_v1.onnx").write_bytes(b"one")
        >>> _ = (files / "fraud_v2.onnx").write_bytes(b"two")
        >>> library = Library(tempfile.mkdtemp())
        >>> [(row["do"], row["name"], row["version"]) for row in library.import_from(files)]
        [('imported', 'fraud', 1), ('imported', 'fraud', 2)]
        >>> [(row["do"], row["name"], row["version"]) for row in library.import_from(files)]
        [('there', 'fraud', 1), ('there', 'fraud', 2)]
        """
        text_or_null(name, "name")
        one = {"dry": flag(dry_run, "dry_run"), "convert": flag(convert, "convert")}
        if flag(trust, "trust") and not convert:
            raise InvalidError("`trust` is about what is converted: say convert=True, too")
        found = list(_find(source))
        versions = [f for f in found if isinstance(f, Found)]
        versions.sort(key=lambda f: (name or f.name, f.order))
        answer = Rows()
        for version in versions:
            try:
                named = version._replace(name=_clean(version.name) if name is None else name)
                answer.append(self._import(named, **one, trust=bool(trust)))
            except ExiaError as error:
                if len(found) == 1:
                    raise
                answer.append(_row("left", version.source, why=str(error)))
        answer += [_row("left", f.source, why=f.why) for f in found if isinstance(f, Left)]
        return answer

    def _import(self, found: Found, *, dry: bool, convert: bool, trust: bool) -> dict[str, Any]:
        model = found.parts.get("model")
        if convert and model is not None and model.format in _pickles.FORMATS:
            return self._convert(found, model, dry, trust)
        if model is not None and model.format == "safetensors" and model.path is not None:
            _check_tensors(model.path)
        facts = _facts(found)
        there = publish(self._c, found.name, found.parts, facts, dry_run=True)
        number = there
        if not there and not dry:
            number = publish(self._c, found.name, found.parts, facts)
        why = self._point(found, number) if number and not dry else None
        return _row(_did(there, dry), found.source, found.name, number or None, why)

    def _convert(self, found: Found, model: Encoded, dry: bool, trust: bool) -> dict[str, Any]:
        assert model.path is not None  # it was found as a file
        stream = memoryview(_read(model.path))
        digest = hashlib.sha256(stream).hexdigest()
        quoted = text(found.name, "name").decode().replace("'", "''")
        same = f"name = '{quoted}' and tags.\"import.sha256\" = '{digest}' limit 1"
        for row in rows(lib.exia_library_search, self._c, same.encode()):
            return _row("there", found.source, found.name, row["version"])
        if dry:
            return _row("import", found.source, found.name)
        policy = {"trusted": True} if trust else self._policy()
        encoded = _objects.encode(_pickles.read(stream, model.format, policy, found.source, digest))
        imports = sorted(encoded.imports)
        facts = _facts(found, {"import.sha256": digest}) | {
            "imports": imports,
            "environment": _environment.environment(imports),
        }
        number = publish(self._c, found.name, {"model": encoded}, facts)
        return _row("imported", found.source, found.name, number, f"converted from {model.format}")

    def _policy(self) -> dict[str, Any]:
        out = ffi.new("char **")
        call(lib.exia_library_policy, out, self._c)
        return dict(json.loads(take_text(out)))

    def _point(self, found: Found, number: int) -> str | None:
        """Let aliases that stand nowhere stand here; answers what is otherwise."""
        said = []
        for alias in found.aliases:
            try:
                call(
                    lib.exia_alias_move, self._c, text(found.name, "name"), text(alias, "alias"),
                    number, lib.EXIA_ABSENT, b"imported",
                )  # fmt: skip
            except ExiaError as error:
                held = f"{found.name}@{alias}"
                if not self._stands(held, number):
                    said.append(f"the alias {alias} stays as it is: {error}")
        return "; ".join(said) or None

    def _stands(self, selector: str, number: int) -> bool:
        out = ffi.new("exia_model **")
        try:
            call(lib.exia_model_open, out, self._c, selector.encode(), 0)
        except ExiaError:
            return False
        try:
            facts = json.loads(ffi.string(lib.exia_model_facts(out[0])))
        finally:
            lib.exia_model_free(out[0])
        return bool(facts["version"] == number)


def _did(there: int, dry: bool) -> str:
    return "there" if there else "import" if dry else "imported"


def _row(
    do: str,
    source: str,
    name: str | None = None,
    version: int | None = None,
    why: str | None = None,
) -> dict[str, Any]:
    return {"do": do, "name": name, "version": version, "source": source, "why": why}


def _facts(found: Found, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    origin = {"import.source": found.source}
    known = found.facts.get("tags", {})
    return found.facts | {"origin": found.source, "tags": known | origin | dict(tags or {})}


# ---- what there is ------------------------------------------------------------------------------


def _find(source: str | os.PathLike[str]) -> Iterator[Found | Left]:
    from exia import _mlflow

    uri = _mlflow.store(source)
    if uri is not None:
        yield from _mlflow.find(uri)
        return
    root = Path(os.fsdecode(path(source, "source")))
    if not root.exists():
        raise NotFoundError(f"there is no {root}")
    root = root.absolute()
    if not root.is_dir():
        yield _file(root, root.parent)
    elif (root / EXPORTED).is_file():
        yield _exported(root)
    else:
        yield from _directory(root)


def _directory(root: Path) -> Iterator[Found | Left]:
    for place, directories, files in os.walk(root):
        here = Path(place)
        directories[:] = sorted(d for d in directories if not d.startswith("."))
        if EXPORTED in files:
            directories.clear()
            try:
                yield _exported(here)
            except ExiaError as error:
                yield Left(shown(here), str(error))
            continue
        for file in sorted(f for f in files if not f.startswith(".")):
            if (here / file).suffix.lower() in FORMATS:
                yield _file(here / file, root)
            else:
                yield Left(shown(here / file), "its name does not tell a model; give it by itself")


def _file(file: Path, root: Path) -> Found:
    format = FORMATS.get(file.suffix.lower(), "file")
    name, version = _name(file, root)
    return Found(
        name, (version, _natural(file)), shown(file), {"model": Encoded(format, path=file)}
    )


def _name(file: Path, root: Path) -> tuple[str, tuple[int, ...]]:
    """Tell the model's name and the version that a file's path speaks of."""
    version: tuple[int, ...] = ()
    known = file.suffix.lower() in FORMATS
    words = [file.stem if known else file.name, *reversed(file.relative_to(root).parts[:-1])]
    for word in [*words, root.name]:
        marked, bare = MARKED.fullmatch(word), VERSION.fullmatch(word)
        if bare is not None:
            version = version or _numbers(bare)
            continue
        if marked is not None:
            version = version or _numbers(marked)
            word = marked["name"]
        if word.lower() not in GENERAL:
            return word, version
    return words[0], version


def _numbers(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in match["version"].split("."))


def _natural(file: Path) -> tuple[Any, ...]:
    """Sort "x10" behind "x9"."""
    words = re.split(r"(\d+)", str(file))
    return tuple((int(w), "") if w.isdecimal() and w.isascii() else (-1, w) for w in words)


def _exported(directory: Path) -> Found:
    """Take a version that was exported, as the directory tells of it, with its bytes checked."""
    with open_model(directory, verify=True) as model:
        facts = model.facts
        kept = {key: facts[key] for key in ("tags", "metrics", "params", "imports") if facts[key]}
        if model.environment is not None:
            kept["environment"] = model.environment
        parts = {
            part["name"]: Encoded(part["format"], path=directory / part["name"])
            for part in facts["parts"]
        }
        return Found(
            model.name, ((model.version,), _natural(directory)), shown(directory), parts, kept
        )


def _check_tensors(file: Path) -> None:
    """Refuse a file whose header is not valid: it could not be read later."""
    _check_regular(file)
    try:
        with open(file, "rb") as opened:
            view = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: it is empty
        raise CorruptError(f"{file} is no safetensors file: {error}") from None
    with view, memoryview(view) as bytes_of:
        parse(bytes_of)


def _check_regular(file: Path) -> None:
    if file.exists() and not file.is_file():  # a pipe would block
        raise InvalidError(f"{file} is no regular file")


def _read(file: Path) -> bytes:
    _check_regular(file)
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFoundError(f"cannot read {file}: {error.strerror}") from None


def _clean(word: str) -> str:
    """Make a model's name out of what something is called elsewhere."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-.")[:128]
    if not NAME.fullmatch(name):
        raise InvalidError(f"{word!r:.100} makes no name of a model: give `name`")
    return name


def shown(where: Path | str) -> str:
    """Write a path as one line of text, whatever its bytes are."""
    line = os.fsencode(str(where)).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
