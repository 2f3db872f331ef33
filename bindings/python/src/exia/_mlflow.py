"""The registered models of MLflow's local store, read by MLflow itself."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exia._import import Found, Left, shown
from exia._objects import Encoded
from exia._write import numbers
from exia.errors import UnsupportedError

PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)")
MAGIC = b"SQLite format 3\0"
FILES = ("pickled_model", "model_data", "data", "model_path")  # what a flavor calls its file


def store(source: str | os.PathLike[str]) -> str | None:
    """Give the address of the store, if there is one."""
    if isinstance(source, str) and source.startswith(("sqlite:", "file:")):
        return source
    try:
        where = Path(os.fsdecode(source)).absolute()
        if where.is_dir():
            runs = where.name == "mlruns" or (where / "0" / "meta.yaml").is_file()
            return where.as_uri() if runs else None
        if not where.is_file():
            return None
        with open(where, "rb") as file:
            return f"sqlite:///{where}" if file.read(len(MAGIC)) == MAGIC else None
    except (OSError, TypeError, ValueError):
        return None


def find(uri: str) -> Iterator[Found | Left]:
    """List every version of every registered model, the oldest first."""
    client = _client(uri)
    for model in _pages(client.search_registered_models):
        held: dict[str, list[str]] = {}
        for alias, version in dict(model.aliases).items():
            held.setdefault(str(version), []).append(alias)
        quoted = model.name.replace("'", "''")
        versions = _pages(client.search_model_versions, filter_string=f"name='{quoted}'")
        for version in versions:
            source = f"{shown(uri)}#{model.name}/{version.version}"
            try:
                yield _version(client, version, source, tuple(held.get(str(version.version), ())))
            except Exception as error:  # a store in disorder fails in many ways; the rest goes on
                yield Left(source, f"MLflow cannot give it: {' '.join(str(error).split())[:200]}")


def _client(uri: str) -> Any:
    try:
        tracking = importlib.import_module("mlflow.tracking")
    except ImportError:
        raise UnsupportedError(
            f"{shown(uri)} is a store of MLflow's, which reads it: pip install mlflow"
        ) from None
    return tracking.MlflowClient(tracking_uri=uri, registry_uri=uri)


def _pages(search: Any, **arguments: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(page_token=token, **arguments)
        yield from page
        token = page.token
        if not token:
            return


def _version(client: Any, version: Any, source: str, aliases: tuple[str, ...]) -> Found:
    place = _place(client, version)
    tags = {key: str(value) for key, value in dict(version.tags).items()}
    facts: dict[str, Any] = {"tags": tags}
    if version.run_id:
        run = client.get_run(version.run_id)
        own = {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")}
        facts["metrics"] = numbers(run.data.metrics)
        facts["params"] = dict(run.data.params)
        facts["tags"] = own | tags | {"mlflow.run": version.run_id}
    facts["tags"]["mlflow.version"] = f"{version.name}/{version.version}"
    if version.description:
        facts["tags"]["mlflow.description"] = version.description
    facts["environment"] = _environment(place)
    return Found(version.name, ((int(version.version),), ()), source, _parts(place), facts, aliases)


def _place(client: Any, version: Any) -> Path:
    """Find the directory of a version's files, which is local."""
    artifacts = importlib.import_module("mlflow.artifacts")
    uri = client.get_model_version_download_uri(version.name, version.version)
    if uri.startswith(("http:", "https:", "s3:", "gs:", "dbfs:", "wasbs:", "hdfs:", "ftp:")):
        raise UnsupportedError(f"its files are at {uri}, and only local ones are taken")
    place = Path(artifacts.download_artifacts(artifact_uri=uri)).absolute()
    if not (place / "MLmodel").is_file():
        raise UnsupportedError(f"there is no MLmodel in {place}")
    return place


def _parts(place: Path) -> dict[str, Encoded]:
    """Name a part for each file; the model itself is the part "model"."""
    main = _main(place)
    parts: dict[str, Encoded] = {}
    for file in sorted(p for p in place.rglob("*") if p.is_file()):
        name = "model" if file == main else ".".join(file.relative_to(place).parts)
        format = {".pkl": "pickle", ".joblib": "joblib", ".onnx": "onnx"}.get(file.suffix, "file")
        if name in parts:
            raise UnsupportedError(f"two files of it would be the part {name}")
        parts[name] = Encoded(format, path=file)
    return parts


def _main(place: Path) -> Path | None:
    """Find the file that holds the model, as its flavors tell."""
    models = importlib.import_module("mlflow.models")
    for flavor in dict(models.Model.load(str(place)).flavors).values():
        for key in FILES:
            file = place / str(flavor.get(key, ""))
            if key in flavor and file.is_file():
                return file
    return None


def _environment(place: Path) -> dict[str, Any]:
    """Take the packages that MLflow pinned."""
    environment: dict[str, Any] = {"packages": {}}
    try:
        lines = (place / "requirements.txt").read_text().splitlines()
    except OSError:
        return environment
    for line in lines:
        pin = PIN.fullmatch(line.strip())
        if pin is not None:
            environment["packages"][pin[1]] = pin[2]
    return environment
