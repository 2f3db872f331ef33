"""One file or one component out of a package on the command line."""

import subprocess

import pytest
from vedapkg_tool import VEDAPKG

BINARY = bytes(range(256)) * 40_000  # more than a pipe holds


@pytest.fixture
def veda(tool):
    workspace = tool.workspace("hello")
    (workspace / "data").mkdir()
    (workspace / "data" / "binary").write_bytes(BINARY)
    tool.run("pack", workspace, "-o", "hello.veda")
    return tool.directory / "hello.veda"


def cat(tool, *words, **options):
    return subprocess.run(
        [VEDAPKG, "cat", *map(str, words)],
        env=tool.environment, capture_output=True, timeout=60, **options,
    )  # fmt: skip


def test_cat_refuses_what_is_not_there_or_no_file(tool, veda):
    tool.fails("cat", veda, "none", says='no member "none"')
    tool.fails("cat", veda, "data", says="directory")
    tool.fails("cat", veda, "none", "--json", says='no member "none"')
    tool.fails("cat", veda, code=2)
    tool.fails("verify", veda, "none", says='no member "none"')
    tool.fails("unpack", veda, "out", "--component", "data", says="no component")


def test_cat_of_damaged_bytes_fails_in_the_end(tool, veda):
    raw = bytearray(veda.read_bytes())
    raw[200] ^= 1
    veda.write_bytes(raw)
    done = cat(tool, veda, "data/binary")
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"damaged" in done.stderr


def test_cat_writes_the_bytes_and_nothing_else(tool, veda):
    done = cat(tool, veda, "data/binary")
    assert (done.returncode, done.stdout, done.stderr) == (0, BINARY, b"")
    assert cat(tool, veda, "data/binary", "--threads", "1").stdout == BINARY


def test_a_reader_who_leaves_ends_cat_without_a_word(tool, veda):
    with tool.start(
        "cat", veda, "data/binary", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as it:
        assert it.stdout.read(1) == BINARY[:1]
        it.stdout.close()
        said = it.stderr.read()
    assert (it.returncode, said) == (141, b"")


def test_cat_as_json_is_a_text_or_null(tool, veda):
    (code,) = tool.json("cat", veda, "code/hello.py")
    assert code["text"].startswith("def greet")
    assert code["size"] == len(code["text"])
    (data,) = tool.json("cat", veda, "data/binary")
    assert data == {"path": "data/binary", "size": len(BINARY), "text": None}


def test_a_path_is_verified_by_itself(tool, veda):
    said = tool.run("verify", veda, "data").stderr
    assert "data as packed" in said


def test_a_component_is_unpacked_without_waiting_for_the_disk(tool, veda):
    tool.run("unpack", veda, "out", "--component", "code/hello.py", "--no-sync")
    found = [
        str(p.relative_to(tool.directory / "out")) for p in (tool.directory / "out").rglob("*")
    ]
    assert sorted(found) == ["code", "code/hello.py"]
