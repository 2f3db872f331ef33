"""Dependencies, lock files and directories of packages, from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import exia


def put(shop: Path, name: str, version: str, *needs: str) -> None:
    """Pack a small package into a directory."""
    workspace = shop.parent / f"{name}-{version}"
    workspace.mkdir()
    (workspace / "hello.txt").write_text(f"{name} {version}\n")
    (workspace / "veda.json").write_text(
        json.dumps(
            {
                "format": 1,
                "name": name,
                "version": version,
                "platform": "any",
                "components": [{"path": "hello.txt", "kind": "doc"}],
                "dependencies": list(needs),
            }
        )
    )
    exia.pack(workspace, shop / f"{name}-{version}-any.veda")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    directory = tmp_path / "shop"
    directory.mkdir()
    return directory


def test_install_takes_what_is_needed_out_of_a_directory(shop: Path, tmp_path: Path) -> None:
    put(shop, "base", "1.0")
    put(shop, "base", "2.0")
    put(shop, "app", "1.0", "base ~= 1.0")
    with exia.Registry(tmp_path / "home") as registry:
        plan = registry.plan("app", shop)
        assert [(row["name"], row["version"]) for row in plan] == [("base", "1.0"), ("app", "1.0")]
        assert {row["from"] for row in plan} == {str(shop)}
        assert registry.installed() == []
        directory = registry.install("app", source=str(shop))
        assert (Path(directory) / "hello.txt").read_text() == "app 1.0\n"
        assert {row["from"] for row in registry.plan("app")} == {"installed"}


def test_a_lock_file_is_obeyed_until_an_upgrade(shop: Path, tmp_path: Path) -> None:
    lock = tmp_path / "veda.lock"
    put(shop, "base", "1.0")
    put(shop, "app", "1.0", "base")
    with exia.Registry(tmp_path / "home") as registry:
        with pytest.raises(exia.NotFoundError, match=r"veda\.lock"):
            registry.install("app", shop, lock=lock, locked=True)
        registry.install("app", shop, lock=lock)
    before = lock.read_bytes()
    put(shop, "base", "2.0")
    with exia.Registry(tmp_path / "other") as registry:
        registry.install("app", shop, lock=lock, locked=True)
        assert {row["version"] for row in registry.installed()} == {"1.0"}
        assert lock.read_bytes() == before
        registry.install("app", shop, lock=lock, upgrade=True)
        assert "2.0" in lock.read_text()
        with pytest.raises(exia.InvalidError):
            registry.install("app", shop, locked=True)


def test_a_refusal_says_who_needs_what(shop: Path, tmp_path: Path) -> None:
    put(shop, "low", "1.0")
    put(shop, "low", "2.0")
    put(shop, "a", "1.0", "low < 2")
    put(shop, "b", "1.0", "low >= 2")
    put(shop, "top", "1.0", "a", "b")
    put(shop, "one", "1.0", "two")
    put(shop, "two", "1.0", "one")
    with exia.Registry(tmp_path / "home") as registry:
        with pytest.raises(exia.NotFoundError) as refused:
            registry.install("top", shop)
        assert 'a@1.0 needs "low < 2"' in str(refused.value)
        assert 'b@1.0 needs "low >= 2"' in str(refused.value)
        with pytest.raises(exia.CycleError, match=r"one@1\.0 needs two@1\.0 needs one"):
            registry.install("one", shop)
        assert registry.installed() == []
