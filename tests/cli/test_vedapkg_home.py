"""Homes from a shell: made where one asks, refused where they are no good."""

import os
import sqlite3

import pytest


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
