"""Packages from a shell: registered, sent to another host, installed, and everything that may go wrong."""

import hashlib
import json
import os
import shutil
from pathlib import Path


def with_depot(tool):
    """A remote that is two things in the directory."""
    records = f"sqlite:{tool.directory}/depot.db"
    packages = f"file:{tool.directory}/depot"
    tool.run("remote", "add", "depot", "--records", records, "--packages", packages)
    return tool


# ---- the main road --------------------------------------------------------------------------


def test_a_package_goes_from_a_workspace_to_another_host(tool):
    tool.package()
    assert tool.text("register", "hello-0.1.0-any.veda") == "hello@0.1.0#any"
    (row,) = tool.json("query", "name = 'hello'")
    assert (row["name"], row["version"], row["tag"]) == ("hello", "0.1.0", "any")
    size = (tool.directory / "hello-0.1.0-any.veda").stat().st_size
    assert row["size"] == size

    with_depot(tool)
    (moved,) = tool.json("push", "hello", "--to", "depot")
    assert moved["total"] == size and moved["moved"] + moved["reused"] == size
    assert moved["package"] == "hello@0.1.0#any"
    (again,) = tool.json("push", "hello", "--to", "depot")
    assert again["moved"] == 0

    there = with_depot(tool.other_home("there"))
    assert there.text("query") == ""
    assert [r["name"] for r in there.json("query", "--remote", "depot")] == ["hello"]
    assert "hello@0.1.0#any: " in there.run("pull", "hello", "--from", "depot").stderr
    assert there.json("query")[0]["digest"] == row["digest"]
    directory = there.text("install", "hello")
    assert directory.startswith(str(there.home))
    code = os.path.join(directory, "code", "hello.py")
    assert Path(code).read_text() == (tool.directory / "hello.py").read_text()

    (installed,) = there.json("list")
    assert installed["directory"] == directory and installed["digest"] == row["digest"]
    files = there.text("list", "hello", "--files").splitlines()
    assert code in files and all(f.startswith(directory + "/") for f in files)
    assert there.text("which", code) == "hello@0.1.0#any"
    there.fails("unregister", "nothing@1", says="nothing")
    there.run("uninstall", "hello")
    assert there.json("list") == [] and not os.path.exists(directory)
    there.run("unregister", "hello@0.1.0")
    assert there.json("query") == []
    there.fails("install", "hello", says="hello")


def test_install_pulls_from_a_remote_with_all_that_is_needed(tool):
    with_depot(tool)
    tool.package("base")
    tool.package("app", dependencies=["base >= 0.1"])
    for name in ("base", "app"):
        tool.run("register", f"{name}-0.1.0-any.veda", "--remote", "depot")
    assert tool.json("query") == []
    there = with_depot(tool.other_home("there"))
    there.fails("install", "app", says="app")
    there.run("install", "app", "--from", "depot")
    assert [row["name"] for row in there.json("list")] == ["app", "base"]
    assert {row["name"]: row["requested"] for row in there.json("list")} == {
        "app": True,
        "base": False,
    }
    there.fails("uninstall", "base", says="app")
    there.run("uninstall", "app")


def test_a_remote_of_files_has_no_url_for_a_package(tool):
    with_depot(tool)
    tool.run("register", tool.package(), "--remote", "depot")
    tool.fails("url", "hello", "--remote", "depot", says="no URLs")
    tool.fails("url", "hello", "--remote", "depot", "--expires", "1w", says="12h", code=2)
    tool.fails("url", "hello", says="--remote", code=2)
    tool.fails("url", "other", "--remote", "depot", says="other")


def test_install_without_a_dependency_installs_nothing(tool):
    tool.package("app", dependencies=["missing >= 2"])
    tool.run("register", "app-0.1.0-any.veda")
    tool.fails("install", "app", says="missing")
    assert tool.json("list") == []


def test_update_replaces_the_facts_here_and_there(tool):
    with_depot(tool)
    file = tool.package()
    tool.run("register", file)
    tool.run("register", file, "--remote", "depot")
    tool.run("update", "hello", "stage=prod", "runs=3", "ok=true", "rate=0.5", "v='1.10'")
    tool.run("update", "hello@0.1.0", 'quoted="1.10"', "list=[1]", "equation=a=b")
    (row,) = tool.json("query", "facts.quoted = '1.10'")
    assert row["facts"] == {"quoted": "1.10", "list": "[1]", "equation": "a=b"}
    tool.run("update", "hello@0.1.0#any", "--facts", '{"n": {"a": 1}}')
    assert tool.json("query")[0]["facts"] == {"n": {"a": 1}}
    tool.run("update", "hello", "where=there", "--remote", "depot")
    assert tool.json("query")[0]["facts"] == {"n": {"a": 1}}
    assert tool.json("query", "--remote", "depot")[0]["facts"] == {"where": "there"}
    tool.run("unregister", "hello@0.1.0", "--remote", "depot")
    assert tool.json("query", "--remote", "depot") == []
    assert len(tool.json("query")) == 1


def test_query_shows_an_aligned_table(tool):
    tool.package("a", description="größer\x1b[31m als\nvorher 日本\u202e\u2066\x9b“”")
    tool.package("longer-name", version="10.2")
    tool.run("register", "a-0.1.0-any.veda")
    tool.run("register", "longer-name-10.2-any.veda")
    tool.run("update", "longer-name", "stage=prod")
    head, first, second = tool.text("query").splitlines()
    assert head.split()[:4] == ["NAME", "VERSION", "TAG", "SIZE"]
    for heading, values in {"VERSION": ("0.1.0", "10.2"), "TAG": ("any", "any")}.items():
        at = head.index(heading)
        assert first[at:].startswith(values[0]) and second[at:].startswith(values[1])
    assert "stage=prod" in second
    assert "größer?[31m als?vorher 日本???“”" in first
    assert "B " in first


# ---- the registry and remotes ---------------------------------------------------------------


def test_a_file_is_not_installed_and_the_error_says_what_to_do(tool):
    tool.package()
    tool.fails("install", "hello-0.1.0-any.veda", says="is a file: register it")
    tool.fails("install", "none.veda", says="none.veda is not registered here")


def test_unknown_packages_and_remotes_are_named(tool):
    with_depot(tool)
    file = tool.package()
    tool.fails("pull", "hello", "--from", "depot", says="depot")
    tool.run("register", file, "--remote", "depot")
    for words in (
        ("push", "nothing", "--to", "depot"),
        ("pull", "nothing", "--from", "depot"),
        ("install", "nothing"),
        ("install", "nothing", "--from", "depot"),
        ("uninstall", "nothing"),
        ("update", "nothing", "a=b"),
        ("unregister", "nothing@1"),
        ("list", "nothing", "--files"),
    ):
        tool.fails(*words, says="nothing")
    tool.run("register", file)
    for words in (
        ("push", "hello", "--to", "nowhere"),
        ("pull", "hello", "--from", "nowhere"),
        ("register", file, "--remote", "nowhere"),
        ("update", "hello", "a=b", "--remote", "nowhere"),
        ("query", "--remote", "nowhere"),
        ("unregister", "hello@0.1.0", "--remote", "nowhere"),
        ("remote", "check", "nowhere"),
        ("remote", "remove", "nowhere"),
    ):
        tool.fails(*words, says="nowhere")
    tool.fails("unregister", "hello", says="version")
    tool.fails("which", "/etc/passwd", says="/etc/passwd")
    tool.fails("which", tool.directory / "absent")


def test_a_remote_is_remembered_checked_and_forgotten(tool):
    with_depot(tool)
    assert [row["name"] for row in tool.json("remote", "list")] == ["depot"]
    assert "depot" in tool.text("remote", "list")
    other = ("--records", "sqlite:other.db", "--packages", "file:other")
    tool.fails("remote", "add", "depot", *other, says="depot")
    tool.fails("remote", "add", "a/b", *other)
    tool.fails("remote", "add", "x" * 10000, *other)
    for url in ("ftp://host/x", "nonsense:", ""):
        tool.fails("remote", "add", "odd", "--records", url, "--packages", "file:x")
        tool.fails("remote", "add", "odd", "--records", "sqlite:x.db", "--packages", url)
    assert {row["value"] for row in tool.json("remote", "check", "depot")} == {
        "nothing was pushed there yet"
    }
    assert tool.json("query", "--remote", "depot") == []
    tool.fails("pull", "hello", "--from", "depot", says="nothing was pushed to depot yet")
    tool.run("register", tool.package(), "--remote", "depot")
    rows = tool.json("remote", "check", "depot")
    assert {row["store"] for row in rows} == {"records", "packages"}
    there = sorted(tool.directory.rglob("*.veda"))
    tried = {row["key"]: row["value"] for row in tool.json("remote", "check", "depot", "--try")}
    assert tried["copies ranges"].startswith("yes") and tried["read 12 MiB"].endswith("MiB/s")
    assert {"store 12 MiB", "list", "touch", "remove two", "url"} <= set(tried)
    assert sorted(tool.directory.rglob("*.veda")) == there
    assert not [path for path in tool.directory.rglob("trial/*")]
    tool.run("remote", "remove", "depot")
    assert tool.json("remote", "list") == []


def test_a_filter_that_is_none_is_misread_by_nobody(tool):
    for text in ("name =", "name = 'x", "metrics..a = 1", "order by", "name = 'x' limit -1", "("):
        tool.fails("query", text)
    assert tool.text("query", "name = 'x'") == ""


def test_update_takes_facts_in_one_way_only(tool):
    tool.run("register", tool.package())
    for words in (
        (),
        ("a=b", "--facts", "{}"),
        ("nothing",),
        ("=b",),
        ("a=1", "a=2"),
        ("--facts", "{"),
        ("--facts", "[1]"),
        ("--facts", '{"a": 1, "a": 2}'),
    ):
        tool.fails("update", "hello", *words, code=2)
    assert tool.json("query")[0]["facts"] == {}


def test_another_package_of_the_same_identity_is_refused(tool):
    tool.run("register", tool.package())
    tool.run("register", "hello-0.1.0-any.veda")
    (tool.directory / "hello.workspace" / "code" / "hello.py").write_text("other")
    tool.run("pack", "hello.workspace", "-o", "other.veda")
    tool.fails("register", "other.veda", says="hello")
    assert len(tool.json("query")) == 1


def test_the_newest_version_is_meant_unless_one_is_named(tool):
    for version in ("1.9", "1.10", "1.2"):
        shutil.rmtree(tool.directory / "hello.workspace", ignore_errors=True)
        tool.run("register", tool.package(version=version))
    assert [row["version"] for row in tool.json("query")] == ["1.10", "1.9", "1.2"]
    assert "1.10" in tool.text("install", "hello")
    assert "1.2" in tool.text("install", "hello@1.2")
    assert sorted(row["version"] for row in tool.json("list")) == ["1.10", "1.2"]


def test_the_version_that_was_asked_for_is_current_and_can_be_changed(tool):
    for version in ("1.0", "2.0"):
        shutil.rmtree(tool.directory / "hello.workspace", ignore_errors=True)
        tool.run("register", tool.package(version=version))
        directory = tool.text("install", f"hello@{version}")
    link = tool.home / "installed" / "hello" / "current"
    assert os.readlink(link) == "2.0/any"
    assert tool.text("which", link / "code" / "hello.py") == "hello@2.0#any"
    tool.fails("activate", "hello@1.0", "--expect", "1.0", says="hello@2.0#any is current, not 1.0")
    tool.fails("activate", "hello@1.0", "--expect", "none", says="hello@2.0#any is current")
    tool.fails("activate", "hello@3.0", says="hello@3.0 is not installed")
    tool.run("activate", "hello@1.0", "--expect", "2.0#any")
    assert {r["version"]: r["current"] for r in tool.json("list")} == {"1.0": True, "2.0": False}
    assert tool.text("install", "hello@2.0", "--keep-current") == directory
    assert os.readlink(link) == "1.0/any"
    tool.run("uninstall", "hello@1.0")
    assert os.readlink(link) == "2.0/any"


def test_check_tells_each_file_that_is_not_as_it_was_and_repairs_it(tool):
    tool.run("register", tool.package())
    code = Path(tool.text("install", "hello"), "code", "hello.py")
    assert tool.json("check") == []
    code.write_bytes(code.read_bytes().replace(b"I am", b"I AM"))
    code.chmod(0o600)
    (row, mode) = map(json.loads, tool.run("check", "hello", "--json", code=1).stdout.splitlines())
    assert (row["path"], row["problem"], row["repaired"]) == ("code/hello.py", "digest", False)
    assert row["found"] == hashlib.sha256(code.read_bytes()).hexdigest() != row["expected"]
    assert len(row["expected"]) == 64
    assert (mode["problem"], mode["expected"], mode["found"]) == ("mode", "0644", "0600")
    done = tool.run("check", code=1)
    assert "digest" in done.stdout and "problems that are left: 2, mended: 0" in done.stderr
    tool.fails("check", "--from", "depot", code=2)
    tool.fails("check", "nothing", says="nothing is not installed")
    assert [row["repaired"] for row in tool.json("check", "--repair")] == [True, True]
    assert "I am" in code.read_text() and tool.json("check") == []
    assert tool.json("check", "--registered") == []
    tool.fails("check", "--remote", "nowhere", says="nowhere")
    tool.fails("check", "--remote", "depot", "--repair", "--from", "depot", code=2)


def test_prune_tells_what_nobody_needs_and_takes_it_only_when_told_to(tool):
    tool.run("register", tool.package("base"))
    tool.run("register", tool.package("app", dependencies=["base"]))
    tool.run("install", "app")
    assert tool.json("prune") == []
    tool.run("uninstall", "app")
    done = tool.run("prune")
    assert "base" in done.stdout and "--apply" in done.stderr
    assert [row["name"] for row in tool.json("list")] == ["base"]
    assert [row["name"] for row in tool.json("prune", "--apply")] == ["base"]
    assert tool.json("list") == []
