"""What a person in a hurry types: each slip is answered with what should have been written."""

import pathlib
import time

import pytest
from vedapkg_tool import VEDAPKG

SLIPS = [  # words, exit code, what the one line says
    (["inst", "demo"], 2, "there is no command 'inst': is it 'install'?"),
    (["Install", "demo"], 2, "is it 'install'?"),
    (["regsiter", "demo"], 2, "is it 'register'?"),
    (["remote", "ad", "prod"], 2, "is it 'remote add'?"),
    (["modle", "ls"], 2, "there is no command 'modle'"),
    (["install", "demo", "0.1.0"], 2, "one argument too many: '0.1.0': install PACKAGE"),
    (["install", "demo==0.1.0"], 1, "write demo@0.1.0"),
    (["install", "demo=0.1.0"], 1, "write demo@0.1.0"),
    (["install", "demo:0.1.0"], 1, "write demo@0.1.0"),
    (["install", "demo>=0.1"], 1, "write demo for the newest version"),
    (["install", "demo@latest"], 1, "write demo for the newest version"),
    (["install", "./demo-0.1.0-any.veda"], 1, "is a file: register it"),
    (["install", "demo-0.1.0-any.veda"], 1, "is a file: register it"),
    (["install", "demo.workspace"], 1, "demo.workspace is not registered here"),
    (["install", "-rf"], 2, "there is no option -r"),
    (["install", "--", "-rf"], 1, "is not valid at character 1"),
    (["install", "../demo"], 1, "register it first"),
    (["install", "demo\x1b[31m"], 1, "demo?[31m"),
    (["install", "x" * 10000], 1, "more than 128 characters"),
    (["register", "demo.workspace"], 1, "is a directory, and no package: if it is a workspace"),
    (["register", "nothing.veda"], 1, "cannot open nothing.veda: No such file"),
    (["register", "/dev/zero"], 1, "/dev/zero is no regular file"),
    (["query", "demo"], 1, "a package is found by \"name = 'demo'\""),
    (["query", "demo@0.1.0"], 1, "a package is found by \"name = 'demo'\""),
    (["query", "name == 'demo'"], 1, 'write one = for "is equal"'),
    (["query", "--remote", "prod"], 1, 'there is no remote "prod": add it first'),
    (["push", "demo"], 2, "--to REMOTE is missing: push PACKAGE"),
    (["push", "demo", "prod"], 2, "--to REMOTE is missing: push PACKAGE"),
    (["push", "prod", "demo", "--to", "prod"], 2, "one argument too many: 'demo': push PACKAGE"),
    (["pull", "demo", "--to", "prod"], 2, "there is no option --to"),
    (["pull", "demo", "--from", "prod"], 1, 'there is no remote "prod": add it first'),
    (["remote", "add", "prod", "/srv/exia"], 2, "--records URL is missing: remote add NAME"),
    (["remote", "remove", "prod"], 1, 'there is no remote "prod"'),
    (["remote", "list", "prod"], 2, "one argument too many: 'prod'"),
    (["unregister", "demo"], 1, "say which version of demo is to go"),
    (["update", "demo", '{"stage": 1}'], 2, "is not of the form KEY=VALUE"),
    (["activate", "demo"], 1, "demo is not installed"),
    (["import", "demo-0.1.0-any.veda"], 1, "if it is a package, register it"),
    (["url", "demo"], 2, "--remote REMOTE is missing"),
]


@pytest.fixture
def shop(tool):
    """A tool with demo@0.1.0 packed and registered."""
    tool.run("register", tool.package("demo"))
    return tool


def test_a_slip_is_answered_with_what_should_have_been_written(shop):
    for words, code, says in SLIPS:
        line = shop.fails(*words, code=code, says=says)
        assert line.isprintable() or line[:-1].isprintable(), line
    assert [row["name"] for row in shop.json("query")] == ["demo"]
    assert shop.json("list") == []


def test_a_remote_of_an_unknown_system_is_told_which_are_known(tool):
    places = ["--packages", tool.directory / "blobs"]
    for url in ("mongodb://h/d", "postgresql://me:s3cr3t@h/d", "ftp://h/x"):
        line = tool.fails("remote", "add", "r", "--records", url, *places, says="no driver for")
        assert "file, sqlite, s3+https" in line
        assert "s3cr3t" not in line
    url = "S3+HTTPS://me:s3cr3t@h/bucket"
    line = tool.fails("remote", "add", "r", "--records", url, *places, says="small letters")
    assert "s3cr3t" not in line
    assert tool.json("remote", "list") == []


@pytest.mark.skipif(
    not (pathlib.Path(VEDAPKG).parent / "exia" / "exia_s3.so").exists(),
    reason="exia_s3.so is left out where libcurl or expat is not installed",
)
def test_a_server_that_refuses_is_told_soon_and_named(shop):
    shop.environment.update(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="s3cr3t")
    shop.run(
        *("remote", "add", "s", "--records", shop.directory / "records.db"),
        *("--packages", "s3+http://127.0.0.1:1/bucket"),
    )
    begin = time.monotonic()
    line = shop.fails("push", "demo", "--to", "s", says="remote s: s3 http://127.0.0.1:1/bucket")
    assert "s3cr3t" not in line
    assert time.monotonic() - begin < 4  # with all its attempts it takes five seconds and more


def test_a_password_that_others_may_read_is_warned_of(shop):
    config = shop.home / "config.json"
    config.write_text(
        '{"format": 1, "remotes": {"r": {"records": "pg://me:s3cr3t@h/d", "packages": "/r"}}}'
    )
    config.chmod(0o644)
    said = shop.run("query", "--remote", "r", code=1).stderr
    assert "config.json holds a password, and others may read it: chmod 600" in said
    assert "s3cr3t" not in said
    assert "***" in shop.text("remote", "list")
