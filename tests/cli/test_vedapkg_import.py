"""Models made elsewhere, from a shell."""

import json
import pickle
import struct


def did(rows):
    return [(row["do"], row["name"], row["version"]) for row in rows]


def test_a_path_that_is_not_there_and_a_plain_directory_are_told(tool):
    tool.fails("model", "import", "x", "nothing", says="cannot read")
    (tool.directory / "plain").mkdir()
    tool.fails("model", "import", "x", "plain", says="without a version.json")
    assert tool.run("model", "import", "x", code=2).stdout == ""


def test_files_become_versions_once_and_a_dry_run_tells_first(tool):
    names = ["a.onnx", "b.safetensors", "c.pkl", "d.joblib", "e.bin"]
    for name in names:
        (tool.directory / name).write_bytes(name.encode())
    (tool.directory / "b.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    command = ("model", "import", "zoo", *names)
    assert did(tool.json(*command, "--dry-run")) == [("import", "zoo", None)] * 5
    assert tool.json("model", "ls") == []
    assert did(tool.json(*command)) == [("imported", "zoo", v) for v in range(1, 6)]
    assert did(tool.json(*command)) == [("there", "zoo", v) for v in range(1, 6)]
    assert did(tool.json(*command, "--dry-run")) == [("there", "zoo", v) for v in range(1, 6)]
    rows = [tool.json("model", "show", f"zoo@{v}")[0] for v in range(1, 6)]
    formats = [row["parts"][0]["format"] for row in rows]
    assert formats == ["onnx", "safetensors", "pickle", "joblib", "file"]
    assert rows[0]["tags"] == {"import.source": str(tool.directory / "a.onnx")}
    table = tool.text("model", "import", "zoo", "e.bin").splitlines()
    assert table[0].split() == ["DO", "NAME", "VERSION", "SOURCE"]
    assert table[1].split() == ["there", "zoo", "5", str(tool.directory / "e.bin")]


def test_what_came_before_a_failure_is_told(tool):
    (tool.directory / "a.onnx").write_bytes(b"a")
    done = tool.run("model", "import", "x", "a.onnx", "nothing", "--json", code=1)
    assert did([json.loads(done.stdout)]) == [("imported", "x", 1)]
    assert "nothing" in done.stderr


def test_an_exported_version_comes_with_all_that_was_said_of_it(tool):
    (tool.directory / "one").write_bytes(pickle.dumps(1))
    words = ("--metric", "loss=inf", "--tag", "team=cv", "--param", "depth=3")
    tool.text("model", "put", "x", "one", "more=one", *words)
    assert tool.text("model", "get", "x", "-o", "out") == "out"
    answer = did(tool.json("model", "import", "y", "out"))
    assert answer == [("imported", "y", 1)]
    assert did(tool.json("model", "import", "y", "out")) == [("there", "y", 1)]
    before, after = (tool.json("model", "show", n)[0] for n in "xy")
    for key in ("metrics", "params", "parts"):
        assert before[key] == after[key]
    assert after["tags"] == {"team": "cv", "import.source": str(tool.directory / "out")}
    (tool.directory / "out" / "more").chmod(0o600)
    (tool.directory / "out" / "more").write_bytes(b"x" * (tool.directory / "one").stat().st_size)
    tool.fails("model", "import", "z", "out", says="out: its SHA-256 is")
