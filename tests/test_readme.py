"""README.md is run: its Python and C programs, and its lines for the shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import exia

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
README = (ROOT / "README.md").read_text()


def blocks(language):
    """All fenced blocks of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(language):
    """The one fenced block of this language."""
    [text] = blocks(language)
    return text


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv("EXIA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{BUILD}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("language", "compiler", "shows"),
    [("c", "CC", ""), ("cpp", "CXX", '{"name":"tiny","version":2')],
)
def test_c_and_cpp_read_what_python_wrote(language, compiler, shows, directory):
    (directory / "program.py").write_text(blocks("python")[0])
    source = f"program.{language}"
    (directory / source).write_text(block(language))
    output = run(sys.executable, "program.py")
    assert "2 {'accuracy': 0.97}\n1 {'accuracy': 0.91}\n" in output
    command = os.environ.get(compiler, "cc" if language == "c" else "g++")
    place = (f"-I{ROOT / 'include'}", f"-L{BUILD}", f"-Wl,-rpath,{BUILD}", "-lexia")
    run(command, "-Wall", "-Wextra", "-Werror", "-o", "program", source, *place)
    output = run("./program")
    assert output.startswith("11\n21\n31\n" + shows)
    assert output.count("\n") == (3 if language == "c" else 5)


def test_a_graph_hands_results_on_in_threads_and_in_processes(directory):
    (directory / "graph.py").write_text(blocks("python")[1])
    assert run(sys.executable, "graph.py") == "{'best': ([3, 1, 2], 1)}\n" * 2


def test_shell_lines_work_one_after_the_other(directory):
    run("bash", "-eu", "-c", "".join(blocks("sh")))
    [installed] = directory.glob("elsewhere/installed/hello/*/*/code/greeting.py")
    assert "Hello" in installed.read_text()


def test_trust_json_lets_a_linear_model_from_elsewhere_in_and_nothing_else(directory):
    images = np.random.default_rng(0).random((20, 3))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(images, [0, 1] * 10)
    library = exia.Library("models")
    for name, obj in (("linear", pipeline), ("other", {"path": directory})):
        library.write(name, obj)
        library.export(name, name)  # a plain directory may come from anywhere
    with pytest.raises(exia.UntrustedError, match="sklearn"):
        exia.open_model("linear").read()
    (directory / "trust.json").write_text(block("json"))
    read = exia.open_model("linear", trust="trust.json").read()
    assert np.array_equal(read.predict(images), pipeline.predict(images))
    with pytest.raises(exia.UntrustedError, match="pathlib"):
        exia.open_model("other", trust="trust.json").read()


def test_every_make_target_and_path_that_is_named_is_there():
    makefile = "".join((ROOT / f).read_text() for f in ("Makefile", "tests/tests.mk"))
    for target in re.findall(r"\bmake ([a-z]+)(?=[ `])", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    paths = re.findall(
        r"\]\(([^)#]+)\)|`((?:include|libexia|bindings|tests|pkg|examples)[\w/.]*)`", README
    )
    for path in filter(None, (name for pair in paths for name in pair)):
        assert path.startswith("libexia.") or (ROOT / path).exists(), path


def test_remotes_work_or_do_not_as_the_table_says(directory):
    rows = re.findall(
        r"^\|[^|]+\| `([a-z0-9+]+):.*` \| (blobs|records).*\| (.+?) \|$", README, re.MULTILINE
    )
    assert len(rows) >= 7
    for scheme, contract, state in rows:
        place = f"//key:secret@localhost:1{directory}" if "http" in scheme else f"{directory}/store"
        urls = {"records": "sqlite:r.db", "blobs": "file:b", contract: f"{scheme}:{place}"}
        sides = ["--records", urls["records"], "--packages", urls["blobs"]]
        command = ["vedapkg", "remote", "add", re.sub("[^a-z0-9]", "", scheme), *sides]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode == 0) == (state == "works"), f"{scheme}: {done.stderr}"
