"""What a package needs, from a shell: locked, from a directory, and only told."""

import json
import shutil


def shop(tool):
    """A directory of packages: app needs base, which is there twice."""
    (tool.directory / "shop").mkdir()
    for name, version, needs in (
        ("base", "0.1.0", []),
        ("base", "0.2.0", []),
        ("app", "0.1.0", ["base >= 0.1"]),
    ):
        tool.package(name, version=version, dependencies=needs)
        file = f"{name}-{version}-any.veda"
        (tool.directory / file).rename(tool.directory / "shop" / file)
        shutil.rmtree(tool.directory / f"{name}.workspace")
    return tool


def test_a_directory_of_packages_needs_no_remote(tool):
    shop(tool)
    rows = tool.json("install", "app", "--from", "./shop", "--dry-run")
    assert [(row["name"], row["version"], row["from"]) for row in rows] == [
        ("base", "0.2.0", "./shop"),
        ("app", "0.1.0", "./shop"),
    ]
    assert tool.json("list") == []
    assert "base" in tool.text("install", "app", "--from", "./shop", "--dry-run")
    tool.run("install", "app", "--from", "./shop")
    assert [row["name"] for row in tool.json("list")] == ["app", "base"]
    assert {row["name"] for row in tool.json("query", "--remote", "./shop")} == {"app", "base"}
    tool.fails("install", "other", "--from", "shop", says="./shop")
    tool.fails("install", "other", "--from", "./shop", says="other")
    tool.fails("push", "app", "--to", "./shop", says="only read")


def test_a_lock_file_gives_the_same_packages_again(tool):
    shop(tool)
    tool.run("install", "base@0.1.0", "--from", "./shop", "--lock", "veda.lock")
    tool.run("install", "app", "--from", "./shop", "--lock", "veda.lock")
    lock = json.loads((tool.directory / "veda.lock").read_text())
    assert [(p["name"], p["version"], p["requested"]) for p in lock["packages"]] == [
        ("app", "0.1.0", True),
        ("base", "0.1.0", True),
    ]
    there = tool.other_home("there")
    there.run("install", "app", "--from", "./shop", "--lock", "veda.lock", "--locked")
    assert {row["version"] for row in there.json("list")} == {"0.1.0"}
    there.run("install", "app", "--from", "./shop", "--lock", "veda.lock", "--upgrade")
    assert "0.2.0" in (tool.directory / "veda.lock").read_text()
    tool.fails("install", "app", "--lock", "none.lock", "--locked", says="none.lock")
    tool.run("install", "app", "--locked", code=2)
    tool.run("install", "app", "--lock", "veda.lock", "--locked", "--upgrade", code=2)
