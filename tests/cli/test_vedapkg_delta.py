"""What push and pull move after an edit, by the budgets: a package of 256 MiB that compresses."""

import json
import random
import shutil
import subprocess
import sys

import pytest
from vedapkg_tool import VEDAPKG

MIB = 1 << 20
COMPONENT = 64 * MIB


def digits(size, seed):
    """Noughts and ones: nothing comes twice, and five bytes become one."""
    bits = b"\1" + random.Random(seed).randbytes((size + 7) // 8)
    return format(int.from_bytes(bits, "big"), "b").encode()[1 : size + 1]


@pytest.fixture(scope="module")
def components():
    return [digits(COMPONENT, seed) for seed in range(4)]


def with_depot(host):
    records, packages = f"sqlite:{host.directory}/depot.db", f"file:{host.directory}/depot"
    host.run("remote", "add", "depot", "--records", records, "--packages", packages)
    return host


@pytest.fixture
def hosts(tool, components):
    """Two homes with version 1 of a package, and a remote between them."""
    workspace = tool.directory / "w"
    workspace.mkdir()
    for i, component in enumerate(components):
        (workspace / f"data-{i}.bin").write_bytes(component)
    there = tool.other_home("there")
    with_depot(tool)
    with_depot(there)
    publish(tool, workspace, "1")
    (moved,) = there.json("pull", "w@1", "--from", "depot")
    assert moved["moved"] == moved["total"] > 32 * MIB
    return tool, there, workspace


def publish(host, workspace, version):
    manifest = {"format": 1, "name": "w", "version": version}
    (workspace / "veda.json").write_text(json.dumps(manifest))
    file = host.directory / f"w-{version}.veda"
    host.run("pack", workspace, "-o", file)
    host.run("register", file)
    (planned,) = host.json("push", f"w@{version}", "--to", "depot", "--dry-run")
    (moved,) = host.json("push", f"w@{version}", "--to", "depot")
    assert planned == moved
    return moved


def memory(host, *words):
    """The most that a command had in memory, told by a small process that started it."""
    code = (
        "import os, sys; pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]); "
        "_, status, used = os.wait4(pid, 0); print(used.ru_maxrss); sys.exit(status != 0)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, VEDAPKG, *words, "--quiet", "--threads", "2"],
        env=host.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout.splitlines()[-1]) * 1024


def share(moved):
    assert moved["moved"] + moved["reused"] == moved["total"]
    return moved["moved"] / moved["total"]


def test_after_a_local_edit_at_most_three_percent_move_in_little_memory(hosts):
    here, there, workspace = hosts
    with open(workspace / "data-2.bin", "r+b") as file:  # 1 % of all bytes
        file.seek(20 * MIB + 12345)
        file.write(digits(4 * COMPONENT // 100, 99))
    assert share(publish(here, workspace, "2")) <= 0.03
    (planned,) = there.json("pull", "w@2", "--from", "depot", "--dry-run")
    assert planned["package"] == "w@2#any" and len(there.json("query")) == 1
    (moved,) = there.json("pull", "w@2", "--from", "depot")
    assert moved == planned and share(moved) <= 0.03
    (again,) = there.json("pull", "w@2", "--from", "depot")
    assert again["moved"] == 0 and again["reused"] == moved["total"]

    most = 64 * MIB + 2 * 8 * MIB
    third = with_depot(here.other_home("third"))
    assert memory(third, "pull", "w@2", "--from", "depot") < most
    assert memory(third, "pull", "w@1", "--from", "depot") < most
    shutil.rmtree(here.directory / "depot")
    assert memory(third, "push", "w@1", "--to", "depot") < most
    assert memory(third, "push", "w@2", "--to", "depot") < most


def test_after_bytes_put_in_and_a_new_file_first_at_most_three_percent_move(hosts):
    here, there, workspace = hosts
    data = (workspace / "data-1.bin").read_bytes()
    (workspace / "data-1.bin").write_bytes(data[: 30 * MIB] + b"put in" + data[30 * MIB :])
    (workspace / "a-first").write_text("a new file, before all others\n" * 1000)
    assert share(publish(here, workspace, "2")) <= 0.03
    (moved,) = there.json("pull", "w@2", "--from", "depot")
    assert share(moved) <= 0.03


def test_a_dry_run_says_what_would_move(tool):
    tool.package()
    tool.run("register", "hello-0.1.0-any.veda")
    with_depot(tool)
    said = tool.run("push", "hello", "--to", "depot", "--dry-run").stderr
    assert "hello@0.1.0#any: " in said and said.rstrip().endswith("would move")
    assert not (tool.directory / "depot.db").exists()
    tool.fails("pull", "hello", "--from", "depot", "--dry-run", says="nothing was pushed")
    said = tool.run("push", "hello", "--to", "depot").stderr
    assert said.rstrip().endswith("moved")
    said = tool.run("push", "hello", "--to", "depot", "--dry-run").stderr
    assert "hello@0.1.0#any: 0" in said
