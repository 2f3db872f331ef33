"""Help, misuse and exit codes of every command, driven from the table that drives the tool."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from vedapkg_tool import COMMANDS, VEDAPKG, Tool

import exia

# Every command once, in an order that works, so that each can be held to its promises.
STORY = [
    ("init",),
    ("new", "hello", "space"),
    ("add", "hello.py", "--as", "code", "-C", "space"),
    ("add", "--entry", "greet=hello:greet", "-C", "space"),
    ("pack", "space", "-o", "hello.veda"),
    ("inspect", "hello.veda"),
    ("inspect", "hello.veda", "--files"),
    ("verify", "hello.veda"),
    ("unpack", "hello.veda", "unpacked"),
    ("cat", "hello.veda", "code/hello.py"),
    ("register", "hello.veda"),
    ("update", "hello", "stage=prod", "runs=3"),
    ("query",),
    ("have",),
    ("export", "hello", "-o", "hello.tar"),
    ("import", "hello.tar"),
    ("remote", "add", "depot", "--records", "sqlite:depot.db", "--packages", "file:depot"),
    ("remote", "list"),
    ("push", "hello", "--to", "depot"),
    ("remote", "check", "depot"),
    ("unregister", "hello@0.1.0"),
    ("pull", "hello", "--from", "depot"),
    ("install", "hello"),
    ("list",),
    ("list", "hello", "--files"),
    ("which", "INSTALLED"),
    ("activate", "hello", "--expect", "0.1.0"),
    ("check", "--repair"),
    ("prune",),
    ("uninstall", "hello"),
    ("remote", "remove", "depot"),
    ("cache", "show"),
    ("cache", "clear"),
    ("model", "put", "digits", "weights", "--alias", "champion"),
    ("model", "put", "digits", "weights", "--alias", "champion", "--metric", "auc=0.5"),
    ("model", "import", "elsewhere", "weights"),
    ("model", "rm", "elsewhere@1"),
    ("model", "ls"),
    ("model", "show", "digits"),
    ("model", "requirements", "recorded"),
    ("model", "get", "digits"),
    ("model", "get", "digits", "--part", "model", "-o", "part"),
    ("model", "protect", "digits", "champion"),
    ("model", "protect", "digits", "champion", "--off", "-m", "over"),
    ("model", "rollback", "digits", "champion"),
    ("model", "alias", "digits", "champion", "none"),
    ("model", "history", "digits"),
    ("key", "new"),
    ("key", "trust", "me", "home/key.pub"),
    ("sign", "hello.veda"),
    ("model", "sign", "digits@1"),
    ("key", "revoke", "me", "-m", "lost"),
    ("key", "ls"),
    ("model", "rm", "digits@2"),
    ("model", "put", "spare", "hello.py"),
    ("model", "rm", "spare@1"),
    ("model", "retain", "--last", "1"),
    ("model", "gc"),
    ("model", "fsck"),
    ("model", "backup", "backup"),
    ("model", "restore", "backup"),
    ("help",),
    ("completion", "bash"),
]


def command_of(words):
    two = " ".join(words[:2])
    return two if any(row["name"] == two for row in COMMANDS) else words[0]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """The whole story with --json: (words, objects printed) of each step."""
    tool = Tool(tmp_path_factory.mktemp("story"))
    (tool.directory / "hello.py").write_text("x = 1\n")
    (tool.directory / "weights").write_bytes(b"weights")
    told = []
    installed = None
    for words in STORY:
        words = [installed if word == "INSTALLED" else word for word in words]
        if words[1:] == ["fsck"]:  # something to tell of
            (tool.home / "models" / "blobs" / "notes").write_text("not ours")
        if words[0] == "check":
            Path(installed, "notes").write_text("not packed")
        if words[0] == "prune":
            for name, needs in (("base", []), ("app", ["base"])):
                tool.run("register", tool.package(name, dependencies=needs))
            tool.run("install", "app")
            tool.run("uninstall", "app")
        if words[1:2] == ["requirements"]:
            with exia.Library(tool.home / "models") as library:
                library.write("recorded", {"plain": "data"})
        rows = tool.json(*words)
        if words[0] == "install":
            installed = rows[0]["directory"]
        told.append((words, rows))
    return told


def test_json_has_the_keys_that_the_help_promises(command, story):
    told = [(words, rows) for words, rows in story if command_of(words) == command["name"]]
    if command["name"] == "url":
        pytest.skip("only a remote in S3 has URLs: test_vedapkg_s3.py asks one for them")
    assert told, f"the story above does not tell of {command['name']}"
    for words, rows in told:
        keys = command["keys"]
        for option in ("--dry-run", "--entry", "--files", "--part"):
            if f"; with {option}: " in keys:
                plain, special = keys.split(f"; with {option}: ")
                keys = special if option in words else plain
        assert rows, words
        for row in rows:
            assert set(keys.split(", ")) <= set(row), words


def test_help_is_the_same_three_ways(command, tool):
    name = command["name"].split()
    page = tool.run("help", *name).stdout
    assert page == tool.run(*name, "--help").stdout
    assert page == tool.run(*name, "-h").stdout
    assert page.startswith(f"vedapkg {command['name']}")
    assert command["summary"] in page.replace("\n", " ")
    for option in command["options"]:
        assert f"--{option['name']}" in page
    assert all(len(line) < 80 for line in page.splitlines())


def test_help_creates_nothing(command, tool):
    tool.run(*command["name"].split(), "--help")
    assert list(tool.directory.iterdir()) == []


def test_options_in_the_synopsis_exist(command):
    known = {f"--{option['name']}" for option in command["options"]}
    known |= {f"-{option['letter']}" for option in command["options"] if "letter" in option}
    named = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", command["synopsis"])
    assert set(named) <= known


def test_an_unknown_option_is_misuse(command, tool):
    words = command["name"].split()
    tool.fails(*words, "--frobnicate", code=2, says="--frobnicate")
    tool.fails(*words, "-Z", code=2, says="-Z")
    assert list(tool.directory.iterdir()) == []


def test_an_option_without_its_value_is_misuse(command, tool):
    for option in command["options"]:
        if "argument" in option:
            flag = f"--{option['name']}"
            tool.fails(*command["name"].split(), flag, code=2, says=option["argument"])


def test_a_flag_with_a_value_is_misuse(command, tool):
    for option in [*command["options"], {"name": "json"}, {"name": "quiet"}]:
        if "argument" not in option:
            words = [*command["name"].split(), f"--{option['name']}=1"]
            tool.fails(*words, code=2, says="takes no value")


def test_too_many_arguments_are_misuse(command, tool):
    if "..." not in command["synopsis"]:
        values = [w for o in command["options"] if o["required"] for w in (f"--{o['name']}", "x")]
        words = [*command["name"].split(), *["x"] * 9, *values]
        tool.fails(*words, code=2, says="too many")


def test_too_few_arguments_are_misuse(command, tool):
    if re.match(r"[A-Z(]", command["synopsis"]):
        tool.fails(*command["name"].split(), code=2, says=command["synopsis"])


def test_a_required_option_that_is_missing_is_named(command, tool):
    for option in command["options"]:
        if option["required"]:
            words = [*command["name"].split(), "x"]
            for other in command["options"]:
                if other["required"] and other is not option:
                    words += [f"--{other['name']}", "x"]
            tool.fails(*words, code=2, says=f"--{option['name']}")


def test_threads_and_home_are_checked(command, tool):
    words = command["name"].split()
    arguments = ["x"] * (9 if "..." in command["synopsis"] else 0)
    tool.fails(*words, *arguments, "--threads", "-1", code=2)
    tool.fails(*words, *arguments, "--threads", "many", code=2)
    tool.fails(*words, *arguments, "--home", "", code=2)


@pytest.fixture(scope="module")
def made():
    """What is made from the table, besides the pages of help."""

    def ask(*words):
        return subprocess.check_output([VEDAPKG, *words], text=True)

    shells = {shell: ask("completion", shell) for shell in ("bash", "zsh", "fish")}
    return {"man": ask("help", "--man").replace("\\-", "-"), **shells}


def test_the_manual_and_the_completions_know_it(command, made):
    assert f".SS \\&vedapkg {command['name']}" in made["man"]
    assert f"'{command['name']}')" in made["bash"]
    assert f"'{command['name']}')" in made["zsh"]
    assert f"-a {command['name'].split()[-1]} " in made["fish"]
    for option in command["options"]:
        assert f"--{option['name']}" in made["man"]


def test_no_command_is_misuse(tool):
    tool.fails(code=2, says="which command?")
    tool.fails("model", code=2, says="which of its commands?")
    tool.fails("frobnicate", code=2, says="frobnicate")
    tool.fails("model", "frobnicate", code=2, says="model frobnicate")
    tool.fails("", code=2)
    tool.fails("x" * 10000, code=2)
    tool.fails("bad\x1b[2Jname", code=2, says="bad?[2Jname")


def test_help_lists_every_command(tool):
    page = tool.run("help").stdout
    assert page == tool.run("--help").stdout
    for row in COMMANDS:
        assert f"  {row['name']} " in page
        assert row["summary"].split(",")[0].split()[-1] in page
    family = tool.run("help", "model").stdout
    assert family == tool.run("model", "--help").stdout
    assert "model put" in family and "remote" not in family


def test_help_of_what_is_not_there(tool):
    tool.fails("help", "frobnicate", code=2, says="frobnicate")
    tool.fails("completion", "tcsh", code=2, says="tcsh")


def test_common_options_may_come_first(tool):
    version = tool.text("--version")
    assert re.fullmatch(r"vedapkg \d+\.\d+\.\d+", version)
    (row,) = [json.loads(tool.text("--json", "--home", tool.directory / "h", "init"))]
    assert row == {"home": str(tool.directory / "h")}
    assert tool.text("model", "--json", "ls") == ""


def test_options_may_be_given_many_times(tool):
    assert tool.text("init", "-" + "q" * 5000) == str(tool.home)
    homes = [word for n in range(500) for word in ("--home", f"h{n}")]
    assert tool.text("init", *homes).endswith("/h499")


def test_two_dashes_end_the_options(tool):
    tool.fails("inspect", "--", "--json", says="--json")


def test_the_bash_completion_completes(tool):
    script = tool.run("completion", "bash").stdout
    ask = """
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vedapkg; echo "${COMPREPLY[@]}"
    """

    def complete(*words):
        run = [shutil.which("bash"), "-c", script + ask, "bash", "vedapkg", *words]
        return subprocess.check_output(run, text=True).split()

    assert complete("unr") == ["unregister"]
    assert complete("model", "ro") == ["rollback"]
    assert complete("pack", "--le") == ["--level"]
    assert complete("model", "put", "--met") == ["--metric"]
    assert "model" in complete("") and "put" not in complete("")
