"""What an object was written under: how it is found, told when it differs, and given to pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import exia
from exia import _environment

np = pytest.importorskip("numpy")

KEPT = {"weights": np.arange(4.0), "when": np.datetime64("2020-01-01")}


@pytest.fixture(autouse=True)
def nothing_is_known() -> None:
    """Each test asks anew what is installed."""
    for known in (_environment._version, _environment._distributions, _environment._places_in):
        known.cache_clear()


def install(site: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Lay down a distribution as pip would: modules, and metadata with these files."""
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    long = "Version: of the description\n" * 1000
    (metadata / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n\n{long}")
    for file, text in files.items():
        (metadata / file).write_text(text)


# ---- which distributions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ({"RECORD": "zoo/__init__.py,sha256=x,3\n"}, True),
        ({"RECORD": "a.py,,\nzoo.py,sha256=x,3\n"}, True),
        ({"RECORD": "zoo.cpython-311-x86_64-linux-gnu.so,,\n"}, True),
        ({"top_level.txt": "other\nzoo\n"}, True),
        ({"RECORD": "zoological/__init__.py,,\nmy/zoo/__init__.py,,\nzoo.txt,,\n"}, False),
        ({"top_level.txt": "zoological\n"}, False),
        ({}, False),
    ],
)
def test_a_module_is_of_the_distribution_that_lists_it(
    files: dict[str, str], there: bool, site: Path
) -> None:
    install(site, "Animal-House", "2.1", files)
    packages = _environment.environment(["zoo.Cage"])["packages"]
    assert packages == ({"Animal-House": "2.1"} if there else {})


def test_of_two_on_the_path_the_first_counts(site: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    later.mkdir()
    sys.path.append(str(later))
    try:
        install(site, "zoo", "2", {})
        install(later, "zoo", "1", {})
        assert _environment.environment(["zoo.x"])["packages"] == {"zoo": "2"}
        assert _environment.differences({"packages": {"Zoo": "1"}})["Zoo"] == ("1", "2")
    finally:
        sys.path.remove(str(later))


def test_several_distributions_of_one_namespace_are_all_named(site: Path) -> None:
    for name in ("zoo-cats", "zoo-dogs"):
        install(site, name, "1", {"RECORD": f"zoo/{name}/__init__.py,,\n"})
    packages = _environment.environment(["zoo.cats.Lion"])["packages"]
    assert packages == {"zoo-cats": "1", "zoo-dogs": "1"}


def test_modules_of_python_and_of_nobody_are_no_distributions() -> None:
    found = _environment.environment(["json.JSONDecoder", "__main__.f", "no_such_module.C"])
    assert found["packages"] == {}


def test_the_names_are_those_that_importlib_knows() -> None:
    from importlib import metadata

    roots = ("numpy", "cffi", "pytest", "sklearn", "google")
    known = metadata.packages_distributions()
    for root in roots:
        expected = {name: metadata.version(name) for name in set(known.get(root, []))}
        assert _environment.environment([f"{root}.x"])["packages"] == expected


def test_it_takes_milliseconds_also_the_first_time_beside_sklearn() -> None:
    pytest.importorskip("sklearn")
    code = (
        "import time, sklearn.ensemble, pandas, exia\n"
        "from exia import _environment\n"
        "start = time.process_time()\n"
        "found = _environment.environment(['sklearn.tree.X', 'pandas.Y', 'numpy.Z'])\n"
        "print((time.process_time() - start) * 1e3, *sorted(found['packages']))\n"
    )
    pytest.importorskip("pandas")
    best = 1e9
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        took, *names = done.stdout.split()
        best = min(best, float(took))
        assert names == ["numpy", "pandas", "scikit-learn"]
    assert best < 25  # five where nothing else runs; a map of all files takes 150 and more


# ---- told ---------------------------------------------------------------------------------------


def test_imports_and_the_environment_are_recorded(library: exia.Library) -> None:
    library.write("m", KEPT)
    with library.open("m") as model:
        assert "numpy.dtype" in model.facts["imports"]
        environment = model.environment
    assert environment is not None
    assert environment["packages"]["numpy"] == np.__version__
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))


def test_another_environment_is_told_in_one_warning_and_as_data(
    library: exia.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.write("m", KEPT)
    assert library.open("m").differences == {}
    then = {"python": "2.7.18", "packages": {"numpy": "0.1", "gone": "3"}}
    monkeypatch.setattr(exia.Model, "environment", then)
    with pytest.warns(
        exia.EnvironmentWarning, match=r"m@1 .*numpy 0\.1.*gone 3 \(here: none\)"
    ) as w:
        library.read("m")
    assert len(w) == 1
    assert w[0].filename == __file__
    assert library.open("m").differences["gone"] == ("3", None)
    assert "python" in library.open("m").differences


@pytest.mark.parametrize("packages", [None, 7, ["numpy"], {"": "1"}, {"../x": "1"}, {"numpy": []}])
def test_an_environment_that_others_wrote_is_no_failure(packages: object) -> None:
    assert isinstance(_environment.differences({"packages": packages, "python": None}), dict)


def test_versions_of_one_session_share_one_environment(library: exia.Library) -> None:
    for number in range(3):
        library.write(f"m{number}", {"n": number, **KEPT})
    rows = library.search("name like 'm%'")
    assert len({row["environment"] for row in rows}) == 1


# ---- for pip ------------------------------------------------------------------------------------


def test_requirements_are_read_by_pip_and_met_here(library: exia.Library, tmp_path: Path) -> None:
    pytest.importorskip("pip")
    library.write("m", KEPT)
    text = library.requirements("m@1")
    assert f"numpy=={np.__version__}\n" in text
    assert text.startswith("# m@1 was written under CPython 3.")
    (tmp_path / "requirements.txt").write_text(text)
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--dry-run", "-q", "-r"]
    done = subprocess.run([*command, tmp_path / "requirements.txt"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_version_without_an_environment_has_no_requirements(
    library: exia.Library, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    library.import_from(tmp_path / "file", name="m")
    with pytest.raises(exia.NotFoundError, match="m@1: no environment"):
        library.requirements("m")
