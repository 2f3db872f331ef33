"""Packages from a shell: from a workspace to another host, and everything that may go wrong."""

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest


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
    (again,) = tool.json("push", "hello", "--to", "depot")
    assert again["moved"] == 0

    there = with_depot(tool.other_home("there"))
    assert there.text("query") == ""
    assert [r["name"] for r in there.json("query", "--remote", "depot")] == ["hello"]
    there.run("pull", "hello", "--from", "depot")
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


# ---- files ----------------------------------------------------------------------------------


def test_new_prints_where_and_keeps_what_is_there(tool):
    assert tool.text("new", "hello") == "hello"
    manifest = (tool.directory / "hello" / "veda.json").read_text()
    assert json.loads(manifest)["name"] == "hello"
    tool.fails("new", "hello", says="veda.json")
    assert (tool.directory / "hello" / "veda.json").read_text() == manifest
    tool.fails("new", "a/b")
    tool.fails("new", "Upper")
    tool.fails("new", "x" * 10000)
    tool.fails("new", "")


def test_add_prints_what_it_added_and_where(tool):
    tool.run("new", "hello", "space")
    space = tool.directory / "space"
    (tool.directory / "a.py").write_text("a")
    (tool.directory / "b.py").write_text("b")
    assert tool.text("add", "a.py", "b.py", "-C", "space") == "code/a.py\ncode/b.py"
    done = tool.run("add", "../a.py", "--as", "doc", "--json", cwd=space)
    assert json.loads(done.stdout) == {"path": "doc/a.py", "kind": "doc"}
    tool.fails("add", "a.py", "-C", "space", says="a.py")
    tool.fails("add", "nothing", "-C", "space", says="nothing")
    tool.fails("add", "a.py", "--as", "spice", "-C", "space", says="spice")
    tool.fails("add", "a.py", says="veda.json")
    tool.fails("add", "nothing@1", "--as", "model", "-C", "space", says="models")
    tool.run("init")
    tool.fails("add", "nothing@1", "--as", "model", "-C", "space", says="nothing")


def test_add_names_entry_points(tool):
    tool.run("new", "hello", "space")
    (tool.directory / "a.py").write_text("a")
    names = ("--entry", "greet=a:greet", "--entry", "other=a.b:C.d")
    assert tool.text("add", "a.py", *names, "-C", "space") == "code/a.py"
    manifest = tool.directory / "space" / "veda.json"
    assert json.loads(manifest.read_text())["entry_points"] == {
        "greet": "a:greet",
        "other": "a.b:C.d",
    }
    assert tool.json("add", "--entry", "greet=a:hello", "-C", "space") == [
        {"entry": "greet", "object": "a:hello"}
    ]
    before = manifest.read_bytes()
    assert json.loads(before)["entry_points"]["greet"] == "a:hello"
    tool.fails("add", "--entry", "greet=a", "-C", "space", says="module:object")
    tool.fails("add", "--entry", "a/b=a:b", "-C", "space", says="a/b")
    tool.fails("add", "--entry", "greet=a:b", says="veda.json")
    tool.fails("add", "--entry", "greet", "-C", "space", code=2, says="NAME=MODULE:OBJECT")
    tool.fails("add", "-C", "space", code=2, says="PATH")
    assert manifest.read_bytes() == before


def test_a_model_is_added_out_of_the_library(tool):
    (tool.directory / "weights").write_bytes(b"0123")
    tool.run("model", "put", "digits", "weights", "--alias", "best-one")
    tool.run("new", "hello", "space")
    added = tool.text("add", "digits@best-one", "--as", "model", "-C", "space")
    assert added == "model/digits"
    model = tool.directory / "space" / "model" / "digits"
    assert (model / "model").read_bytes() == b"0123"
    facts = json.loads((model / "version.json").read_text())["version"]
    assert (facts["name"], facts["version"]) == ("digits", 1)


def test_the_same_workspace_gives_the_same_bytes(tool):
    space = tool.workspace()
    assert tool.text("pack", space, "-o", "a.veda") == "a.veda"
    assert tool.text("pack", "-o", "b.veda", "--threads", "1", "--", space) == "b.veda"
    a, b = (tool.directory / name for name in ("a.veda", "b.veda"))
    assert a.read_bytes() == b.read_bytes()


def test_pack_refuses_what_is_no_workspace(tool):
    tool.fails("pack", says="veda.json")
    tool.fails("pack", "nothing", says="nothing")
    space = tool.workspace()
    tool.fails("pack", space, "-o", "no/such/dir/x.veda", says="no/such/dir")
    tool.fails("pack", space, "-o", "-", code=2, says="-o needs a file")
    for level in ("0", "20", "x", "", "3.5", "99999999999999999999"):
        tool.fails("pack", space, "--level", level, code=2, says="--level")
    (space / "veda.json").write_text("{")
    tool.fails("pack", space, says="veda.json")
    assert list(tool.directory.glob("*.veda")) == []


def test_a_package_that_names_no_platform_is_for_any(tool):
    workspace = tool.directory / "bare"
    workspace.mkdir()
    (workspace / "veda.json").write_text('{"format": 1, "name": "bare", "version": "1"}')
    file = tool.text("pack", "bare")
    assert file == "bare-1-any.veda"
    assert tool.json("inspect", file)[0]["package"] == "bare@1#any"


def test_inspect_shows_what_a_package_is(tool):
    file = tool.package(description="says hello", entry_points={"greet": "hello:greet"})
    page = tool.text("inspect", file)
    for text in ("hello", "0.1.0", "any", "says hello", "greet=hello:greet", "code/hello.py"):
        assert text in page
    (facts,) = tool.json("inspect", file)
    assert facts["package"] == "hello@0.1.0#any"
    assert facts["manifest"]["entry_points"] == {"greet": "hello:greet"}
    rows = {row["path"]: row for row in tool.json("inspect", file, "--files")}
    assert rows["code/hello.py"]["size"] == (tool.directory / "hello.py").stat().st_size
    assert rows["code/hello.py"]["type"] == "file" and len(rows["code/hello.py"]["sha256"]) == 64
    assert "code/hello.py" in tool.text("inspect", file, "--files")
    assert tool.text("verify", file) == "" == tool.text("verify", file, "--quick")


def test_what_is_in_an_archive_is_added_as_a_component(tool):
    directory = tool.workspace()
    (tool.directory / "notes.md").write_text("read me")
    subprocess.run(["tar", "-czf", "notes.tar.gz", "./notes.md"], cwd=tool.directory, check=True)
    rows = tool.json("add", "notes.tar.gz", "--unpack", "-C", directory)
    assert rows == [{"path": "doc/notes", "kind": "doc"}]
    assert (directory / "doc" / "notes" / "notes.md").read_text() == "read me"
    tool.fails("add", "notes.tar.gz", "--unpack", "-C", directory, says="there already")
    tool.fails("add", "notes.md", "--unpack", "-C", directory, says="is no .tar")
    tool.fails("verify", "notes.tar.gz", says="vedapkg add --unpack")


def test_unpack_fills_a_directory_whole_or_not_at_all(tool):
    file = tool.package()
    assert tool.text("unpack", file) == "hello-0.1.0-any"
    out = tool.directory / "hello-0.1.0-any"
    assert (out / "code" / "hello.py").read_text() == (tool.directory / "hello.py").read_text()
    tool.fails("unpack", file, says="hello-0.1.0-any")
    tool.run("unpack", file, "part", "--pattern", "code/*")
    assert [p.name for p in (tool.directory / "part").rglob("*") if p.is_file()] == ["hello.py"]
    tool.fails("unpack", file, "none", "--pattern", "nothing", says="nothing")
    assert not (tool.directory / "none").exists()
    shutil.copy(file, tool.directory / "odd")
    tool.fails("unpack", "odd", code=2, says="DIR")
    tool.run("unpack", "odd", "from-odd")


@pytest.mark.parametrize("words", [("inspect",), ("verify",), ("unpack",), ("register",)])
def test_a_file_that_is_no_good_package_is_refused(words, tool):
    good = tool.package().read_bytes()
    middle = len(good) // 2
    bad = {
        "empty": b"",
        "foreign": b"this is no package at all\n" * 100,
        "truncated": good[:-10],
        "half": good[:middle],
        "index": good[:-20] + bytes([good[-20] ^ 1]) + good[-19:],
    }
    if words != ("inspect",):  # which does not read the payload
        bad["flipped"] = good[:20] + bytes([good[20] ^ 0x10]) + good[21:]
    for name, data in bad.items():
        (tool.directory / f"{name}.veda").write_bytes(data)
        assert f"{name}.veda" in tool.fails(*words, f"{name}.veda")
        assert not (tool.directory / name).exists()
    tool.fails(*words, "absent.veda", says="absent.veda")
    more = ("out",) if words == ("unpack",) else ()
    tool.fails(*words, tool.directory, *more)
    tool.fails(*words, "", *more)
    assert tool.json("query") == []


# ---- the registry and remotes ---------------------------------------------------------------


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


# ---- homes ----------------------------------------------------------------------------------


def test_init_makes_a_home_where_it_is_asked_to(tool):
    assert tool.text("init") == str(tool.home)
    assert tool.text("init") == str(tool.home)
    done = tool.run("init", "elsewhere")
    assert os.path.isdir(tool.directory / "elsewhere" / "models")
    assert f"EXIA_HOME={done.stdout.strip()}" in done.stderr
    assert tool.run("init", "elsewhere", "-q").stderr == ""
    tool.fails("init", "a", "--home", "b", code=2)
    tool.fails("init", "", code=2)
    del tool.environment["EXIA_HOME"]
    tool.environment["XDG_DATA_HOME"] = str(tool.directory / "data")
    assert tool.text("init") == str(tool.directory / "data" / "exia")


def test_a_home_that_is_a_file_is_refused(tool):
    tool.home.write_text("a file")
    for words in (("init",), ("query",), ("list",), ("install", "x"), ("model", "ls")):
        tool.fails(*words, says="home")
    assert tool.home.read_text() == "a file"


def databases(home):
    return [
        path
        for path in home.rglob("*")
        if path.is_file() and path.read_bytes()[:15] == b"SQLite format 3"
    ]


def test_a_catalogue_that_is_no_database_is_refused(tool):
    tool.run("init")
    files = databases(tool.home)
    assert files
    for path in files:
        for extra in ("-wal", "-shm"):
            path.with_name(path.name + extra).unlink(missing_ok=True)
        path.write_bytes(b"this is not a database, " * 100)
    for words in (("query",), ("model", "ls"), ("init",)):
        tool.fails(*words)


def test_a_catalogue_of_a_newer_schema_is_refused(tool):
    tool.run("init")
    for path in databases(tool.home):
        connection = sqlite3.connect(path)
        connection.execute("pragma user_version = 1000000")
        connection.close()
    for words in (("query",), ("model", "ls"), ("model", "put", "x", "hello.py")):
        (tool.directory / "hello.py").write_text("x")
        tool.fails(*words)


def test_a_home_without_permission_is_refused(tool):
    if os.getuid() != 0:
        pytest.skip("only root can become a user without permission")
    tool.run("init")
    tool.home.chmod(0o700)
    try:
        tool.run("--version", user=65534, group=65534, cwd="/")
    except PermissionError:
        pytest.skip("nobody may not even run the tool where it lies")
    for words in (("query",), ("model", "ls"), ("init",), ("install", "x"), ("list",)):
        done = tool.run(*words, code=1, user=65534, group=65534, cwd="/")
        assert done.stdout == "" and done.stderr.count("\n") == 1, done
        assert "ermission" in done.stderr, done


def test_tar_opens_a_package(tool):
    file = tool.package()
    done = subprocess.run(["tar", "--zstd", "-tf", file], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert "code/hello.py" in done.stdout.split()


# ---- signatures -----------------------------------------------------------------------------


def test_a_package_is_signed_and_its_signer_told(tool):
    file = tool.package()
    tool.fails("sign", file, says="key.p")
    tool.fails("sign", "none.veda", says="none.veda")
    tool.run("key", "new")
    assert "not signed" in tool.run("verify", file).stderr
    tool.fails("verify", file, "--require-signature", says="is not signed")
    assert tool.json("verify", file)[0]["signature"] is None

    assert tool.text("sign", file, "-o", "signed.veda", "--comment", "checked") == "signed.veda"
    assert tool.json("inspect", file)[0]["signature"] is None
    assert "which is not trusted" in tool.run("verify", "signed.veda").stderr
    tool.fails("verify", "signed.veda", "--require-signature", says="which is not trusted")
    tool.run("key", "trust", "me", tool.home / "key.pub")
    assert "signed by me" in tool.run("verify", "signed.veda", "--require-signature").stderr
    assert "signed by me" in tool.text("inspect", "signed.veda")
    row = tool.json("inspect", "signed.veda")[0]
    assert (row["signature"]["state"], row["signature"]["comment"]) == ("good", "checked")
    assert row["digest"] == tool.json("inspect", file)[0]["digest"]
    assert tool.json("sign", file)[0]["signature"]["comment"] == "hello@0.1.0#any"

    tool.run("unpack", file, "strictly", "--require-signature")

    tool.run("key", "revoke", "me", "-m", "lost")
    assert "was revoked: lost" in tool.run("verify", file).stderr
    for words in (("verify", file), ("unpack", file, "not")):
        tool.fails(*words, "--require-signature", says="was revoked: lost")
    assert not (tool.directory / "not").exists()


def test_what_is_packed_and_signed_at_once_is_what_is_signed_later(tool):
    file = tool.package()
    tool.run("key", "new", "k.pem", "--password-stdin", input="secret\n")
    pack = ("pack", "hello.workspace", "-o", "once.veda", "--sign", "--key", "k.pem")
    tool.fails("pack", "hello.workspace", "--key", "k.pem", code=2, says="--sign")
    tool.fails(*pack, says="--password-stdin")
    assert not (tool.directory / "once.veda").exists()
    tool.run(*pack, "--password-stdin", input="secret\n")
    tool.run("sign", file, "--key", "k.pem", "--password-stdin", input="secret\n")
    assert (tool.directory / "once.veda").read_bytes() == (tool.directory / file).read_bytes()


def test_another_policy_is_named_by_its_file(tool):
    file = tool.package()
    tool.run("key", "new")
    tool.run("sign", file)
    (tool.directory / "other.json").write_text('{"format": 1, "require_signature": true}')
    for words in (("verify", file), ("unpack", file, "to")):
        tool.run(*words)
        tool.fails(*words, "--trust", "other.json", says="not trusted")
    tool.run("key", "trust", "me", tool.home / "key.pub", "--trust", "other.json")
    tool.run("verify", file, "--trust", "other.json")
    assert tool.json("inspect", file, "--trust", "other.json")[0]["signature"]["by"] == "me"


def test_minisign_checks_our_signature_and_we_take_its(tool):
    file = tool.package()

    def minisign(*words):
        done = subprocess.run(["minisign", *words], cwd=tool.directory, capture_output=True)
        assert done.returncode == 0, done

    tool.run("key", "new", "k.pem")
    tool.run("sign", file, "--key", "k.pem", "-o", "ours.veda")
    subprocess.run(["tar", "--zstd", "-xf", "ours.veda", "VEDA"], cwd=tool.directory, check=True)
    minisign("-V", "-H", "-m", "VEDA/METADATA.json", "-x", "VEDA/SIGNATURE", "-p", "k.pub")

    minisign("-G", "-W", "-p", "mini.pub", "-s", "mini.sec")
    minisign("-S", "-s", "mini.sec", "-m", "VEDA/METADATA.json", "-x", "theirs")
    tool.fails("sign", file, "--signature", "theirs", says="not trusted")
    tool.fails("sign", file, "--signature", "none", says="none")
    tool.fails("sign", file, "--signature", file, says="no signature")
    tool.run("key", "trust", "mini", "mini.pub")
    tool.run("sign", file, "--signature", "theirs")
    assert "signed by mini" in tool.run("verify", file, "--require-signature").stderr
    tool.package("other")
    tool.fails("sign", "other-0.1.0-any.veda", "--signature", "theirs", says="not of this package")
