"""The kinds of objects that people keep: each answers from the file as it did before."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import exia

np = pytest.importorskip("numpy")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

Keep = Callable[[Any], Any]


@pytest.fixture
def keep(library: exia.Library) -> Keep:
    """Write an object and read it again, and see that its file is one that others can read."""

    def there_and_back(obj: Any) -> Any:
        library.write("kept", obj)
        with library.open("kept") as model:
            assert "__pickle__" in safetensors_numpy.load(bytes(model.view()))
            read = model.read()
        assert type(read) is type(obj)
        return read

    return there_and_back


X = np.random.default_rng(0).random((300, 6))
Y = (X[:, 0] * 3).astype(int)

# ---- scikit-learn -------------------------------------------------------------------------------

ESTIMATORS = {
    "tree.DecisionTreeClassifier": {},
    "tree.DecisionTreeRegressor": {},
    "ensemble.RandomForestClassifier": {"n_estimators": 20},
    "ensemble.ExtraTreesRegressor": {"n_estimators": 20},
    "ensemble.GradientBoostingClassifier": {"n_estimators": 5},
    "ensemble.HistGradientBoostingRegressor": {"max_iter": 5},
    "ensemble.IsolationForest": {"n_estimators": 5},
    "svm.SVC": {},
    "svm.SVR": {},
    "svm.LinearSVC": {},
    "linear_model.LogisticRegression": {},
    "neighbors.KNeighborsClassifier": {"algorithm": "kd_tree"},
    "neighbors.KNeighborsRegressor": {"algorithm": "ball_tree"},
    "naive_bayes.GaussianNB": {},
    "cluster.KMeans": {"n_clusters": 3, "n_init": 1},
    "neural_network.MLPClassifier": {"max_iter": 5},
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_predicts_and_learns_as_before(name: str, keep: Keep) -> None:
    sklearn = pytest.importorskip("sklearn")
    module, _, kind = name.partition(".")
    estimator = getattr(__import__(f"sklearn.{module}", fromlist=[kind]), kind)(**ESTIMATORS[name])
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        warnings.filterwarnings("ignore", "Could not find the number of physical cores")
        twin = keep(estimator.fit(X, Y))
        for method in ("predict", "predict_proba", "decision_function"):
            if hasattr(estimator, method):
                assert np.array_equal(getattr(twin, method)(X), getattr(estimator, method)(X))
        assert np.array_equal(twin.fit(X, Y).predict(X), estimator.predict(X))


def test_a_pipeline_of_columns_predicts_as_before(keep: Keep) -> None:
    pytest.importorskip("sklearn")
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
    from sklearn.svm import SVC

    columns = make_column_transformer(
        (StandardScaler(), ["a", "b"]),
        (OneHotEncoder(), ["word"]),
        (FunctionTransformer(lambda x: x**2), ["c"]),
    )
    frame = pandas.DataFrame(X[:, :3], columns=["a", "b", "c"])
    frame["word"] = np.array(["x", "y", "z"])[Y]
    pipeline = make_pipeline(columns, SVC()).fit(frame, Y)
    assert np.array_equal(keep(pipeline).predict(frame), pipeline.predict(frame))


# ---- tables and matrices ------------------------------------------------------------------------


def test_a_table_of_all_kinds_of_columns_comes_back_equal(keep: Keep) -> None:
    pandas = pytest.importorskip("pandas")
    n = 2000
    table = pandas.DataFrame(
        {
            "int": range(n),
            "float": np.linspace(0, 1, n),
            "text": [f"row {i}" for i in range(n)],
            "category": pandas.Categorical(["a", "b"] * (n // 2)),
            "time": pandas.date_range("2020-01-01", periods=n, freq="h", tz="Europe/Berlin"),
            "delta": pandas.to_timedelta(range(n), unit="s"),
            "nullable": pandas.array([1, None] * (n // 2), dtype="Int64"),
            "flag": [True, False] * (n // 2),
            "objects": [{"i": i} for i in range(n)],
        }
    )
    table.index = pandas.MultiIndex.from_product([["p", "q"], range(n // 2)], names=["x", "y"])
    table.attrs["source"] = "made"
    twin = keep(table)
    pandas.testing.assert_frame_equal(twin, table)
    assert twin.attrs == table.attrs
    twin.loc[("p", 0), "float"] = 7.0  # as one may with any table
    assert twin["float"].iloc[0] == 7
    pandas.testing.assert_series_equal(keep(table["time"]), table["time"])


@pytest.mark.parametrize(
    "kind", ["csr_matrix", "csc_array", "coo_matrix", "bsr_array", "dok_array"]
)
def test_sparse_matrices_come_back_equal(kind: str, keep: Keep) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = getattr(sparse, kind)(sparse.random_array((500, 400), density=0.05, random_state=0))
    twin = keep(matrix)
    assert (twin != matrix).nnz == 0
    assert np.array_equal(twin @ np.ones(400), matrix @ np.ones(400))
    twin *= 2  # in place
    assert (twin != matrix * 2).nnz == 0


# ---- other frameworks ---------------------------------------------------------------------------


def test_boosters_of_xgboost_predict_as_before(keep: Keep) -> None:
    xgboost = pytest.importorskip("xgboost")
    classifier = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(X, Y)
    assert np.array_equal(keep(classifier).predict_proba(X), classifier.predict_proba(X))
    booster, data = classifier.get_booster(), xgboost.DMatrix(X)
    assert np.array_equal(keep(booster).predict(data), booster.predict(data))


def test_boosters_of_lightgbm_predict_as_before(keep: Keep) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    options = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(X, Y), 5)
    assert np.array_equal(keep(booster).predict(X), booster.predict(X))
    classifier = lightgbm.LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1).fit(X, Y)
    assert np.array_equal(keep(classifier).predict(X), classifier.predict(X))


def test_an_onnx_file_is_kept_as_it_is_and_a_graph_as_an_object(
    library: exia.Library, keep: Keep, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, n])
        for name, n in (("x", 4), ("y", 3))
    ]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [weights])
    made = onnx.helper.make_model(graph)
    onnx.save(made, tmp_path / "model.onnx")
    library.write("m", tmp_path / "model.onnx")
    with library.open("m") as model:
        assert bytes(model.view()) == (tmp_path / "model.onnx").read_bytes()
        assert model.path is not None
        onnx.checker.check_model(onnx.load(model.path))
    assert keep(made) == made


def test_a_state_dict_of_torch_shares_the_pages_of_the_file(keep: Keep) -> None:
    torch = pytest.importorskip("torch", reason="make test-torch installs it")
    net = torch.nn.Sequential(torch.nn.Linear(6, 500), torch.nn.BatchNorm1d(500))
    state = net.state_dict()
    twin = keep(state)
    assert list(twin) == list(state)
    assert twin._metadata == state._metadata
    assert all(twin[name].dtype == state[name].dtype for name in state)
    assert all(torch.equal(twin[name], state[name]) for name in state)
    assert twin["0.weight"].data_ptr() % 64 == 0
    twin["0.weight"].add_(1)  # this mapping only
    net.load_state_dict(twin)
    assert torch.equal(net[0].weight, state["0.weight"])


def test_a_net_and_odd_tensors_of_torch_come_back(keep: Keep) -> None:
    torch = pytest.importorskip("torch", reason="make test-torch installs it")
    net = torch.nn.Sequential(torch.nn.Linear(6, 500), torch.nn.ReLU(), torch.nn.Linear(500, 2))
    x = torch.ones(3, 6)
    twin = keep(net)
    assert torch.equal(twin(x), net(x))
    assert all(p.requires_grad for p in twin.parameters())
    twin(x).sum().backward()
    base = torch.arange(12.0).reshape(3, 4)
    odd = [
        base.T,
        base[:, 1:3],
        torch.zeros(0, 3),
        torch.tensor(7),
        torch.ones(2000, dtype=torch.bfloat16),
        torch.ones(2000, dtype=torch.complex64).conj(),
        torch.eye(3).to_sparse(),
        torch.ones(2000, requires_grad=True),
        torch.nn.Parameter(torch.ones(2000), requires_grad=False),
    ]
    for tensor, again in zip(odd, keep(odd), strict=True):
        assert type(again) is type(tensor)
        assert (again.dtype, again.requires_grad) == (tensor.dtype, tensor.requires_grad)
        assert torch.equal(again.to_dense(), tensor.to_dense())


# ---- numpy's corners ----------------------------------------------------------------------------

MANY = 3000  # elements: enough for a place of its own in the file

ARRAYS = {
    "plain": np.arange(float(MANY)),
    "empty": np.zeros((3, 0, 2)),
    "zero-dimensional": np.array(7.5),
    "fortran": np.asfortranarray(np.arange(float(MANY)).reshape(-1, 10)),
    "transposed": np.arange(MANY).reshape(10, 20, -1).transpose(1, 2, 0),
    "strided": np.arange(2 * MANY)[::-2],
    "other byte order": np.arange(MANY, dtype=">f8"),
    "objects": np.array([1, "two", None, [3]] * MANY, object),
    "structured": np.zeros(MANY, [("a", "<i4"), ("b", ">f8", (2,)), ("c", "S3")]),
    "aligned structure": np.zeros(MANY, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "structure with objects": np.array([(1, "x")] * MANY, [("a", int), ("b", object)]),
    "dates": np.arange("2020-01-01", "2029-01-01", dtype="datetime64[D]"),
    "durations": np.arange(MANY).astype("timedelta64[ms]"),
    "not a time": np.full(MANY, "NaT", "datetime64[ns]"),
    "texts": np.array(["a", "größe"] * MANY),
    "bytes": np.array([b"a", b"bc"] * MANY),
    "void": np.zeros(MANY, "V5"),
    "complex": np.full(MANY, 1 + 2j),
    "long double": np.full(MANY, np.longdouble(1) / 3),
    "half": np.arange(MANY).astype(np.float16),
    "masked": np.ma.masked_less(np.arange(MANY), 5),
    "record": np.rec.fromarrays([np.arange(MANY), np.ones(MANY)], names="a,b"),
}


def values(array: Any) -> Any:
    return array.tolist() if array.dtype.hasobject else array.tobytes()


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_in_an_object_comes_back_as_it_was(name: str, keep: Keep) -> None:
    array = ARRAYS[name]
    (twin,) = keep([array])
    assert type(twin) is type(array)
    assert (twin.dtype, twin.shape) == (array.dtype, array.shape)
    assert twin.dtype.isalignedstruct == array.dtype.isalignedstruct
    assert twin.flags.writeable
    assert twin.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
    assert values(twin) == values(array)


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_alone_comes_back_as_it_was(name: str, library: exia.Library) -> None:
    array = ARRAYS[name]
    library.write("a", array)
    twin = library.read("a")
    assert type(twin) is type(array)
    assert (twin.dtype, twin.shape) == (array.dtype, array.shape)
    assert twin.flags.writeable
    assert values(twin) == values(array)


# ---- by another process -------------------------------------------------------------------------


def test_a_forest_predicts_in_a_process_that_has_imported_nothing(library: exia.Library) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    forest = ensemble.RandomForestClassifier(10, random_state=0).fit(X, Y)
    library.write("forest", {"forest": forest, "x": X})
    code = (
        "import sys, exia\n"
        "kept = exia.Library(sys.argv[1]).read('forest')\n"
        "print(kept['forest'].predict(kept['x']).sum())\n"
    )
    assert library.url is not None
    done = subprocess.run(
        [sys.executable, "-c", code, library.url], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == forest.predict(X).sum()
