"""Queries among 10,000 packages; an install beside that of pip, of the same files.

pip has a wheel, whose files it hashes as an install of ours does; it makes no bytecode here, and syncs
nothing.  Run as a program it prints these rows alone:  registry.py BUILD
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from package import make_libraries, wheel
from rows import measure
from sides import Fresh, Side, contest, take

import exia

NAMES, VERSIONS = 1_000, 10
QUERIES = {  # and how many rows they give
    "one name": ("name = 'p0042'", VERSIONS),
    "the newest of one name": ("name = 'p0042' order by version desc limit 1", 1),
    "by a fact": ("facts.stage = 'prod'", NAMES),
    "by two facts": ("facts.auc > 0.5 and facts.team = 't7' limit 10", 10),
    "by a pattern": ("description like '%777'", 10),
    "by a range of versions": ("version > '1.8' limit 10", 10),
    "the best ten": ("order by facts.auc desc limit 10", 10),
    "the last ten": ("order by time desc limit 10", 10),
    "all": (None, NAMES * VERSIONS),
}

# ---- queries ---------------------------------------------------------------------------------------


def fill(home: Path, scratch: Path) -> None:
    """Register many small packages, each with some facts."""
    workspace, file = scratch / "small", scratch / "small.veda"
    manifest = {"format": 1, "platform": "any", "components": [{"path": "code", "kind": "code"}]}
    (workspace / "code").mkdir(parents=True)
    (workspace / "code" / "a.py").write_text("answer = 42\n")
    with exia.Registry(home) as registry:
        for number in range(NAMES * VERSIONS):
            name, version = f"p{number // VERSIONS:04}", f"1.{number % VERSIONS}"
            told = {**manifest, "name": name, "version": version, "description": f"of {number}"}
            (workspace / "veda.json").write_text(json.dumps(told))
            exia.pack(workspace, file)
            registry.register(file)
            facts = {
                "stage": "prod" if number % VERSIONS == 0 else "test",
                "team": f"t{number % 100}",
                "auc": number * 7919 % 10_007 / 10_007,
            }
            registry.update(f"{name}@{version}", facts)


def bench_queries(scratch: Path) -> None:
    """Print what queries take, in one process, the home of which is open."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:  # 10,000 times synced is no measure
        fill(Path(memory, "home"), scratch)
        shutil.copytree(Path(memory, "home"), scratch / "home")
    print(f"\nqueries among {NAMES * VERSIONS:,} packages, ms")
    print(f"  {'':<34} {'median':>9} {'best':>9} {'rows':>7}")
    with exia.Registry(scratch / "home") as registry:
        for what, (query, count) in QUERIES.items():
            found = len(registry.query(query))
            assert found == count, f"{query}: {found} rows, not {count}"
            (took,) = measure([lambda query=query: registry.query(query)])  # type: ignore[misc]
            print(
                f"  {what:<34} {statistics.median(took) * 1e3:9.2f} {min(took) * 1e3:9.2f} {count:7}"
            )


# ---- install ---------------------------------------------------------------------------------------


@dataclass
class Installed(Fresh):
    """One into a new home, where the package is registered already."""

    tool: Path = Path()
    file: Path = Path()

    def prepare(self) -> None:
        subprocess.run(
            [self.tool, "register", self.file, "-q", "--home", self.output],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def bench_install(tool: Path, scratch: Path) -> None:
    """Print an install of ours, of pip, and of pip when it is synced as ours is."""
    workspace, package, place = scratch / "workspace", scratch / "bench.veda", scratch / "installed"
    subprocess.run([tool, "new", "bench", workspace, "-q"], check=True, stdout=subprocess.DEVNULL)
    what = make_libraries(workspace)
    place.mkdir()
    for words in (["pack", workspace, "-o", package], ["verify", package]):
        subprocess.run([tool, *words, "-q"], check=True, stdout=subprocess.DEVNULL)
    make, made = wheel(workspace, scratch)
    take(make)
    pip = (
        f"'{sys.executable}' -m pip --disable-pip-version-check -q install --no-deps --no-index "
        f"--no-compile --ignore-installed --no-warn-script-location --prefix \"$OUT\" '{made}'"
    )
    install = f"'{tool}' install bench -q --home \"$OUT\""
    sides: list[Side] = [
        Installed("exia", install, place / "ours", tool=tool, file=package),
        Fresh("pip", pip, place / "pip"),
        Fresh("pip, synced", f'{pip}; sync -f "$OUT"', place / "synced"),
        Installed(
            "exia, 1 thread", f"{install} --threads 1", place / "one", tool=tool, file=package
        ),
    ]
    contest(f"install: {what}", sides, {"wall": 1.0, "cpu": 1.0})


def bench_registry(build: Path, directory: Path) -> None:
    """Print all rows; `directory` is on the file system that is measured."""
    scratch = directory / "registry"
    scratch.mkdir()
    bench_install(build / "vedapkg", scratch)
    bench_queries(scratch)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as temporary:
        bench_registry(Path(sys.argv[1]).absolute(), Path(temporary).absolute())
