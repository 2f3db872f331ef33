"""Packages, the registry and installed entry points from Python."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest

import exia


def make(directory: Path, name: str = "hello", code: str = "", **manifest: object) -> Path:
    """Pack a package of one module, named as the package."""
    workspace = directory / f"{name} workspace"
    exia.new_workspace(workspace, name)
    module = directory / f"{name}.py"
    module.write_text(code or f"def greet(who):\n    return f'{name} greets {{who}}'\n")
    exia.add_component(workspace, module, "code")
    (directory / "data.bin").write_bytes(os.urandom(100_000))
    exia.add_component(workspace, directory / "data.bin", "data")
    (directory / "data.bin").unlink()
    file = workspace / "veda.json"
    facts = json.loads(file.read_text())
    facts |= {"entry_points": {"greet": f"{name}:greet"}} | manifest
    file.write_text(json.dumps(facts))
    version = facts["version"]
    return Path(exia.pack(workspace, directory / f"{name}-{version}.veda"))


@pytest.fixture
def veda(tmp_path: Path) -> Path:
    return make(tmp_path)


# ---- archives of others -------------------------------------------------------------------------


def archive(file: Path, form: int, **content: bytes) -> Path:
    with tarfile.open(file, "w:gz", format=form) as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_becomes_a_component_whatever_its_names(tmp_path: Path, form: int) -> None:
    names = {"plain": b"1", "\u00fcn\u00ef/\u2603": b"2", "x" * 90 + "/" + "y" * 99: b""}
    file = archive(tmp_path / "x.tgz", form, **names)
    exia.new_workspace(tmp_path / "w", "hello")
    exia.add_component(tmp_path / "w", file, "data", unpack=True)
    for name, data in names.items():
        assert (tmp_path / "w" / "data" / "x" / name).read_bytes() == data
    package = exia.Package(exia.pack(tmp_path / "w", tmp_path / "w.veda"))
    assert {"data/x/plain"} <= {row["path"] for row in package.files if row["component"]}


def test_an_archive_that_leads_out_leaves_nothing(tmp_path: Path) -> None:
    exia.new_workspace(tmp_path / "w", "hello")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("good", "x")
        file.writestr("../bad", "x")
    with pytest.raises(exia.InvalidError, match="bad"):
        exia.add_component(tmp_path / "w", tmp_path / "x.zip", "data", unpack=True)
    with pytest.raises(exia.InvalidError, match="home"):
        exia.add_component(tmp_path / "w", tmp_path / "x.zip", "data", tmp_path, unpack=True)
    with pytest.raises(exia.CorruptError, match=r"a \.zip archive, which is no package"):
        exia.Package(tmp_path / "x.zip")
    assert os.listdir(tmp_path / "w") == ["veda.json"]
    assert not (tmp_path / "bad").exists()


# ---- bad input ----------------------------------------------------------------------------------


def test_a_workspace_is_not_made_twice_and_a_bad_name_makes_none(tmp_path: Path) -> None:
    exia.new_workspace(tmp_path / "w", "hello")
    with pytest.raises(FileExistsError):
        exia.new_workspace(tmp_path / "w", "hello")
    for name in ("a/b", "", "UPPER", "x" * 10_000):
        with pytest.raises(exia.InvalidError):
            exia.new_workspace(tmp_path / "v", name)
    assert not (tmp_path / "v").exists()


def test_components_are_refused_when_absent_taken_or_of_no_kind(tmp_path: Path) -> None:
    exia.new_workspace(tmp_path / "w", "hello")
    (tmp_path / "a.py").write_text("")
    with pytest.raises(exia.NotFoundError):
        exia.add_component(tmp_path / "w", tmp_path / "none.py", "code")
    with pytest.raises(exia.InvalidError, match="wood"):
        exia.add_component(tmp_path / "w", tmp_path / "a.py", "wood")
    exia.add_component(tmp_path / "w", tmp_path / "a.py", "code", entry_points={"a": "a:f"})
    assert json.loads((tmp_path / "w" / "veda.json").read_text())["entry_points"] == {"a": "a:f"}
    with pytest.raises(exia.ExistsError):
        exia.add_component(tmp_path / "w", tmp_path / "a.py", "code")


def test_a_truncated_a_flipped_an_empty_and_a_foreign_file_are_corrupt(
    veda: Path, tmp_path: Path
) -> None:
    good = veda.read_bytes()
    middle = bytearray(good)
    middle[len(good) // 2] ^= 1
    for name, data in {
        "short": good[:-1], "half": good[: len(good) // 2], "empty": b"",
        "foreign": b"PK\3\4" * 999, "flipped": bytes(middle), "tail": good + b"x",
    }.items():  # fmt: skip
        bad = tmp_path / f"{name}.veda"
        bad.write_bytes(data)
        target = tmp_path / f"from {name}"
        with pytest.raises(exia.CorruptError) as caught:
            exia.Package(bad).unpack(target)
        assert "\n" not in str(caught.value)
        assert not target.exists()
        with pytest.raises(exia.CorruptError):
            exia.Package(bad).verify()
    with pytest.raises(exia.NotFoundError):
        exia.Package(tmp_path / "none.veda")


def test_a_full_directory_is_not_unpacked_into(veda: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(exia.ExistsError):
        exia.Package(veda).unpack(tmp_path / "full")
    with pytest.raises(exia.NotFoundError):
        exia.Package(veda).unpack(tmp_path / "none", "no such*")
    assert not (tmp_path / "none").exists()


def test_a_registry_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    registry = exia.Registry(tmp_path / "home")
    for refused in (
        lambda: registry.push("none", to="nowhere"),
        lambda: registry.pull("none", source="nowhere"),
        lambda: registry.install("none"),
        lambda: registry.uninstall("none"),
        lambda: registry.remove_remote("none"),
        lambda: registry.which(tmp_path),
        lambda: registry.update("none@1", {}),
    ):
        with pytest.raises(exia.NotFoundError):
            refused()
    with pytest.raises(exia.InvalidError, match="scheme"):
        registry.add_remote("x", "gopher:x", "file:/tmp/x")
    with pytest.raises(exia.InvalidError):
        registry.query("name = ")
    registry.close()
    with pytest.raises(exia.ClosedError):
        registry.query()


@pytest.mark.parametrize("entry", ["", "hello", "hello:", ":greet"])
def test_an_entry_point_is_named_by_package_and_entry(entry: str) -> None:
    with pytest.raises(exia.InvalidError, match="package:entry"):
        exia.load(entry)


# ---- the way of a package -----------------------------------------------------------------------


def test_a_package_shows_what_it_holds(veda: Path, tmp_path: Path) -> None:
    package = exia.Package(veda)
    assert package.metadata["digest"]
    assert "code/hello.py" in [row["path"] for row in package.files]
    package.verify()
    package.verify(quick=True)
    package.unpack(tmp_path / "all")
    assert (tmp_path / "all" / "code" / "hello.py").is_file()
    package.unpack(tmp_path / "some", "code/*")
    assert not (tmp_path / "some" / "data").exists()
    assert "hello.py" in package._repr_html_()


def test_the_same_workspace_packs_into_the_same_bytes(veda: Path, tmp_path: Path) -> None:
    again = exia.pack(tmp_path / "hello workspace", tmp_path / "again.veda", threads=3)
    assert Path(again).read_bytes() == veda.read_bytes()
    with pytest.raises(exia.InvalidError, match="threads"):
        exia.pack(tmp_path / "hello workspace", tmp_path / "again.veda", threads=-1)


def test_a_package_goes_to_another_host_and_runs_there(veda: Path, tmp_path: Path) -> None:
    depot = quote(str(tmp_path / "depot"))
    here, there = exia.Registry(tmp_path / "here"), exia.Registry(tmp_path / "there")
    for registry in (here, there):
        registry.add_remote("depot", f"sqlite:{depot}/catalog.db", f"file:{depot}/packages")
        assert [row["name"] for row in registry.remotes()] == ["depot"]
        with pytest.raises(exia.NotFoundError):
            registry.check_remote("nowhere", attempt=True)
        assert "touch" in [row["key"] for row in registry.check_remote("depot", attempt=True)]
        assert "touch" not in [row["key"] for row in registry.check_remote("depot")]
    assert here.home == tmp_path / "here"
    here.register(veda)
    here.register(veda)
    here.update("hello@0.1.0", {"tested": True})
    assert [row["facts"] for row in here.query("name = 'hello'")] == [{"tested": True}]
    planned = here.push("hello", to="depot", dry_run=True)
    assert here.query(remote="depot") == []
    sent = here.push("hello", to="depot")
    assert sent.package == "hello@0.1.0#any" == planned.package
    assert sent == planned
    assert (sent.moved, sent.reused) == (veda.stat().st_size, 0)
    assert here.push("hello", to="depot").moved == 0
    assert [row["name"] for row in there.query(remote="depot")] == ["hello"]
    assert there.pull("hello", source="depot", dry_run=True).moved == sent.total
    assert there.query() == []
    directory = Path(there.install("hello", source="depot"))
    assert there.which(directory / "code" / "hello.py").startswith("hello@0.1.0")
    assert [row["name"] for row in there.installed()] == ["hello"]
    code = "import exia; print(exia.load('hello:greet')('you'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"EXIA_HOME": str(tmp_path / "there")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "hello greets you\n"
    there.uninstall("hello")
    assert not directory.exists()
    here.unregister("hello@0.1.0")
    assert here.query() == []


def test_loading_leaves_the_package_as_it_was_installed(tmp_path: Path) -> None:
    source = tmp_path / "kept_clean"
    source.mkdir()
    (source / "__init__.py").write_text("def greet():\n    from . import late\n    return late.x\n")
    (source / "late.py").write_text("x = 7\n")
    exia.new_workspace(tmp_path / "w", "kept_clean")
    exia.add_component(tmp_path / "w", source, entry_points={"greet": "kept_clean:greet"})
    with exia.Registry() as registry:
        registry.register(exia.pack(tmp_path / "w", tmp_path / "w.veda"))
        directory = Path(registry.install("kept_clean"))
    before = sorted(directory.rglob("*"))
    assert exia.load("kept_clean:greet")() == 7
    assert sorted(directory.rglob("*")) == before
    assert str(directory / "code") not in sys.path


def test_a_package_may_be_written_where_the_name_is_no_text(tmp_path: Path) -> None:
    exia.new_workspace(tmp_path / "w", "hello")
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.veda")
    assert exia.pack(tmp_path / "w", name) == name
    assert os.path.exists(name)


def test_entry_points_that_are_not_there_are_named(veda: Path, home: Path) -> None:
    with exia.Registry() as registry:
        registry.register(veda)
        with pytest.raises(exia.NotFoundError, match="hello"):
            exia.load("hello:greet")
        registry.install("hello")
    with pytest.raises(exia.NotFoundError, match=r"no entry point 'nope'.*greet"):
        exia.load("hello:nope")


def test_an_entry_point_imports_what_its_package_needs(tmp_path: Path) -> None:
    base = make(tmp_path, "base_of_it", "def word():\n    return 'base'\n")
    code = "import base_of_it\ndef greet(who):\n    return base_of_it.word() + who\n"
    top = make(tmp_path, "top_of_it", code, dependencies=["base_of_it >= 0.1"])
    with exia.Registry() as registry:
        registry.register(top)
        with pytest.raises(exia.NotFoundError, match="base_of_it"):
            registry.install("top_of_it")
        assert registry.installed() == []
        registry.register(base)
        registry.install("top_of_it")
        with pytest.raises(exia.ConflictError, match="top_of_it"):
            registry.uninstall("base_of_it")
    before = list(sys.path)
    assert exia.load("top_of_it:greet")("!") == "base!"
    assert sys.path == before


def test_a_module_of_the_same_name_from_elsewhere_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    veda = make(tmp_path, "clash_of_names")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "clash_of_names.py").write_text("def greet(who):\n    return 'wrong'\n")
    monkeypatch.syspath_prepend(tmp_path / "other")
    import clash_of_names  # type: ignore[import-not-found]

    assert clash_of_names.greet("") == "wrong"
    with exia.Registry() as registry:
        registry.register(veda)
        registry.install("clash_of_names")
    with pytest.raises(exia.ConflictError, match="new process"):
        exia.load("clash_of_names:greet")


def test_the_current_version_is_loaded_and_damage_is_found_and_mended(tmp_path: Path) -> None:
    code = "def greet(who):\n    return '{} greets ' + who\n"
    with exia.Registry() as registry:
        for version in ("1.0", "2.0"):
            directory = tmp_path / version
            directory.mkdir()
            registry.register(make(directory, "of_versions", code.format(version), version=version))
            installed = Path(registry.install(f"of_versions@{version}", keep_current=True))
        assert [row["current"] for row in registry.installed("of_versions")] == [False, True]
        assert exia.load("of_versions:greet")("me") == "1.0 greets me"
        with pytest.raises(exia.ConflictError, match=r"of_versions@1\.0#any is current, not 2\.0"):
            registry.activate("of_versions@2.0", expect="2.0")
        registry.activate("of_versions@2.0", expect="1.0")
        assert os.readlink(installed.parents[1] / "current") == "2.0/any"
        (installed / "veda.json").unlink()
        (row,) = registry.check("of_versions")
        assert (row["path"], row["problem"], row["repaired"]) == ("veda.json", "missing", False)
        assert registry.check(quick=True, repair=True, source=None)[0]["repaired"]
        assert registry.check() == []
        assert registry.check_files(quick=True, repair=True, source=None) == []
        with pytest.raises(exia.NotFoundError):
            registry.check_files("of_versions", remote="nowhere")
        assert registry.prune(apply=True) == []


def test_code_that_fails_to_import_raises_its_own_error(tmp_path: Path) -> None:
    veda = make(tmp_path, "broken_inside", "1 / 0\n")
    with exia.Registry() as registry:
        registry.register(veda)
        registry.install("broken_inside")
    before = list(sys.path)
    with pytest.raises(ZeroDivisionError):
        exia.load("broken_inside:greet")
    assert sys.path == before
