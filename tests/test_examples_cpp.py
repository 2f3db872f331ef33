"""The programs of examples/cpp/ compile, and compute what Python computes with the same model."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import exia

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"


def compile_cpp(name, directory, *options):
    strict = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")
    place = (f"-I{ROOT / 'include'}", f"-L{BUILD}", f"-Wl,-rpath,{BUILD}")
    program = directory / name
    source = ROOT / "examples" / "cpp" / f"{name}.cpp"
    command = [os.environ.get("CXX", "g++"), *strict, *options, "-o", program, source, *place]
    done = subprocess.run([*command, "-lexia", "-ldl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def run(program, *arguments, rows=""):
    return subprocess.run([program, *arguments], input=rows, capture_output=True, text=True)


def csv(rows):
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return compile_cpp("network", tmp_path_factory.mktemp("network"))


# ---- linear algebra on the tensors --------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(max_iter=100, tol=1e-2), MLPClassifier((24, 16), max_iter=30)],
    ids=["logistic", "perceptron"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_network_predicts_in_cpp_what_it_predicts_in_python(estimator, network, tmp_path):
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    estimator.fit(images[:1000], labels[:1000])
    if isinstance(estimator, MLPClassifier):
        weights, biases = estimator.coefs_, estimator.intercepts_
    else:
        weights, biases = [np.ascontiguousarray(estimator.coef_.T)], [estimator.intercept_]
    tensors = {f"weight.{i}": w for i, w in enumerate(weights)}
    tensors |= {f"bias.{i}": b for i, b in enumerate(biases)} | {"classes": estimator.classes_}
    exia.Library(tmp_path / "l").write("digits", estimator, parts={"weights": tensors})
    done = run(network, tmp_path / "l", "digits", rows=csv(images[1000:]))
    assert (done.returncode, done.stderr) == (0, "")
    assert [int(x) for x in done.stdout.split()] == estimator.predict(images[1000:]).tolist()


@pytest.mark.parametrize(
    ("change", "row", "said"),
    [
        ({"weight.0": np.ones((3, 2), "float32")}, "1,2,3\n", "the tensor is of F32"),
        ({"bias.0": np.ones(3)}, "1,2,3\n", "layer 0 does not fit"),
        ({"weight.1": np.ones((3, 2)), "bias.1": np.ones(2)}, "1,2,3\n", "layer 1 does not fit"),
        ({"classes": np.arange(3)}, "1,2,3\n", "as many classes"),
        ({}, "1,2\n", "a row has 2 numbers, not 3"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_one_line(change, row, said, network, tmp_path):
    good = {"weight.0": np.ones((3, 2)), "bias.0": np.ones(2), "classes": np.arange(2)}
    exia.Library(tmp_path / "l").write("m", b"", parts={"weights": good | change})
    done = run(network, tmp_path / "l", "m", rows=row)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_selector_that_names_nothing_ends_with_one_line(network, tmp_path):
    done = run(network, tmp_path / "l", "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("network: ")
    assert done.stderr.count("\n") == 1


# ---- onnxruntime --------------------------------------------------------------------------------


def runtime():
    """The library of pip's package."""
    package = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    [library] = Path(package.__file__).parent.glob("capi/libonnxruntime.so.*")
    return library


def header():
    """Where onnxruntime_c_api.h is: pip's package has none; a Go module of that name does."""
    places = [Path(p) for p in os.environ.get("ONNXRUNTIME_INCLUDE", "").split(":") if p]
    places += [Path("/usr/include/onnxruntime"), Path("/usr/local/include/onnxruntime")]
    if shutil.which("go"):
        asked = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True)
        places += Path(asked.stdout.strip()).glob("github.com/yalue/onnxruntime_go@*")
    for place in places:
        if (place / "onnxruntime_c_api.h").is_file():
            return place
    pytest.skip("onnxruntime_c_api.h is not here; ONNXRUNTIME_INCLUDE=DIR names its directory")


def make_onnx(path, weights):
    """Write a model of one product with `weights`."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [onnx.helper.make_tensor_value_info("x", float32, [1, weights.shape[0]])],
        [onnx.helper.make_tensor_value_info("y", float32, [1, weights.shape[1]])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_onnxruntime_runs_on_the_view_and_copies_no_weights_of_the_ort_format(tmp_path):
    library, include = runtime(), header()
    import onnxruntime

    program = compile_cpp("onnx", tmp_path, "-isystem", include)
    weights = np.arange(4 << 20, dtype=np.float32).reshape(-1, 4) / 1e6  # 16 MiB
    make_onnx(tmp_path / "m.onnx", weights)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "m.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(
        str(tmp_path / "m.onnx"), options, providers=["CPUExecutionProvider"]
    )
    models = exia.Library(tmp_path / "l")
    row = np.zeros(len(weights), np.float32)
    row[[1, -1]] = 1, 2
    taken = {}
    for format in ("onnx", "ort"):
        models.write(format, tmp_path / f"m.{format}")
        text = " ".join(map(str, row.tolist()))
        done = run(program, library, tmp_path / "l", format, rows=text)
        assert (done.returncode, done.stderr) == (0, "")
        *numbers, said = done.stdout.splitlines()
        assert np.allclose([float(x) for x in numbers], row @ weights, rtol=1e-4)
        words = said.split()
        taken[format] = int(words[-2]) / int(words[3])
    assert taken["ort"] < 0.75, taken  # what onnxruntime itself needs, and no copy of the weights
    assert taken["onnx"] > 1, taken


def test_what_onnxruntime_refuses_ends_with_its_word(tmp_path):
    library, include = runtime(), header()
    program = compile_cpp("onnx", tmp_path, "-isystem", include)
    make_onnx(tmp_path / "m.onnx", np.ones((3, 2), np.float32))
    models = exia.Library(tmp_path / "l")
    models.write("good", tmp_path / "m.onnx")
    models.write("none", b"no model")
    for name, row in (("none", "1 2 3"), ("good", "1 2")):
        done = run(program, library, tmp_path / "l", name, rows=row)
        assert (done.returncode, done.stdout) == (1, "")
        assert "\nonnx: " in "\n" + done.stderr
