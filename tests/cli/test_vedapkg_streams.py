"""Full disks, readers that leave, closed descriptors, terminals and Ctrl-C."""

import os
import resource
import signal
import subprocess
import time

import pytest
from vedapkg_tool import shown_at_last, terminal


def test_a_full_disk_behind_stdout_is_a_failure(tool):
    for words in (("help",), ("init",), ("help", "--json"), ("completion", "fish")):
        with open("/dev/full", "w") as full:
            done = tool.run(*words, code=1, stdout=full)
        assert "standard output" in done.stderr


@pytest.mark.parametrize("words", [("help",), ("init",), ("help", "--json")])
def test_a_reader_that_left_is_no_crash_and_no_noise(words, tool):
    end, start = os.pipe()
    os.close(end)
    try:
        done = tool.run(*words, "-q", code=141, stdout=start)
    finally:
        os.close(start)
    assert done.stderr == ""


def test_a_reader_of_a_large_part_may_leave(tool):
    (tool.directory / "large").write_bytes(bytes(1 << 20))
    tool.run("model", "put", "x", "large")
    words = ("model", "get", "x", "--part", "model", "-o", "-")
    with tool.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout.read(10) == bytes(10)
        reader.stdout.close()
        assert reader.wait(30) == 141
        assert reader.stderr.read() == b""


def test_a_package_is_verified_and_unpacked_from_a_pipe(tool):
    data = tool.package().read_bytes()
    for words in (("verify", "-"), ("unpack", "-", "out")):
        for bad in (b"", b"PK and so on", data[:-1], data + b"x", b"x" + data):
            done = tool.run(*words, code=1, input=bad, text=False)
            assert b": standard input is " in done.stderr and done.stdout == b""
    assert sorted(p.suffix for p in tool.directory.iterdir() if p.name.startswith(".")) == []
    done = tool.run("verify", "-", input=data, text=False)
    assert b"hello@0.1.0#any, every byte as packed" in done.stderr
    done = tool.run("unpack", "-", "out", input=data, text=False)
    assert done.stdout == b"out\n"
    assert (tool.directory / "out" / "code" / "hello.py").is_file()
    tool.run("unpack", "-", "out", code=1, input=data, text=False)
    tool.run("verify", "-", "--require-signature", code=1, input=data, text=False)


def test_what_needs_a_file_is_refused_for_a_pipe(tool):
    tool.fails("unpack", "-", code=2, says="DIR")
    tool.fails("unpack", "-", "out", "--pattern", "x", code=2, says="whole")
    tool.fails("unpack", "-", "out", "--component", "x", code=2, says="whole")
    tool.fails("verify", "-", "--quick", code=2, says="whole")
    tool.fails("verify", "-", "code", code=2, says="whole")
    here, there = terminal()
    try:
        tool.run("verify", "-", code=2, stdin=there)
    finally:
        os.close(here)
        os.close(there)


def test_a_closed_stdout_is_a_failure_and_no_database_number(tool):
    done = tool.run("init", code=1, preexec_fn=lambda: os.close(1))
    assert "standard output" in done.stderr
    assert tool.run("init").stdout.strip() == str(tool.home)


def test_closed_descriptors_do_no_harm(tool):
    def close_all():
        for number in range(3):
            os.close(number)

    tool.run("init", code=1, preexec_fn=close_all)
    tool.run("init", "-q", code=0, preexec_fn=lambda: os.close(0))
    tool.run("query", code=0, preexec_fn=lambda: os.close(2))
    tool.run("inspect", "absent", code=1, preexec_fn=lambda: os.close(2))
    assert tool.json("query") == []


def test_quiet_keeps_words_back_but_no_error(tool):
    assert tool.run("query").stderr != ""
    assert tool.run("query", "-q").stderr == ""
    assert tool.run("inspect", "absent", "-q", code=1).stderr != ""


def test_a_file_size_limit_is_an_error(tool):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = tool.run("init", code=1, preexec_fn=limit)
    assert done.stderr.startswith("vedapkg: init: ") and done.stderr.count("\n") == 1
    tool.run("init")


def slow_workspace(tool):
    """One that packs for much longer than a test may take."""
    space = tool.workspace("slow")
    text = os.urandom(16 << 20).hex()  # which compresses, but slowly
    (space / "code" / "noise").write_text(text)
    return space


def wait_for_handler(process, number):
    """Until the tool has asked for the signal."""
    for _ in range(1000):
        with open(f"/proc/{process.pid}/status") as status:
            (line,) = [line for line in status if line.startswith("SigCgt:")]
        if int(line.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.005)
    raise AssertionError("the tool never asked for the signal")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_long_command_and_leaves_nothing(number, tool):
    space = slow_workspace(tool)
    before = sorted(tool.directory.iterdir())
    words = ("pack", space, "--level", "12", "--threads", "1")
    process = tool.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_handler(process, number)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert (out, err) == (b"", b"vedapkg: stopped; nothing is half done\n")
    assert sorted(tool.directory.iterdir()) == before


def stopped_on_terminal(tool, *words, progress):
    """What a terminal saw of a long command that Ctrl-C stopped, after some progress."""
    ours, theirs = terminal()
    words = ("pack", slow_workspace(tool), "--level", "12", "--threads", "1", *words)
    process = tool.start(*words, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    while seen.count(b"%") < progress:
        seen += os.read(ours, 1000)
    wait_for_handler(process, signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    return seen + shown_at_last(ours)


def test_progress_is_shown_on_a_terminal_and_wiped(tool):
    tool.environment["TERM"] = "xterm"
    seen = stopped_on_terminal(tool, progress=2)
    assert seen.startswith(b"\r\x1b[Kvedapkg: ")
    assert seen.endswith(b"\r\x1b[Kvedapkg: stopped; nothing is half done\r\n")


@pytest.mark.parametrize("kind, words", [("dumb", []), ("xterm", ["-q"])])
def test_progress_is_kept_back(kind, words, tool):
    tool.environment["TERM"] = kind
    seen = stopped_on_terminal(tool, *words, progress=0)
    assert seen == b"vedapkg: stopped; nothing is half done\r\n"


def test_numbers_and_texts_do_not_follow_the_locale(tool):
    (tool.directory / "one").write_bytes(bytes(1536))
    tool.environment["LC_ALL"] = "de_DE.UTF-8"
    tool.run("model", "put", "x", "one", "--metric", "accuracy=0.5")
    assert "accuracy=0.5" in tool.text("model", "ls")
    assert "1.5 KiB" in tool.text("model", "ls")


def test_names_that_a_terminal_would_obey_are_shown_harmless_on_one(tool):
    space = tool.workspace()
    (space / "code" / "\x1b[31mred").write_text("x")
    tool.run("register", tool.text("pack", space))
    tool.run("install", "hello")
    words = ("list", "hello", "--files")
    assert "\x1b[31mred" in tool.run(*words).stdout  # for the next program, as it is
    ours, theirs = terminal()
    process = tool.start(*words, stdout=theirs)
    os.close(theirs)
    seen = shown_at_last(ours)
    assert process.wait(30) == 0
    assert b"?[31mred" in seen
    assert b"\x1b" not in seen
