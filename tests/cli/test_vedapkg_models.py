"""The model library from a shell."""

import json
import os
import struct
import subprocess
import threading

import numpy as np
import pytest

import exia


def safetensors(**tensors):
    """A file of float32 tensors, each a list of numbers."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def models(tool):
    """A tool with two versions of `digits`, the second one the champion."""
    (tool.directory / "one").write_bytes(b"first")
    (tool.directory / "two.safetensors").write_bytes(safetensors(w=[1, 2, 3], b=[0.5]))
    put = ("model", "put", "digits")
    metrics = ("--metric", "accuracy=0.9", "--metric", "loss=inf")
    assert tool.text(*put, "one", *metrics, "--alias", "champion") == "digits@1"
    words = ("--metric", "accuracy=0.95", "--tag", "team=cv", "--param", "depth=3")
    parts = ("two.safetensors", "notes=one")
    more = ("--alias", "champion", "--expect", "1", "-m", "better")
    assert tool.text(*put, *parts, *words, *more) == "digits@2"
    return tool


def test_versions_are_listed_with_what_was_said_of_them(models):
    two, one = models.json("model", "ls")
    assert (one["version"], two["version"]) == (1, 2)
    assert one["metrics"] == {"accuracy": 0.9, "loss": "Infinity"}
    assert two["tags"] == {"team": "cv"} and two["params"] == {"depth": 3}
    assert two["why"] == "better"
    assert [part["name"] for part in one["parts"]] == ["model"]
    formats = {part["name"]: part["format"] for part in two["parts"]}
    assert formats == {"two.safetensors": "safetensors", "notes": "file"}
    (best,) = models.json("model", "ls", "metrics.accuracy > 0.9")
    assert best["version"] == 2
    head, first, second = models.text("model", "ls").splitlines()
    assert head.split()[:3] == ["NAME", "VERSION", "SIZE"]
    assert "accuracy=0.95" in first and "team=cv" in first and "5 B" in second


def test_one_version_is_shown_with_its_tensors(models):
    (facts,) = models.json("model", "show", "digits@champion")
    assert facts["version"] == 2
    tensors = {row["name"]: row["shape"] for row in facts["tensors"]["two.safetensors"]}
    assert tensors == {"w": [3], "b": [1]}
    assert list(facts["tensors"]) == ["two.safetensors"]
    page = models.text("model", "show", "digits@champion")
    for text in ("champion", "accuracy=0.95", "team=cv", "better", "F32", "notes"):
        assert text in page
    assert models.json("model", "show", "digits@best(metrics.accuracy)")[0]["version"] == 2
    assert models.json("model", "show", "digits@worst(metrics.accuracy)")[0]["version"] == 1


def test_requirements_are_printed_as_pip_reads_them(models):
    models.fails("model", "requirements", "digits", says="digits@2: no environment was recorded")
    with exia.Library(models.home / "models") as library:
        library.write("m", np.zeros)
    done = models.run("model", "requirements", "m@1")
    comment, line = done.stdout.splitlines()
    assert comment.startswith("# m@1 was written under CPython 3.") and done.stderr == ""
    assert line == f"numpy=={np.__version__}"
    (row,) = models.json("model", "requirements", "m")
    assert row == {"name": "m", "version": 1, "requirements": done.stdout}


def test_get_writes_a_plain_directory(models):
    assert models.text("model", "get", "digits@1") == "digits-1"
    out = models.directory / "digits-1"
    assert (out / "model").read_bytes() == b"first"
    facts = json.loads((out / "version.json").read_text())["version"]
    assert (facts["name"], facts["version"]) == ("digits", 1)
    models.fails("model", "get", "digits@1", says="digits-1")
    (row,) = models.json("model", "get", "digits", "-o", "out")
    assert row == {"name": "digits", "version": 2, "directory": "out"}
    assert sorted(os.listdir(models.directory / "out")) == sorted(
        ["two.safetensors", "notes", "version.json"]
    )


def test_get_writes_one_part_to_a_file_a_pipe_and_stdout(models):
    get = ("model", "get", "digits", "--part", "notes", "-o")
    assert models.run(*get, "-").stdout == "first"
    umask = os.umask(0o022)
    try:
        assert models.text(*get, "file") == "file"
        models.run(*get, "file")
    finally:
        os.umask(umask)
    file = models.directory / "file"
    assert file.read_bytes() == b"first" and file.stat().st_mode & 0o777 == 0o644
    fifo = models.directory / "fifo"
    os.mkfifo(fifo)
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    models.run(*get, "fifo")
    reader.join(10)
    assert read == [b"first"] and fifo.is_fifo()
    models.fails(*get, "no/such/directory/file", says="no/such/directory")
    models.fails(*get, "/dev/full", says="/dev/full")
    models.fails("model", "get", "digits", "--part", "none", "-o", "x", says="none")
    assert not (models.directory / "x").exists()
    left = [p.name for p in models.directory.iterdir() if p.name.startswith("file.")]
    assert left == []


def test_get_is_asked_in_one_way_only(models):
    for words in (
        ("--part", "notes"),
        ("-o", "-"),
        ("-o", ""),
        ("--part", "notes", "-o", "-", "--json"),
    ):
        models.fails("model", "get", "digits", *words, code=2)


def test_a_part_whose_bytes_changed_is_not_written(models):
    for path in models.home.rglob("*"):
        if path.is_file() and path.read_bytes() == safetensors(w=[1, 2, 3], b=[0.5]):
            path.chmod(0o600)
            path.write_bytes(safetensors(w=[1, 2, 4], b=[0.5]))
            break
    else:
        pytest.fail("the part lies nowhere as a file")
    get = ("model", "get", "digits@2", "--part", "two.safetensors", "-o", "out")
    models.fails(*get)
    models.fails("model", "get", "digits@2", "-o", "out")
    assert not (models.directory / "out").exists()


def test_aliases_move_by_expectation_and_roll_back(models):
    move = ("model", "alias", "digits", "champion")
    models.fails(*move, "1", "--expect", "1", says="champion")
    assert models.text(*move, "1", "--expect", "2", "-m", "worse after all") == "digits@1"
    assert models.text("model", "rollback", "digits", "champion") == "digits@2"
    assert models.json("model", "rollback", "digits", "champion") == [
        {"name": "digits", "alias": "champion", "version": 1}
    ]
    assert models.text(*move, "none") == "digits@none"
    models.fails("model", "show", "digits@champion", says="champion")
    assert models.text(*move, "2", "--expect", "none") == "digits@2"
    models.fails(*move, "9", says="9")
    models.fails("model", "alias", "digits", "latest", "1", says="latest")
    models.fails("model", "alias", "nothing", "champion", "1", says="nothing")
    models.fails("model", "rollback", "digits", "never", says="never")
    for version in ("0", "-1", "two", "", "1.5"):
        models.fails(*move, "--", version, code=2, says="VERSION")
    for expect in ("-1", "x", ""):
        models.fails(*move, "1", f"--expect={expect}", code=2, says="--expect")


def test_history_tells_what_who_and_why(models):
    models.run("model", "alias", "digits", "champion", "1", "-m", "back")
    models.run("model", "rollback", "digits", "champion")
    rows = models.json("model", "history", "digits")
    assert [row["do"] for row in rows] == ["publish", "publish", "move", "rollback"]
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    page = models.text("model", "history", "digits").splitlines()
    assert len(page) == 5 and "none -> 1" in page[1] and "1 -> 2" in page[2]
    assert page[3].rstrip().endswith("back") and "2 -> 1" in page[3]
    assert [row["seq"] for row in models.json("model", "history", "digits", "champion")] == [
        row["seq"] for row in rows
    ]
    assert models.json("model", "history", "digits", "other") == []
    models.fails("model", "history", "nothing", says="nothing")


def test_a_protected_alias_moves_for_who_looked_and_says_why(models):
    move = ("model", "alias", "digits", "champion")
    models.fails("model", "protect", "digits", "none", says="no alias none")
    assert models.json("model", "protect", "digits", "champion") == [
        {"name": "digits", "alias": "champion", "protected": True}
    ]
    models.fails(*move, "1", says="protected")
    models.fails(*move, "1", "--expect", "2", says="protected")
    models.fails(*move, "none", "--expect", "2", "-m", "gone", says="not removed")
    models.fails("model", "rollback", "digits", "champion", says="protected")
    assert models.text(*move, "1", "--expect", "2", "-m", "worse") == "digits@1"
    models.fails("model", "protect", "digits", "champion", "--off", says="say why")
    models.run("model", "protect", "digits", "champion", "--off", "-m", "over")
    assert models.text(*move, "none") == "digits@none"


def test_an_alias_goes_back_to_where_it_stood_at_a_time(models):
    back = ("model", "rollback", "digits", "champion", "--to")
    first = models.json("model", "history", "digits", "champion")[0]
    models.run("model", "alias", "digits", "champion", "none")
    assert models.text(*back, "2999-01-01") == "digits@none"
    stood = first["moves"][0]["to"]
    assert models.text(*back, first["time"]) == f"digits@{stood}"
    assert models.text("model", "rollback", "digits", "champion") == "digits@none"
    models.fails(*back, "2000-01-01", says="not there yet")
    models.fails(*back, "yesterday", says="no time")


def test_rm_hides_a_version_that_no_alias_needs(models):
    models.fails("model", "rm", "digits@2", says="champion")
    models.run("model", "rm", "digits@1", "-m", "too old")
    models.fails("model", "rm", "digits@1", says="1")
    models.fails("model", "show", "digits@1", says="1")
    assert [row["version"] for row in models.json("model", "ls")] == [2]
    for selector in ("digits", "digits@", "digits@champion", "digits@latest", "digits@0"):
        models.fails("model", "rm", selector, code=2, says="NAME@VERSION")


def test_put_refuses_what_it_cannot_keep(models):
    put = ("model", "put")
    for name in ("a/b", "../x", "x" * 10000, "", "-", "a b"):
        models.fails(*put, "--", name, "one")
    models.fails(*put, "digits", "absent", says="absent")
    models.fails(*put, "digits", "a/b=one")
    models.fails(*put, "digits", "p=one", "p=one", says="p")
    models.fails(*put, "digits", "version.json=one", says="version.json")
    models.fails(*put, "digits", models.directory)
    models.fails(*put, "digits", "one", "--alias", "latest", says="latest")
    models.fails(*put, "digits", "one", "--alias", "7", says="7")
    models.fails(*put, "digits", "one", "--alias", "champion", "--expect", "1")
    for words in (
        ("--metric", "accuracy"),
        ("--metric", "accuracy=high"),
        ("--metric", "accuracy="),
        ("--metric", "=1"),
        ("--metric", "a=1", "--metric", "a=2"),
        ("--tag", "a=1", "--tag", "a=2"),
        ("--tag", "team"),
        ("--expect", "1"),
        ("--alias", "champion", "--expect", "x"),
    ):
        models.fails(*put, "digits", "one", *words, code=2)
    assert [row["version"] for row in models.json("model", "ls")] == [2, 1]


def test_selectors_that_are_none_or_point_nowhere(models):
    for selector in ("digits@", "digits@best(", "digits@best()", "@1", "", "digits@1@2", "a/b"):
        models.fails("model", "show", selector)
    for selector in ("digits@9", "digits@nobody", "nothing", "digits@latest-7"):
        models.fails("model", "show", selector)
        models.fails("model", "get", selector)
    models.fails("model", "ls", "metrics.accuracy >")


def test_a_library_elsewhere_is_read_and_written(models):
    there = ("--library", models.directory / "shared")
    models.run("model", "put", "digits", "one", *there)
    assert [row["version"] for row in models.json("model", "ls", *there)] == [1]
    assert models.text("model", "get", "digits", "--part", "model", "-o", "x", *there) == "x"
    models.fails("model", "ls", "--library", "ftp://host/x", says="ftp")
    models.fails("model", "ls", "--library", models.directory / "absent", says="absent")
    assert not (models.directory / "absent").exists()


def test_reading_a_fresh_home_finds_nothing_and_creates_nothing(tool):
    assert tool.json("model", "ls") == []
    assert tool.text("model", "ls") == ""
    tool.fails("model", "show", "digits", says="vedapkg help model put")
    assert not tool.home.exists()


def test_many_writers_leave_no_gap(tool):
    (tool.directory / "one").write_bytes(b"first")
    words = ("model", "put", "digits", "one", "--alias", "newest")
    writers = [tool.start(*words, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = sorted(writer.communicate(timeout=60)[0] for writer in writers)
    assert said == [f"digits@{n}\n" for n in range(1, 9)]
    assert [row["version"] for row in tool.json("model", "ls")] == list(range(8, 0, -1))


def test_eight_writers_of_one_name_at_once_leave_no_gap(tool):
    (tool.directory / "weights").write_bytes(b"weights")
    for _ in range(3):
        words = ("model", "put", "shared", "weights", "--alias", "champion")
        writers = [tool.start(*words, stdout=subprocess.PIPE, text=True) for _ in range(8)]
        answers = [writer.communicate(timeout=60)[0].strip() for writer in writers]
        assert [writer.returncode for writer in writers] == [0] * 8
        assert len(set(answers)) == 8
    versions = sorted(row["version"] for row in tool.json("model", "ls", "name = 'shared'"))
    assert versions == list(range(1, 25))
