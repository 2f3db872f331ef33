"""A library to another site, from a shell."""

import subprocess

import pytest


@pytest.fixture
def models(tool):
    (tool.directory / "file").write_bytes(b"x" * 20000)
    tool.text("model", "put", "digits", "file", "--alias", "champion")
    tool.text("model", "put", "letters", "file")
    return tool


@pytest.mark.parametrize("path", ["backup", "backup.tar.zst"])
def test_a_library_goes_to_another_site(models, path):
    other = models.other_home("other")
    rows = [{"name": name, "entries": 1, "new": 1} for name in ("digits", "letters")]
    assert models.json("model", "backup", path) == rows
    assert other.json("model", "restore", path) == rows
    assert [row["new"] for row in other.json("model", "restore", path)] == [0, 0]
    (here,), (there,) = (one.json("model", "show", "digits@champion") for one in (models, other))
    assert here.pop("policy") == {"trusted": True}
    assert "restored from a backup" in there.pop("policy")["why"]
    assert here == there
    head, digits, _ = other.text("model", "restore", path).splitlines()
    assert head.split() == ["NAME", "ENTRIES", "NEW"] and digits.split() == ["digits", "1", "0"]


def test_one_file_is_what_tar_opens(models):
    models.text("model", "backup", "backup.tar.zst")
    file = models.directory / "backup.tar.zst"
    done = subprocess.run(["tar", "--zstd", "-tf", file], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    names = done.stdout.splitlines()
    assert names[0] == "logs/digits/0000000000000001.jsonl" and names[-1] == "backup.json"
    models.fails("model", "backup", "backup.tar.zst", says="is there already")


def test_only_what_is_named_goes_and_comes(models):
    other = models.other_home("other")
    models.text("model", "backup", "some", "letters")
    assert [row["name"] for row in other.json("model", "restore", "some")] == ["letters"]
    models.fails("model", "backup", "none", "nobody", says="no model nobody")
    other.fails("model", "restore", "some", "digits", says="no model digits")


def test_what_is_no_backup_is_refused(models):
    (models.directory / "directory").mkdir()
    models.fails("model", "restore", "directory", says="backup.json is missing")
    models.fails("model", "restore", "file", says="backup")
    models.fails("model", "restore", "nothing", says="nothing")
    models.fails("model", "backup", ".", says="neither empty nor a backup")
    models.fails("model", "backup", code=2)
    models.fails("model", "backup", "", code=2)
