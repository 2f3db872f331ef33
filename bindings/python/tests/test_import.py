"""Models made elsewhere: files, directories, joblib, pickles, exported versions, MLflow."""

from __future__ import annotations

import bz2
import json
import lzma
import os
import pickle
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exia
from exia import _pickles

joblib = pytest.importorskip("joblib")


def did(rows: exia.Rows) -> list[tuple[Any, ...]]:
    return [(row["do"], row["name"], row["version"]) for row in rows]


def allow(home: Path, *packages: str, constructors: tuple[str, ...] = ()) -> None:
    home.mkdir(parents=True, exist_ok=True)
    policy = {"format": 1, "packages": [*packages], "constructors": [*constructors]}
    (home / "trust.json").write_text(json.dumps(policy))


class Touch:
    """Pickles into a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.path}'",)


# ---- bad input ----------------------------------------------------------------------------------


def test_a_path_that_is_not_there_is_told(library: exia.Library, tmp_path: Path) -> None:
    with pytest.raises(exia.NotFoundError, match=r"there is no .*nothing"):
        library.import_from(tmp_path / "nothing")
    with pytest.raises(TypeError, match="source must be a path"):
        library.import_from(3)  # type: ignore[arg-type]


def test_trust_without_convert_is_refused(library: exia.Library, tmp_path: Path) -> None:
    with pytest.raises(exia.InvalidError, match="convert=True"):
        library.import_from(tmp_path, trust=True)


def test_a_name_that_cannot_be_a_models_is_told(library: exia.Library, tmp_path: Path) -> None:
    (tmp_path / "模型.onnx").write_bytes(b"x")
    with pytest.raises(exia.InvalidError, match="makes no name of a model"):
        library.import_from(tmp_path / "模型.onnx")
    assert did(library.import_from(tmp_path / "模型.onnx", name="model")) == [
        ("imported", "model", 1)
    ]


def test_a_pipe_neither_blocks_nor_comes(library: exia.Library, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    os.mkfifo(files / "pipe.pkl")
    (files / "模型.onnx").write_bytes(b"x")
    (files / "x.onnx").write_bytes(b"x")
    rows = library.import_from(files)
    assert [row["do"] for row in rows] == ["left", "imported", "left"]
    assert "no regular file" in rows[0]["why"]


def test_what_does_not_look_like_a_model_is_left_and_told(
    library: exia.Library, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "readme.md").write_text("words")
    (files / "a.onnx").write_bytes(b"a")
    (files / ".hidden.onnx").write_bytes(b"h")
    rows = library.import_from(files)
    assert did(rows) == [("imported", "a", 1), ("left", None, None)]
    assert rows[1]["source"] == str(files / "readme.md")
    assert did(library.import_from(files / "readme.md")) == [("imported", "readme.md", 1)]


def test_a_broken_safetensors_file_is_left_and_told(library: exia.Library, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "empty.safetensors").write_bytes(b"")
    (files / "noise.safetensors").write_bytes(b"noise" * 10)
    (files / "good.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    rows = library.import_from(files)
    assert [row["do"] for row in rows] == ["left", "imported", "left"]
    assert all("no safetensors file" in rows[i]["why"] for i in (0, 2))
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(exia.InvalidError, match="no regular file"):
        library.import_from(tmp_path / "pipe.safetensors")


# ---- names and versions -------------------------------------------------------------------------


def test_names_and_the_order_of_versions_come_from_the_paths(
    library: exia.Library, tmp_path: Path
) -> None:
    root = tmp_path / "zoo"
    files = ["fraud_v10.onnx", "fraud_v2.onnx", "fraud-v1.5.onnx", "resnet50.onnx"]
    files += ["churn/2/model.onnx", "churn/10/model.onnx", "churn/v1/weights.pkl"]
    files += ["model.onnx", "a b.onnx"]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(file.encode())
    library.import_from(root)
    came = {name: [] for name in ("fraud", "churn", "resnet50", "zoo", "a-b")}
    for row in library.search("order by version"):
        came[row["name"]].append(str(Path(row["tags"]["import.source"]).relative_to(root)))
    assert came == {
        "fraud": ["fraud-v1.5.onnx", "fraud_v2.onnx", "fraud_v10.onnx"],
        "churn": ["churn/v1/weights.pkl", "churn/2/model.onnx", "churn/10/model.onnx"],
        "resnet50": ["resnet50.onnx"],
        "zoo": ["model.onnx"],
        "a-b": ["a b.onnx"],
    }


def test_a_name_given_makes_all_versions_of_one(library: exia.Library, tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    for name in ("b9.onnx", "b10.onnx", "a.onnx"):
        (root / name).write_bytes(name.encode())
    library.import_from(root, name="one")
    order = [bytes(library.read(f"one@{version}")) for version in (1, 2, 3)]
    assert order == [b"a.onnx", b"b9.onnx", b"b10.onnx"]


# ---- again --------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_tells_what_would_be(
    library: exia.Library, tmp_path: Path
) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(b"bytes")
    assert did(library.import_from(file, dry_run=True)) == [("import", "x", None)]
    assert library.search() == []
    files = [p for p in (tmp_path / "library").rglob("*") if p.is_file()]
    assert not [p for p in files if p.stat().st_size == 5]
    library.import_from(file)
    assert did(library.import_from(file, dry_run=True)) == [("there", "x", 1)]


def test_again_changes_nothing_wherever_the_file_lies(
    library: exia.Library, tmp_path: Path
) -> None:
    first, second = tmp_path / "a" / "x.onnx", tmp_path / "b" / "x.onnx"
    for file in (first, second):
        file.parent.mkdir()
        file.write_bytes(b"bytes")
    assert did(library.import_from(first)) == [("imported", "x", 1)]
    assert did(library.import_from(second)) == [("there", "x", 1)]
    assert len(library.history("x")) == 1
    second.write_bytes(b"other")
    assert did(library.import_from(second)) == [("imported", "x", 2)]
    assert did(library.import_from(first)) == [("there", "x", 1)]


def test_what_was_removed_comes_again(library: exia.Library, tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(b"bytes")
    library.import_from(file)
    library.remove("x", 1)
    assert did(library.import_from(file)) == [("imported", "x", 2)]


def test_ones_own_version_of_the_same_bytes_does_not_stand_for_an_import(
    library: exia.Library, tmp_path: Path
) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"a": 1}))
    library.write("x", file)
    assert did(library.import_from(file)) == [("imported", "x", 2)]
    with library.open("x@1") as own, library.open("x@2") as foreign:
        assert own.policy == {"trusted": True}
        assert not foreign.policy["trusted"]
    library.write("x", {"later": "own"})
    assert library.read("x@3") == {"later": "own"}


# ---- pickles ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pkl", "joblib"])
@pytest.mark.parametrize("convert", [False, True])
def test_an_evil_pickle_never_runs(
    library: exia.Library, tmp_path: Path, suffix: str, convert: bool
) -> None:
    touched, file = tmp_path / "touched", tmp_path / f"evil.{suffix}"
    file.write_bytes(pickle.dumps(Touch(touched)))
    if convert:
        with pytest.raises(exia.UntrustedError, match="no policy can allow"):
            library.import_from(file, convert=True)
        assert library.search() == []
    else:
        library.import_from(file)
        with pytest.raises(exia.UntrustedError, match=r"it was imported from .*evil"):
            library.read("evil")
    assert not touched.exists()


def test_the_policy_lists_what_an_imported_pickle_may_do(
    library: exia.Library, tmp_path: Path, home: Path
) -> None:
    file = tmp_path / "arrays.pkl"
    file.write_bytes(pickle.dumps({"a": np.arange(5)}))
    library.import_from(file)
    with pytest.raises(exia.UntrustedError, match='"numpy"'):
        library.read("arrays")
    allow(home, "numpy")
    assert library.read("arrays")["a"].tolist() == [0, 1, 2, 3, 4]


ARRAYS = [
    np.arange(12.0).reshape(3, 4),
    np.asfortranarray(np.arange(12).reshape(3, 4)),
    np.zeros((0, 3)),
    np.array(7.5),
    np.array(["2026-01-31"], "datetime64[D]"),
    np.array([1, 2], ">i4"),
    np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
    np.array(["x", None, 3], object),
]


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3)])
def test_joblib_files_are_read_by_the_policy_as_joblib_reads_them(
    library: exia.Library, tmp_path: Path, home: Path, compress: Any
) -> None:
    allow(home, "numpy")
    joblib.dump({"n": 1, "arrays": ARRAYS, "after": "text"}, tmp_path / "m.joblib", compress)
    library.import_from(tmp_path / "m.joblib")
    back = library.read("m")
    assert (back["n"], back["after"]) == (1, "text")
    for array, twin in zip(ARRAYS, back["arrays"], strict=True):
        assert (twin.dtype, twin.shape) == (array.dtype, array.shape)
        assert twin.flags.f_contiguous == array.flags.f_contiguous
        assert twin.tolist() == array.tolist()
        assert twin.flags.writeable


def test_a_file_of_joblib_with_another_name_is_known_by_what_it_holds(
    library: exia.Library, tmp_path: Path, home: Path
) -> None:
    allow(home, "numpy")
    joblib.dump(np.arange(3), tmp_path / "m.pkl")
    library.import_from(tmp_path / "m.pkl")
    assert library.read("m").tolist() == [0, 1, 2]


def test_an_array_of_objects_in_a_joblib_file_is_a_pickle_that_the_policy_sees(
    library: exia.Library, tmp_path: Path, home: Path
) -> None:
    allow(home, "numpy", "joblib")
    touched = tmp_path / "touched"
    joblib.dump(np.array([Touch(touched), 1], object), tmp_path / "evil.joblib")
    library.import_from(tmp_path / "evil.joblib")
    with pytest.raises(exia.UntrustedError, match="no policy can allow"):
        library.read("evil")
    assert not touched.exists()


def test_broken_files_of_joblib_say_so(library: exia.Library, tmp_path: Path, home: Path) -> None:
    allow(home, "numpy")
    joblib.dump(np.arange(100.0), tmp_path / "whole.joblib")
    whole = (tmp_path / "whole.joblib").read_bytes()
    broken = {
        "short": whole[:-200],
        "start": whole[:40],
        "none": b"",
        "zip": zlib.compress(whole)[:-20],
        "noise": b"\x80\x05\xff\xff\xff",
        "huge": whole.replace(b"Kd\x85", b"J\xff\xff\xff\x7f\x85"),
    }
    assert broken["huge"] != whole
    for name, stream in broken.items():
        file = tmp_path / f"{name}.joblib"
        file.write_bytes(stream)
        library.import_from(file)
        with pytest.raises(exia.CorruptError, match=f"{name}@1"):
            library.read(name)
    (tmp_path / "lz.joblib").write_bytes(b"\x04\x22\x4d\x18rest")
    library.import_from(tmp_path / "lz.joblib")
    with pytest.raises(exia.UnsupportedError, match="LZ4"):
        library.read("lz")


@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_a_small_file_of_joblib_that_grows_without_end_is_not_taken(
    library: exia.Library, tmp_path: Path, home: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(home, "numpy")
    joblib.dump(np.zeros(8 << 20), tmp_path / "m.joblib", (kind, 3))
    size = (tmp_path / "m.joblib").stat().st_size
    library.import_from(tmp_path / "m.joblib")
    assert not library.read("m").any()  # small enough, however much it grows
    monkeypatch.setattr(_pickles, "GROWTH", 1)
    monkeypatch.setattr(_pickles, "GROWTH_FREE", 4 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(exia.UnsupportedError, match=f"m@1.*{size} bytes.*more than"):
            library.read("m")
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_a_stream_that_ends_where_the_cap_is_was_not_too_much(
    library: exia.Library, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(home, "numpy")
    monkeypatch.setattr(_pickles, "GROWTH", 0)
    plain = pickle.dumps([7] * 100_000)
    monkeypatch.setattr(_pickles, "GROWTH_FREE", len(plain))
    for name, compress in ("z", zlib.compress), ("b", bz2.compress), ("x", lzma.compress):
        (tmp_path / f"{name}.joblib").write_bytes(compress(plain))
        library.import_from(tmp_path / f"{name}.joblib")
        assert library.read(name) == [7] * 100_000


def test_a_fitted_model_of_scikit_learn_comes_by_joblib_and_predicts(
    library: exia.Library, tmp_path: Path, home: Path
) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    x = np.random.default_rng(1).normal(size=(60, 4))
    forest = ensemble.RandomForestClassifier(5, random_state=0).fit(x, x[:, 0] > 0)
    joblib.dump(forest, tmp_path / "forest.joblib", compress=3)
    allow(home, "sklearn", "numpy")
    library.import_from(tmp_path / "forest.joblib")
    assert (library.read("forest").predict(x) == forest.predict(x)).all()
    rows = library.import_from(tmp_path / "forest.joblib", name="fast", convert=True)
    assert did(rows) == [("imported", "fast", 1)]
    with library.open("fast") as model:
        assert model.parts["model"]["format"] == "safetensors"
        assert "scikit-learn" in model.requirements
        assert (model.read().predict(x) == forest.predict(x)).all()


# ---- convert ------------------------------------------------------------------------------------


def test_convert_writes_the_object_once_and_keeps_its_origin(
    library: exia.Library, tmp_path: Path
) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"a": 1, "b": [1, 2]}))
    assert did(library.import_from(file, convert=True, dry_run=True)) == [("import", "x", None)]
    assert did(library.import_from(file, convert=True)) == [("imported", "x", 1)]
    assert did(library.import_from(file, convert=True)) == [("there", "x", 1)]
    with library.open("x") as model:
        assert not model.policy["trusted"]
        assert model.read() == {"a": 1, "b": [1, 2]}


def test_trust_loads_what_no_policy_allows(library: exia.Library, tmp_path: Path) -> None:
    touched, file = tmp_path / "touched", tmp_path / "mine.pkl"
    file.write_bytes(pickle.dumps(Touch(touched)))
    assert did(library.import_from(file, convert=True, trust=True)) == [("imported", "mine", 1)]
    assert touched.exists()


# ---- exported versions --------------------------------------------------------------------------


def test_every_kind_goes_out_as_a_directory_and_comes_in_again(
    library: exia.Library, tmp_path: Path, home: Path
) -> None:
    allow(home, "numpy", constructors=("collections.OrderedDict",))
    file = tmp_path / "x.onnx"
    file.write_bytes(b"onnx")
    joblib.dump(np.arange(4), tmp_path / "j.joblib")
    kinds: dict[str, Any] = {
        "array": np.arange(3.0),
        "arrays": {"w": np.ones((2, 2)), "b": np.zeros(2)},
        "object": {"big": np.arange(10_000), "small": {"a": (1, 2)}},
        "bytes": b"some",
        "file": file,
    }
    metrics = {"auc": 0.5, "loss": float("inf")}
    for name, obj in kinds.items():
        library.write(name, obj, metrics=metrics, tags={"t": name}, params={"p": [1]})
    library.import_from(tmp_path / "j.joblib")
    library.write("parts", b"one", parts={"two": np.arange(3), "three": b"3"})
    names = [*kinds, "j", "parts"]
    (tmp_path / "out").mkdir()
    for name in names:
        library.export(name, tmp_path / "out" / name)
    there = exia.Library(tmp_path / "there")
    assert did(there.import_from(tmp_path / "out")) == [("imported", n, 1) for n in sorted(names)]
    assert did(there.import_from(tmp_path / "out")) == [("there", n, 1) for n in sorted(names)]
    for name in names:
        with library.open(name) as before, there.open(name) as after:
            assert before.parts == after.parts
            assert not after.policy["trusted"]
            for key in ("metrics", "params", "imports", "environment"):
                assert before.facts[key] == after.facts[key]
            for part in before.parts:
                one, other = before.read(part), after.read(part)
                assert repr(one) == repr(other) or bytes(one) == bytes(other)


def test_an_exported_version_that_was_altered_is_left_and_told(
    library: exia.Library, tmp_path: Path
) -> None:
    library.write("x", b"bytes")
    root = tmp_path / "out"
    root.mkdir()
    library.export("x", root / "x")
    (root / "good.onnx").write_bytes(b"good")
    (root / "x" / "model").chmod(0o600)
    (root / "x" / "model").write_bytes(b"BYTES")
    rows = library.import_from(root)
    assert did(rows) == [("imported", "good", 1), ("left", None, None)]
    assert "SHA-256" in rows[1]["why"] or "digest" in rows[1]["why"]


# ---- MLflow -------------------------------------------------------------------------------------


def test_a_store_of_mlflow_without_mlflow_says_what_is_missing(
    library: exia.Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    (tmp_path / "mlruns").mkdir()
    with pytest.raises(exia.UnsupportedError, match="pip install mlflow"):
        library.import_from(tmp_path / "mlruns")
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\0" + struct.pack("<H", 1))
    with pytest.raises(exia.UnsupportedError, match="pip install mlflow"):
        library.import_from(tmp_path / "mlflow.db")


@pytest.mark.filterwarnings("ignore")  # of mlflow's own
@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_registered_models_of_mlflow_come_with_runs_and_aliases(
    library: exia.Library,
    tmp_path: Path,
    home: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("sklearn")
    mlflow = pytest.importorskip("mlflow", reason="mlflow is in the environment of the benchmarks")
    linear = pytest.importorskip("sklearn.linear_model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    source = tmp_path / ("mlflow.db" if kind == "sqlite" else "mlruns")
    uri = f"sqlite:///{source}" if kind == "sqlite" else source.as_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    x = np.arange(10.0).reshape(-1, 1)
    for depth in (1, 2):
        with mlflow.start_run():
            mlflow.log_params({"depth": depth})
            mlflow.log_metrics({"auc": 0.5 + depth / 10})
            mlflow.set_tag("team", "cv")
            model = linear.LinearRegression().fit(x, depth * x[:, 0])
            mlflow.sklearn.log_model(
                model, name="m", registered_model_name="churn model",
                pip_requirements=["scikit-learn==1.3.0"], serialization_format="pickle",
            )  # fmt: skip
    client = mlflow.tracking.MlflowClient()
    client.set_registered_model_alias("churn model", "champion", "1")
    client.set_registered_model_alias("churn model", "latest-good", "2")
    client.set_model_version_tag("churn model", "1", "checked", "yes")

    assert did(library.import_from(source, dry_run=True)) == [("import", "churn-model", None)] * 2
    assert did(library.import_from(source)) == [("imported", "churn-model", v) for v in (1, 2)]
    assert did(library.import_from(source)) == [("there", "churn-model", v) for v in (1, 2)]
    row = library.search("tags.checked = 'yes'")[0]
    assert (row["version"], row["metrics"], row["params"]) == (1, {"auc": 0.6}, {"depth": "1"})
    assert row["aliases"] == ["champion"]
    assert (row["tags"]["team"], row["tags"]["mlflow.version"]) == ("cv", "churn model/1")
    assert library.search("order by metrics.auc desc limit 1")[0]["version"] == 2
    with pytest.raises(exia.UntrustedError):
        library.read("churn-model@champion")
    allow(home, "sklearn", "numpy")
    assert library.read("churn-model@2").predict([[3.0]])[0] == pytest.approx(6.0)
    assert "scikit-learn==1.3.0" in library.requirements("churn-model@1")
    library.alias("churn-model", "champion", 2)
    rows = library.import_from(source)
    assert "champion stays" in rows[0]["why"]
    assert library.open("churn-model@champion").version == 2
