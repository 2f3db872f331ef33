"""Push and pull of a package as it changes, beside whole copies and rsync: bytes and time.

A package of 1 GiB and three later versions, each one edit after the one before, go to a remote and from
there to another home, round after round to new ones.  All of it is durable when it is done, on every
side.  A package is verified as a whole as it comes; rsync compares sizes and times of files, and the
bytes of those that differ.

Run as a program it prints these rows alone:  transfer.py BUILD [SERVER...]
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from sides import FEW, MIB, WIDTH, Taken, take
from stores import BUCKET, is_built, s5cmd, serving

SERVERS = ("versitygw",)
SIZE = 1 << 30
FILES = 10_000
LOCAL = 0.03  # of the bytes that a local edit may move, or
LEAST = 5.5 * MIB  # where a server copies parts from 5 MiB on

# ---- a workspace and its edits ---------------------------------------------------------------------


def make_tree(tree: Path) -> None:
    """A third of it are text files, the rest is a model: float32 in one file."""
    some = np.random.default_rng(0)
    size = SIZE // 3 // FILES // 65 * 65
    for number in range(FILES):
        folder = tree / "data" / f"{number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = some.bytes(size // 65 * 32).hex("\n", 32)
        (folder / f"{number:05}.txt").write_text(f"{lines}\n")
    (tree / "model").mkdir()
    weights = some.standard_normal(SIZE // 3 * 2 // 4, dtype=np.float32)
    np.save(tree / "model" / "weights.npy", weights)


def change_model(tree: Path) -> None:
    file = tree / "model" / "weights.npy"
    data = bytearray(file.read_bytes())
    size = len(data) // 100
    data[len(data) // 3 : len(data) // 3 + size] = np.random.default_rng(1).bytes(size)
    renew(file, bytes(data))


def change_lines(tree: Path) -> None:
    for file in sorted(tree.glob("data/*/*.txt"))[::100]:
        text = file.read_bytes()
        renew(file, text[: 65 * 100] + b"one line more\n" + text[65 * 100 :])


def add_first(tree: Path) -> None:
    renew(tree / "a first file.txt", b"it comes before all others\n" * 100)


def renew(file: Path, data: bytes) -> None:
    """Write a file anew: the trees of other versions have the old one."""
    file.unlink(missing_ok=True)
    file.write_bytes(data)


EDITS = {
    "first": None,
    "again, unchanged": None,
    "1 % of the model changed": change_model,
    "a line more in every hundredth file": change_lines,
    "a new file before all others": add_first,
}
SPREAD = "a line more in every hundredth file"  # told, not promised


def make_versions(tool: Path, scratch: Path) -> dict[str, int]:
    """Make a tree a version, and register its package at scratch/home; answers each step's version."""
    steps, version = {}, 0
    for step, edit in EDITS.items():
        if version == 0 or edit is not None:
            version += 1
            tree, package = scratch / f"{version}", scratch / f"{version}.veda"
            if edit is None:
                subprocess.run(
                    [tool, "new", "bench", tree, "-q"], check=True, stdout=subprocess.DEVNULL
                )
                make_tree(tree)
            else:
                subprocess.run(["cp", "-al", scratch / f"{version - 1}", tree], check=True)
                edit(tree)
            manifest = json.loads((tree / "veda.json").read_bytes())
            manifest["version"] = f"{version}"
            renew(tree / "veda.json", json.dumps(manifest).encode())
            for words in (["pack", tree, "-o", package], ["register", package]):
                command = [tool, *words, "-q", "--home", scratch / "home"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        steps[step] = version
    return steps


# ---- sides -----------------------------------------------------------------------------------------


class Way:
    """One way for a version to get there: what it took and moved, a list a step."""

    def __init__(self, name: str, command: str, moved: str) -> None:
        self.name = name
        self.command = command  # {version}, {place}: of the round
        self.moved = moved  # where in what it says the bytes stand
        self.took: dict[str, list[Taken]] = {step: [] for step in EDITS}
        self.bytes: dict[str, int] = {}

    def go(self, step: str, version: int, place: Path) -> None:
        said = place / "said"
        command = self.command.format(version=version, place=place)
        self.took[step].append(take(f"{{ {command}; }} >'{said}'"))
        found = re.findall(self.moved, said.read_text().replace(",", ""))
        self.bytes[step] = sum(map(int, found))

    def median(self, step: str, what: str) -> float:
        return statistics.median(getattr(taken, what) for taken in self.took[step])


def registry_ways(tool: Path, home: Path) -> list[Way]:
    call, moved = f"'{tool}' --json -q", r'"moved": ?(\d+)'
    return [
        Way("push", f"{call} push bench@{{version}} --to r --home '{home}'", moved),
        Way("pull", f"{call} pull bench@{{version}} --from r --home '{{place}}/other home'", moved),
    ]


def file_ways(tool: Path, scratch: Path) -> list[Way]:
    package = f"'{scratch}/{{version}}.veda'"
    ways = [
        *registry_ways(tool, scratch / "home"),
        Way(
            "cp of the package, synced",
            f"cp --reflink=never {package} '{{place}}/copy'; sync '{{place}}/copy'; stat -c %s {package}",
            r"(\d+)",
        ),
    ]
    if shutil.which("rsync") is None:
        print("rsync is not installed and is left out")
        return ways
    rsync = "rsync --no-whole-file --fsync --stats"
    total = r"Total bytes (?:sent|received): (\d+)"
    return [
        *ways,
        Way("rsync of the package", f"{rsync} {package} '{{place}}/package'", total),
        Way(
            "rsync -z of the tree",
            f"{rsync} -az --delete '{scratch}'/{{version}}/ '{{place}}/tree'",
            total,
        ),
    ]


def s3_ways(tool: Path, scratch: Path, url: str) -> list[Way]:
    ways, call = registry_ways(tool, scratch / "home"), s5cmd(url)
    if call is None:
        return ways
    package, there = f"'{scratch}/{{version}}.veda'", f"s3://{BUCKET}/copy/{{version}}.veda"
    size = f"stat -c %s {package}"
    return [
        *ways,
        Way("s5cmd, up", f"{call} {package} {there} >&2; {size}", r"(\d+)"),
        Way(
            "s5cmd, down",
            f"{call} {there} '{{place}}/copy' >&2; sync '{{place}}/copy'; {size}",
            r"(\d+)",
        ),
    ]


# ---- rows ------------------------------------------------------------------------------------------


def show(title: str, ways: list[Way], total: int) -> None:
    """Print a table a step."""
    for step in EDITS:
        print(f"\n{title}: {step}")
        print(
            f"  {'':<{WIDTH}} {'wall s':>8} {'best':>8} {'cpu s':>8} {'moved MiB':>10} {'of it':>7} {'others':>7}"
        )
        for way in ways:
            line = (
                f"  {way.name:<{WIDTH}} {way.median(step, 'wall'):8.3f} {min(way.took[step]).wall:8.3f} "
                f"{way.median(step, 'cpu'):8.3f} {way.bytes[step] / MIB:10.2f} "
                f"{way.bytes[step] / total:7.2%} {way.median(step, 'others'):7.0%}"
            )
            if way.name in ("push", "pull") and step not in ("first", SPREAD):
                budget = max(LOCAL * total, LEAST) if EDITS[step] else 0
                met = "met" if way.bytes[step] <= budget else "missed"
                line += f"   budget {budget / MIB:.1f} MiB: {met}"
            print(line)


def go_round(
    ways: list[Way], tool: Path, scratch: Path, packages: str, steps: dict[str, int]
) -> None:
    """To a new remote and a new home, step by step, each way in turn."""
    place = scratch / "round"
    place.mkdir()
    records = f"sqlite:{place}/records.db"
    for home in (scratch / "home", place / "other home"):
        command = [tool, "remote", "add", "r", "--records", records, "--packages", packages]
        subprocess.run([*command, "-q", "--home", home], check=True, stdout=subprocess.DEVNULL)
    for step, version in steps.items():
        for way in ways:
            way.go(step, version, place)
    subprocess.run([tool, "remote", "remove", "r", "-q", "--home", scratch / "home"], check=True)
    shutil.rmtree(place)


def bench_transfer(build: Path, directory: Path, servers: Sequence[str] = SERVERS) -> None:
    """Print all rows; `directory` is on the file system that is measured."""
    os.environ["EXIA_HOME"] = str(directory / "home")  # where a driver's notes are
    tool, scratch = build / "vedapkg", directory / "transfer"
    scratch.mkdir()
    steps = make_versions(tool, scratch)
    total = (scratch / "1.veda").stat().st_size
    for server in ("", *filter(is_built, servers)):
        with serving(server, scratch / "server") if server else nullcontext("") as url:
            ways = s3_ways(tool, scratch, url) if url else file_ways(tool, scratch)
            for number in range(FEW):
                packages = f"{url}/{number}" if url else f"file:{scratch}/round/depot"
                go_round(ways, tool, scratch, packages, steps)
                shutil.rmtree(scratch / "server" / "data" / BUCKET / f"{number}", not url)
        show(f"{server or 'a directory'}, {total // MIB} MiB", ways, total)
        shutil.rmtree(scratch / "server", not url)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as temporary:
        bench_transfer(
            Path(sys.argv[1]).absolute(), Path(temporary).absolute(), sys.argv[2:] or SERVERS
        )
