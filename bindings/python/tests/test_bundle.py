"""Packages asked for and bundled."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

import exia


def pack(
    folder: Path,
    name: str,
    version: str = "1.0",
    needs: tuple[str, ...] = (),
    platform: str = "any",
) -> Path:
    """Make a package of one file."""
    workspace = folder / f"{name}-{version}"
    (workspace / "code").mkdir(parents=True)
    (workspace / "code" / "main.py").write_text(f"print({name!r})")
    manifest = {
        "format": 1, "name": name, "version": version, "platform": platform,
        "dependencies": list(needs),
        "components": [{"path": "code/main.py", "kind": "code"}],
        "entry_points": {"main": "main:run"},
    }  # fmt: skip
    (workspace / "veda.json").write_text(json.dumps(manifest))
    file = folder / f"{name}-{version}.veda"
    exia.pack(workspace, file)
    return file


@pytest.fixture
def full(tmp_path: Path) -> exia.Registry:
    registry = exia.Registry(tmp_path / "full")
    registry.register(pack(tmp_path, "base", "1.9"))
    registry.register(pack(tmp_path, "base", "1.10"))
    registry.register(pack(tmp_path, "app", needs=("base >= 1",)))
    return registry


def test_a_bundle_is_made_for_other_platforms(full: exia.Registry, tmp_path: Path) -> None:
    file = tmp_path / "for.tar"
    for platform in ("linux_one", "linux_two"):
        (tmp_path / platform).mkdir()
        full.register(pack(tmp_path / platform, "lib", platform=platform))
    full.register(pack(tmp_path, "top", needs=("lib",)))
    rows = full.export_bundle("top", file, platforms="linux_one")
    assert [(row["name"], row["tag"]) for row in rows] == [("lib", "linux_one"), ("top", "any")]
    rows = full.export_bundle("top", file, platforms=["linux_one", "linux_two"])
    assert sorted(row["tag"] for row in rows) == ["any", "linux_one", "linux_two"]
    with pytest.raises(exia.NotFoundError, match=r"for linux_three: top@1\.0 needs"):
        full.export_bundle("top", file, platforms=["linux_one", "linux_three"])


def test_queries_know_versions_lists_and_the_latest(full: exia.Registry) -> None:
    def ask(text: str) -> list[str]:
        return [f"{row['name']}@{row['version']}" for row in full.query(text)]

    assert ask("version >= '1.10'") == ["base@1.10"]
    assert ask("latest = true order by version") == ["app@1.0", "base@1.10"]
    assert ask("'base' in dependencies") == ["app@1.0"]
    assert ask("'code' in components.kind and 'main' in entry_points and name = 'app'") == [
        "app@1.0"
    ]
    with pytest.raises(exia.InvalidError, match="filter"):
        full.query("version > 'new'")


def test_facts_are_replaced_or_merged(full: exia.Registry) -> None:
    full.update("app", {"stage": "test", "owner": {"team": "a", "who": "b"}})
    full.update("app", {"stage": "prod", "owner": {"who": None}}, merge=True)
    (row,) = full.query("name = 'app'")
    assert row["facts"] == {"stage": "prod", "owner": {"team": "a"}}
    full.update("app", {"x": 1})
    assert full.query("facts.x = 1")[0]["facts"] == {"x": 1}


def test_a_bundle_goes_to_another_home(full: exia.Registry, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    rows = full.export_bundle("app", file)
    assert [(row["name"], row["state"]) for row in rows] == [
        ("base", "exported"),
        ("app", "exported"),
    ]
    with tarfile.open(file) as archive:
        member = archive.extractfile("bundle.json")
        assert member is not None
        assert len(json.load(member)["packages"]) == 2
    with exia.Registry(tmp_path / "there") as there:
        assert {row["state"] for row in there.import_bundle(file)} == {"imported"}
        assert {row["state"] for row in there.import_bundle(file)} == {"there already"}
        there.install("app")
        assert sorted(there.have())[0].startswith("app@1.0#any ")
        rows = full.export_bundle(["app", "base@1.9"], tmp_path / "c.tar", have=there.have())
        assert {row["version"]: row["state"] for row in rows} == {
            "1.9": "exported", "1.0": "left out", "1.10": "left out",
        }  # fmt: skip


def test_a_bundle_of_one_alone_and_what_is_refused(full: exia.Registry, tmp_path: Path) -> None:
    (row,) = full.export_bundle(["app"], tmp_path / "b.tar", only=True)
    assert row["name"] == "app"
    with pytest.raises(exia.NotFoundError):
        full.export_bundle("none", tmp_path / "c.tar")
    with pytest.raises(exia.NotFoundError):
        full.export_bundle("app", tmp_path / "c.tar", source="nowhere")
    with pytest.raises(exia.InvalidError):
        full.export_bundle([], tmp_path / "c.tar")
    with pytest.raises(TypeError):
        full.export_bundle("app", tmp_path / "c.tar", have=[5])  # type: ignore[list-item]
    with pytest.raises(exia.CorruptError):
        full.import_bundle(tmp_path / "app-1.0.veda")
    assert not (tmp_path / "c.tar").exists()
