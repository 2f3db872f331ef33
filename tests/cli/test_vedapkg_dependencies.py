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
    tool.run("install", code=2)
    tool.run("install", "--lock", "veda.lock", code=2)
    tool.run("install", "app", "--lock", "veda.lock", "--locked", "--upgrade", code=2)


def test_all_of_a_lock_file_is_installed_without_naming_a_package(tool):
    shop(tool)
    tool.fails("install", "--locked", says="veda.lock")
    tool.run("install", "base@0.1.0", "--from", "./shop", "--lock", "veda.lock")
    tool.run("install", "app", "--from", "./shop", "--lock", "veda.lock")
    there = tool.other_home("there")
    there.fails("install", "--locked", says="here; veda.lock holds ")
    plan = there.json("install", "--locked", "--from", "./shop", "--dry-run")
    assert [(row["name"], row["version"]) for row in plan] == [("base", "0.1.0"), ("app", "0.1.0")]
    (answer,) = there.json("install", "--locked", "--from", "./shop")
    assert answer["package"] is None
    assert answer["directory"].endswith("/there/installed")
    assert [(row["name"], row["requested"]) for row in there.json("list")] == [
        ("app", True),
        ("base", True),
    ]


def test_a_plan_says_what_would_come_from_where_and_what_was_passed_over(tool):
    shop(tool)
    tool.package("app", version="0.2.0", dependencies=["base >= 7"])
    (tool.directory / "app-0.2.0-any.veda").rename(tool.directory / "shop" / "app-0.2.0-any.veda")
    shutil.rmtree(tool.directory / "app.workspace")
    tool.package("top", version="1.0", dependencies=["app"])
    tool.run("register", "top-1.0-any.veda")
    rows = tool.json("install", "top", "--from", "./shop", "--dry-run")
    assert [(row["name"], row["version"], row["from"]) for row in rows] == [
        ("base", "0.2.0", "./shop"),
        ("app", "0.1.0", "./shop"),
        ("top", "1.0", "here"),
    ]
    passed = 'app 0.2.0 was passed over: it needs "base >= 7"'
    assert [row["passed_over"] for row in rows] == [None, passed, None]
    for row in rows[:2]:
        file = tool.directory / "shop" / f"{row['name']}-{row['version']}-any.veda"
        assert row["size"] == file.stat().st_size
    done = tool.run("install", "top", "--from", "./shop", "--dry-run")
    assert passed in done.stderr
    assert "2 of 3 would come from ./shop: " in done.stderr
    tool.run("install", "top", "--from", "./shop")
    done = tool.run("install", "top", "--dry-run")
    assert "nothing would be fetched" in done.stderr


def test_needs_are_listed_in_the_versions_that_are_loaded(tool):
    shop(tool)
    tool.run("install", "base@0.1.0", "--from", "./shop")
    tool.run("install", "app", "--from", "./shop")
    tool.run("install", "base@0.2.0", "--from", "./shop")
    rows = tool.json("list", "app", "--needs")
    assert [(row["name"], row["version"]) for row in rows] == [("base", "0.1.0"), ("app", "0.1.0")]
    assert rows[-1]["resolved"] == {"base": "0.1.0#any"}
    assert "0.1.0" in tool.text("list", "app", "--needs")
    tool.fails("list", "other", "--needs", says="other is not installed")
    tool.run("list", "--needs", code=2)
    tool.run("list", "app", "--needs", "--files", code=2)
