"""Dependencies, lock files and directories of packages, from Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import exia


def put(shop: Path, name: str, version: str, *needs: str, code: str = "") -> None:
    """Pack a small package, with a module of its name, into a directory."""
    workspace = shop.parent / f"{name}-{version}"
    (workspace / "code").mkdir(parents=True)
    (workspace / "hello.txt").write_text(f"{name} {version}\n")
    (workspace / "code" / f"{name}.py").write_text(code)
    (workspace / "veda.json").write_text(
        json.dumps(
            {
                "format": 1,
                "name": name,
                "version": version,
                "platform": "any",
                "components": [
                    {"path": "hello.txt", "kind": "doc"},
                    {"path": f"code/{name}.py", "kind": "code"},
                ],
                "entry_points": {"main": f"{name}:main"},
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


def test_all_that_a_lock_file_lists_is_installed_without_naming_a_package(
    shop: Path, tmp_path: Path
) -> None:
    lock = tmp_path / "veda.lock"
    put(shop, "base", "1.0")
    put(shop, "app", "1.0", "base")
    with exia.Registry(tmp_path / "home") as registry:
        registry.install("app", shop, lock=lock)
    put(shop, "base", "2.0")
    with exia.Registry(tmp_path / "other") as registry:
        with pytest.raises(exia.InvalidError, match="locked"):
            registry.install(source=shop, lock=lock)
        with pytest.raises(exia.NotFoundError, match="there is no base here"):
            registry.install(lock=lock, locked=True)
        assert len(registry.plan(source=shop, lock=lock, locked=True)) == 2
        directory = registry.install(source=shop, lock=lock, locked=True)
        assert directory == str(tmp_path / "other" / "installed")
        found = {row["name"]: (row["version"], row["requested"]) for row in registry.installed()}
        assert found == {"app": ("1.0", True), "base": ("1.0", False)}


def test_code_is_loaded_with_the_versions_that_were_resolved_for_it(
    shop: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    for version in ("1.0", "1.5", "2.0"):
        put(shop, "side_base", version, code=f"version = {version!r}\n")
    for app in ("side_one", "side_two"):
        code = "import side_base\n\ndef main():\n    return side_base.version\n"
        put(shop, app, "1.0", "side_base < 2", code=code)
    with exia.Registry(home) as registry:
        registry.install("side_base@1.0", shop)
        registry.install("side_one", shop)
        registry.install("side_two", shop)
        registry.install("side_base@1.5", shop)
        registry.install("side_base@2.0", shop)  # current, and nobody's who needs it
        needs = registry.needs("side_one")
        assert [(row["name"], row["version"]) for row in needs] == [
            ("side_base", "1.0"),
            ("side_one", "1.0"),
        ]
        assert needs[-1]["resolved"] == {"side_base": "1.0#any"}
    assert exia.load("side_one:main", home)() == "1.0"
    with exia.Registry(home) as registry:
        registry.uninstall("side_base@1.0")
    sys.modules.pop("side_base")
    assert exia.load("side_two:main", home)() == "1.5"


def test_a_plan_says_what_was_passed_over(shop: Path, tmp_path: Path) -> None:
    put(shop, "low", "1.0")
    put(shop, "mid", "1.0", "low ^1 || ^3")
    put(shop, "mid", "2.0", "low >= 7")
    put(shop, "top", "1.0", "mid")
    with exia.Registry(tmp_path / "home") as registry:
        plan = registry.plan("top", shop)
    assert [(row["name"], row["version"], row["passed_over"]) for row in plan] == [
        ("low", "1.0", None),
        ("mid", "1.0", 'mid 2.0 was passed over: it needs "low >= 7"'),
        ("top", "1.0", None),
    ]
    assert all(row["size"] > 0 for row in plan)
