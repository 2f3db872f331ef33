"""Keeping a model library in order from a shell."""

import time

import pytest


@pytest.fixture
def models(tool):
    """A tool with three versions of `m`, of which two have been removed."""
    for name in ("a", "b", "c"):
        (tool.directory / name).write_bytes(name.encode() * 1000)
        tool.text("model", "put", "m", name)
    tool.json("model", "rm", "m@1")
    tool.json("model", "rm", "m@2")
    return tool


def test_a_grace_that_is_no_time_is_misuse(models):
    for text in ("0s", "-1d", "7", "d", "", "1.5h", "7 d", "999999999999d", "1w"):
        models.fails("model", "gc", "--grace", text, code=2, says="7d")
    models.fails("model", "gc", "--dry-run", "--wait", code=2, says="--wait")


def test_dead_files_are_listed_then_removed(models):
    for row in models.json("model", "gc", "--dry-run"):
        assert (row["do"], row["size"]) == ("young", 1000)
        assert row["why"] in ("m@1 was removed", "m@2 was removed")
    words = models.run("model", "gc").stderr
    assert "removed 0 of 3 files, 0 B of 2.9 KiB" in words
    assert "left 2, 2.0 KiB" in words
    time.sleep(1.1)  # older than the least grace
    words = models.run("model", "gc", "--grace", "1s").stderr
    assert "marked 2, 2.0 KiB" in words
    time.sleep(0.6)  # and half of it
    done = models.run("model", "gc", "--grace", "1s")
    assert "removed 2 of 3 files, 2.0 KiB of 2.9 KiB" in done.stderr
    assert done.stdout.count("was removed") == 2
    assert "removed 0 of 1 files" in models.run("model", "gc").stderr
    assert models.text("model", "get", "m", "--part", "model", "-o", "-") == "c" * 1000


def test_a_library_that_is_not_there_is_not_made_by_a_dry_run(tool):
    tool.fails("model", "gc", "--dry-run", "--library", "nowhere", says="nowhere")
    assert not (tool.directory / "nowhere").exists()


def test_versions_that_no_rule_keeps_are_told_then_removed(models):
    for n in range(3):
        models.text("model", "put", "m", "a", "--metric", f"auc={n}", "--tag", f"n={n}")
    rules = ("--last", "1", "--best", "metrics.auc=1", "--where", "tags.n = '1'")
    told = models.run("model", "retain", "m", *rules)
    assert "would remove 2 of 4 versions; --apply" in told.stderr
    rows = models.json("model", "retain", *rules)
    assert [(row["version"], row["do"]) for row in rows] == [
        (6, "keep"),
        (5, "keep"),
        (4, "remove"),
        (3, "remove"),
    ]
    done = models.run("model", "retain", *rules, "--younger", "1s", "--ever", "--apply").stderr
    assert "removed" in done and "vedapkg model gc" in done
    models.run("model", "retain", *rules, "--apply")
    assert [row["version"] for row in models.json("model", "ls")] == [6, 5]


def test_rules_are_checked(models):
    models.fails("model", "retain", "--apply", code=2, says="--last 5")
    models.fails("model", "retain", "--last", "0", code=2, says="--last")
    models.fails("model", "retain", "--younger", "soon", code=2, says="--younger")
    models.fails("model", "retain", "--best", "metrics.auc", code=2, says="KEY=VALUE")
    models.fails("model", "retain", "--best", "metrics.auc=x", says="best")
    models.fails("model", "retain", "--where", "x =", says="where")
    assert len(models.json("model", "ls")) == 1


def test_a_check_exits_with_one_when_a_version_cannot_be_read(models):
    done = models.run("model", "fsck")
    assert "nothing is wrong" in done.stderr
    assert "models: 1, entries of logs: 5, files: 1" in done.stderr
    blobs = sorted((models.home / "models" / "blobs" / "sha256").glob("*/*"))
    (live,) = (blob for blob in blobs if blob.read_bytes()[:1] == b"c")
    copy = live.with_name(live.name + ".1")
    copy.write_bytes(live.read_bytes())
    live.chmod(0o600)
    live.write_bytes(b"x" * 1000)
    assert models.json("model", "fsck", "--quick") == []
    done = models.run("model", "fsck", code=1)
    assert "left: 1" in done.stderr and "a copy is there" in done.stdout
    (row,) = models.json("model", "fsck", "--repair")
    assert (row["what"], row["version"], row["repaired"]) == ("altered", 3, True)
    assert "nothing is wrong" in models.run("model", "fsck").stderr
