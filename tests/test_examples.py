"""Each program of examples/ runs as a newcomer would run it, and says what it should."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest

import exia

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
EXAMPLES = ROOT / "examples"

# What each program must print, in this order.
SAYS = {
    "dag.c": [
        "load, clean, train, test, report\n",
        '"done"',
        "the report says 75\n",
        "digraph",
        "no order: ",
    ],
    "dag.py": [
        "order:  ['load', 'clean', 'mean', 'largest', 'report']",
        "mean 50.0, largest 99",
        "cycles: ",
    ],
    "model.c": ["version 1: w is F32, 2 x 3, and its last number is 6\n", '"accuracy"'],
    "model.py": [
        "wrote version 3",
        "not moved: ",
        "rolled back to version 1",
        "example@3 -> 0.94",
        "example 2 ",
    ],
    "package.c": ["wrote ", '"digest"', "doc/hello.txt", "unpacked into "],
    "package.py": ["digest ", "code/greeting.py", "the depot has: ['hello']", "Hello, reader."],
    "parts.py": [
        "[0.5, 1.0]\n",
        "not set: Scaler.factor: -1.0 is refused by its check (above 0)\n",
        "still out, taken at line 33\n",
        "[1.5, 2.0] but here still [0.5, 1.0]\n",
        "scaler: Scale numbers by a factor, then add one.\n",
        "transform(numbers: list[float]) -> list[float]\n    Scale all of them.\n",
    ],
    "pool.c": [
        "one window: yes",
        "a third one is not lent: ",
        "a second return is an error: ",
        '"filter"',
    ],
    "pool.py": [
        "['vocabulary', ",
        "[0, 4, 2, 1]",
        "one vocabulary for both: True",
        "no third one: ",
    ],
}
TAKES_A_DIRECTORY = {"model.c", "model.py", "package.c", "package.py"}


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def compile_c(source, program):
    strict = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")
    place = (f"-I{ROOT / 'include'}", f"-L{BUILD}", f"-Wl,-rpath,{BUILD}")
    run(os.environ.get("CC", "cc"), *strict, "-o", program, source, *place, "-lexia")
    return program


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No example touches the user's own home of Exia, nor one of the other examples."""
    monkeypatch.setenv("EXIA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{BUILD}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    "name", sorted(p.name for p in EXAMPLES.glob("*.*") if p.suffix in (".c", ".py"))
)
def test_example_says_what_it_should(name, tmp_path):
    if name.endswith(".c"):
        command = [compile_c(EXAMPLES / name, tmp_path / "program")]
    else:
        command = [sys.executable, EXAMPLES / name]
    if name in TAKES_A_DIRECTORY:
        command.append(tmp_path / "a directory")
    output = run(*command, cwd=tmp_path)
    position = 0
    for text in SAYS[name]:
        assert text in output[position:], f"{text!r} is not where it should be in:\n{output}"
        position = output.index(text, position) + len(text)


@pytest.mark.parametrize("name", sorted(n for n in TAKES_A_DIRECTORY if n.endswith(".py")))
def test_example_without_its_directory_says_how_it_is_used(name, tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: python {name} ") and done.stderr.count("\n") == 1


def test_c_example_ends_with_one_line_when_the_library_cannot_be_opened(tmp_path):
    program = compile_c(EXAMPLES / "model.c", tmp_path / "program")
    done = subprocess.run([program, "ftp://nowhere"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert (
        done.stderr.startswith("model: ") and done.stderr.count("\n") == 1 and "ftp" in done.stderr
    )


def test_notebook_runs_from_top_to_bottom_in_this_python(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(EXAMPLES / "digits.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count is None and not cell.outputs for cell in cells), (
        "it is kept without outputs"
    )

    notebook.cells.append(nbformat.v4.new_code_cell("import sys; sys.executable"))
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()

    shown = [output.get("data", {}) for cell in cells for output in cell.outputs]
    assert sum("<table" in data.get("text/html", "") for data in shown) >= 4, "lists show as tables"
    assert any(data.get("text/plain") == "True" for data in shown), (
        "what is read back predicts the same"
    )
    assert notebook.cells[-1].outputs[0].data["text/plain"] == repr(sys.executable)


@pytest.mark.parametrize(
    ("numbers", "data", "said"),
    [
        ("float64", "1," * 64 + "0\n", None),
        ("float32", "1," * 64 + "0\n", 'tensor "mean" is not F64 with 64 rows'),
        ("float64", "1," * 64 + "0\n1,1", "digit 2 cannot be read"),
        ("float64", "", "digit 1 cannot be read"),
    ],
)
def test_classify_refuses_what_it_cannot_read(numbers, data, said, tmp_path):
    program = compile_c(EXAMPLES / "digits" / "classify.c", tmp_path / "classify")
    ones = np.ones(64, numbers)
    tensors = {"mean": ones, "scale": ones, "classes": np.arange(2)}
    tensors |= {"weight.0": np.ones((64, 2), numbers), "bias.0": np.array([1, 0], numbers)}
    library = exia.Library(tmp_path / "library")
    library.write("digits", b"", parts={"weights": tensors})
    (tmp_path / "model").mkdir()
    library.export("digits", tmp_path / "model" / "digits")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.csv").write_text(data)
    done = subprocess.run([program, tmp_path], capture_output=True, text=True)
    if said is None:
        assert (done.returncode, done.stdout) == (0, "0\naccuracy 1.000000 (1 of 1)\n")
    else:
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and said in done.stderr


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory):
    """What the demo needs, elsewhere: it writes below its own tree, and the path has a space."""
    tree = tmp_path_factory.mktemp("demo") / "a tree"
    shutil.copytree(EXAMPLES, tree / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "include", tree / "include")
    (tree / "build").mkdir()
    for file in [BUILD / "vedapkg", *BUILD.glob("libexia.so*")]:
        shutil.copy(file, tree / "build", follow_symlinks=False)
    return tree


def test_demo_fails_when_c_predicts_something_else(copied_tree):
    source = copied_tree / "examples" / "digits" / "classify.c"
    right = source.read_text()
    source.write_text(right.replace("in[j] > in[best]", "in[j] < in[best]"))
    demo = [sys.executable, source.with_name("demo.py")]
    done = subprocess.run(demo, capture_output=True, text=True)
    source.write_text(right)
    assert done.returncode == 1
    assert done.stderr == "demo: C predicts something else than step 3\n"


def test_demo_goes_through_all_steps_with_equal_predictions_whatever_was_there(copied_tree):
    output = run(sys.executable, copied_tree / "examples" / "digits" / "demo.py")
    for number in range(1, 8):
        assert f"\n{number}. " in output, output
    assert output.count("the same predictions and accuracy as in step 3") == 2
    assert "\nAll predictions agree.  Total time: " in output
