"""vedapkg key and model sign: who signs, whose signatures count, and where passwords come from."""

import json
import os
import select

import pytest
from vedapkg_tool import terminal


@pytest.fixture
def signing(tool):
    """A tool with a model "m"."""
    (tool.directory / "weights").write_bytes(b"weights")
    tool.run("model", "put", "m", "weights")
    return tool


def policy(tool):
    return json.loads((tool.home / "trust.json").read_text())["keys"]


def typed(tool, *words, lines):
    """Run it on a terminal, typing a line at each prompt; (exit code, what the terminal shows)."""
    ours, theirs = terminal()
    process = tool.start(*words, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, waiting = b"", list(lines)
    while select.select([ours], [], [], 30)[0]:
        try:
            more = os.read(ours, 4096)
        except OSError:  # Linux, when the last one who writes has left
            break
        shown += more
        if waiting and shown.endswith((b"Password: ", b"Once more: ")):
            os.write(ours, waiting.pop(0).encode() + b"\n")
    os.close(ours)
    return process.wait(30), shown.decode()


def test_what_is_wrong_with_a_key_is_said_in_one_line(signing):
    signing.fails("key", "trust", "me", "RWnonsense", says="RWnonsense")
    signing.fails("key", "trust", "a b", "RW", says="a b")
    signing.fails("key", "revoke", "nobody", says="nobody")
    signing.fails("model", "sign", "m", says="key.p")
    signing.fails("model", "sign", "absent", says="absent")
    signing.fails("model", "sign", "m", "--key", "none.pem", says="none.pem")
    assert signing.text("key", "ls") == ""


def test_a_key_is_made_once(tool):
    (row,) = tool.json("key", "new")
    assert row["secret_file"] == str(tool.home / "key.pem")
    assert (tool.home / "key.pem").stat().st_mode & 0o777 == 0o600
    assert row["key"] in (tool.home / "key.pub").read_text()
    before = (tool.home / "key.pem").read_bytes()
    tool.fails("key", "new", says="key.p")
    assert (tool.home / "key.pem").read_bytes() == before
    done = tool.run("key", "new", "other.pem")
    assert done.stdout.startswith("RW") and "not encrypted" in done.stderr


def test_a_key_is_trusted_and_revoked(tool):
    key = tool.text("key", "new", "k.pem")
    assert tool.text("key", "ls") == ""
    tool.run("key", "trust", "me", key)
    tool.run("key", "trust", "me", "k.pub")
    assert [(row["name"], row["revoked"]) for row in tool.json("key", "ls")] == [("me", None)]
    tool.run("key", "revoke", "me", "-m", "lost")
    (row,) = policy(tool)
    assert row["why"] == "lost" and row["revoked"]
    tool.fails("key", "trust", "me", key, says="revoked")


def test_another_policy_is_read_and_written_where_it_is_named(signing):
    key = signing.text("key", "new")
    signing.run("model", "sign", "m")
    signing.run("key", "trust", "me", key, "--trust", "team.json")
    assert signing.text("key", "ls") == "" and not (signing.home / "trust.json").exists()
    assert [row["name"] for row in signing.json("key", "ls", "--trust", "team.json")] == ["me"]
    show = ("model", "show", "m")
    assert signing.json(*show)[0]["policy"] == {"trusted": True}  # who alone may write there
    os.chmod(signing.home / "models", 0o777)
    (facts,) = signing.json(*show)
    assert facts["policy"]["trusted"] is False and "signed" not in facts["policy"]
    assert " trusted no: others may write " in " ".join(signing.text(*show).split())
    (facts,) = signing.json(*show, "--trust", "team.json")
    assert facts["policy"]["signed"]["by"] == "me"
    signing.run("key", "revoke", "me", "--trust", "team.json", "-m", "lost")
    assert "revoked: lost" in signing.text(*show, "--trust", "team.json")
    (signing.directory / "team.json").write_text("{")
    signing.fails(*show, "--trust", "team.json", says="team.json")


def test_a_signature_is_in_the_history(signing):
    signing.run("key", "new")
    signing.run("key", "trust", "me", signing.home / "key.pub")
    assert signing.text("model", "sign", "m", "-m", "checked") == "m@1"
    row = signing.json("model", "history", "m")[-1]
    assert (row["do"], row["why"]) == ("sign", "checked")


def test_a_password_comes_from_stdin_and_never_from_arguments(signing):
    signing.run("key", "new", "k.pem", "--password-stdin", input="secret\n")
    assert "ENCRYPTED" in (signing.directory / "k.pem").read_text()
    sign = ("model", "sign", "m", "--key", "k.pem")
    signing.fails(*sign, says="--password-stdin")
    for wrong in ("other\n", "\n", "", "secret\0\n", "x" * 1001 + "\n"):
        done = signing.run(*sign, "--password-stdin", code=1, input=wrong)
        assert done.stdout == "" and done.stderr.count("\n") == 1
        assert "secret" not in done.stderr.replace("secret key", "")
    assert signing.run(*sign, "--password-stdin", input="secret\nmore").stdout == "m@1\n"
    assert signing.run(*sign, "--password-stdin", input="secret").stdout == "m@1\n"


@pytest.mark.parametrize("password", ["\n", "", "x" * 1001 + "\n"])
def test_a_password_that_is_none_makes_no_key(tool, password):
    tool.run("key", "new", "k.pem", "--password-stdin", code=1, input=password)
    assert not (tool.directory / "k.pem").exists()


def test_on_a_terminal_a_password_is_asked_for_and_not_shown(signing):
    code, shown = typed(signing, "key", "new", "k.pem", lines=["secret", "other"])
    assert code == 1 and "the two passwords differ" in shown and "secret" not in shown
    assert not (signing.directory / "k.pem").exists()
    code, _ = typed(signing, "key", "new", "k.pem", lines=["secret", "secret"])
    assert code == 0 and "ENCRYPTED" in (signing.directory / "k.pem").read_text()
    sign = ("model", "sign", "m", "--key", "k.pem")
    code, shown = typed(signing, *sign, lines=["wrong"])
    assert code == 1 and "wrong" not in shown.split("Password: ")[1].split("\n")[0]
    code, shown = typed(signing, *sign, lines=["secret"])
    assert code == 0 and "m@1" in shown and "secret" not in shown
    code, shown = typed(signing, *sign, lines=["\x03"])
    assert code == 1 and "stopped" in shown
    code, _ = typed(signing, "key", "new", "plain.pem", lines=["", ""])
    assert code == 0 and "ENCRYPTED" not in (signing.directory / "plain.pem").read_text()
