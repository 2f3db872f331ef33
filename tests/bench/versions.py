"""The model library beside MLflow's registry on SQLite: versions, aliases, search, memory, commits.

Both sync each commit to the disk: MLflow's database has a rollback journal and synchronous FULL, which
are SQLite's defaults; a library has a WAL and synchronous FULL.  A version has some tags, metrics and
ten bytes; MLflow takes no metrics there and stores no bytes, only where they lie.

Run as a program it is one process of those that are counted:  versions.py PEER WHAT DIRECTORY
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exia

os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
mlflow: Any = None
if __name__ != "__main__" or sys.argv[1] == "mlflow":  # a process of ours shall not carry it
    with contextlib.suppress(ImportError):
        mlflow = importlib.import_module("mlflow")

FEW, MANY = 1_000, 100_000  # versions of one model
TEAMS = 100  # one version in so many has the tag that is asked for
SECONDS = 3.0  # in which commits are counted
WIDTH = 52

# ---- both sides, by the same words ----------------------------------------------------------------


class Ours:
    """exia.Library."""

    name = "exia"

    def __init__(self, directory: Path) -> None:
        self.library = exia.Library(directory / "library")

    def publish(self, number: int, alias: str | None = None) -> None:
        self.library.write(
            "m",
            b"ten bytes.",
            tags={"team": f"t{number % TEAMS}"},
            metrics={"auc": number * 7919 % MANY / MANY},
            alias=alias,
        )

    def by_alias(self) -> None:
        self.library.open("m@champion").close()

    def newest(self) -> list[Any]:
        return list(self.library.search("name = 'm' limit 10"))

    def of_team(self) -> list[Any]:
        return list(self.library.search("name = 'm' and tags.team = 't7' limit 10"))

    def best(self) -> list[Any]:
        return list(self.library.search("name = 'm' order by metrics.auc desc limit 10"))


class Theirs:
    """mlflow.MlflowClient."""

    name = "mlflow"

    def __init__(self, directory: Path) -> None:
        # it tells a step of its schema a line, and each version, on stderr
        logging.disable(logging.WARNING)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            url = f"sqlite:///{directory.absolute()}/mlflow.db"
            self.client = mlflow.MlflowClient(tracking_uri=url, registry_uri=url)
            if not self.client.search_registered_models("name = 'm'"):
                self.client.create_registered_model("m")

    def publish(self, number: int, alias: str | None = None) -> None:
        tags = {"team": f"t{number % TEAMS}"}
        made = self.client.create_model_version("m", "file:///nowhere", tags=tags)
        if alias is not None:
            self.client.set_registered_model_alias("m", alias, made.version)

    def by_alias(self) -> None:
        self.client.get_model_version_by_alias("m", "champion")

    def newest(self) -> list[Any]:
        newest_first = ["version_number DESC"]
        return list(self.client.search_model_versions("name = 'm'", 10, newest_first))

    def of_team(self) -> list[Any]:
        return list(self.client.search_model_versions("name = 'm' and tags.team = 't7'", 10))


SIDES: dict[str, type[Ours] | type[Theirs]] = {"exia": Ours, "mlflow": Theirs}

# ---- filling ---------------------------------------------------------------------------------------


def fill_ours(directory: Path, count: int) -> None:
    """Publish one by one, in memory where there is a disk there, so that syncs cost nothing."""
    shared = Path("/dev/shm")
    root = shared if os.access(shared, os.W_OK) else directory
    with tempfile.TemporaryDirectory(dir=root) as memory:
        side = Ours(Path(memory))
        for number in range(count):
            side.publish(number, "champion" if number == count - 1 else None)
        side.library.close()
        shutil.copytree(Path(memory) / "library", directory / "library")


def fill_theirs(directory: Path, count: int) -> None:
    """Publish one, and copy what that left in its tables; its API would take an hour."""
    side = Theirs(directory)
    side.publish(0, "champion")
    database = sqlite3.connect(directory / "mlflow.db")
    for table, column in (("model_versions", None), ("model_version_tags", "value")):
        names = [line[1] for line in database.execute(f"PRAGMA table_info({table})")]
        row = dict(zip(names, database.execute(f"SELECT * FROM {table}").fetchone(), strict=True))
        rows = [
            list(
                (row | {"version": n + 1} | ({column: f"t{n % TEAMS}"} if column else {})).values()
            )
            for n in range(1, count)
        ]
        database.executemany(f"INSERT INTO {table} VALUES({','.join('?' * len(names))})", rows)
    database.execute("UPDATE registered_model_aliases SET version = ?", (count,))
    database.commit()
    database.close()


# ---- rows ------------------------------------------------------------------------------------------


def seconds_each(call: Callable[[], object], least: float = 0.1) -> float:
    """Call until `least` seconds are over, and answer the mean."""
    count, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < least or count == 0:
        call()
        count += 1
    return took / count


def tell(what: str, ours: float, theirs: float | None, budget: float | None = None) -> None:
    line = f"{what:<{WIDTH}} {ours * 1e3:10.3f} ms"
    if theirs is not None:
        line += f"   MLflow {theirs * 1e3:10.3f} ms   1/{theirs / ours:.0f}"
    if theirs is not None and budget is not None:
        line += f"   budget 1/{1 / budget:.0f}: {'met' if ours <= theirs * budget else 'missed'}"
    print(line)


def compare(
    what: str,
    ours: Callable[[], object],
    theirs: Callable[[], object] | None,
    budget: float | None = None,
) -> None:
    """Run both in turn and print the median of their rounds."""
    took: list[list[float]] = [[], []]
    for _ in range(5):
        for times, call in zip(took, (ours, theirs), strict=True):
            if call is not None:
                times.append(seconds_each(call))
    tell(what, statistics.median(took[0]), statistics.median(took[1]) if theirs else None, budget)


def bench_size(directory: Path, count: int) -> None:
    """Ask both about a model of so many versions, and publish one more."""
    directory.mkdir()
    start = time.perf_counter()
    fill_ours(directory, count)
    filled = time.perf_counter() - start
    peer = None
    if mlflow is not None:
        fill_theirs(directory, count)
        peer = Theirs(directory)
    start = time.perf_counter()
    ours = Ours(directory)
    ours.by_alias()
    opened = time.perf_counter() - start
    print(
        f"\n{count:,} versions ({filled:.0f} s to publish them in memory"
        f"{'; MLflow: copied into its tables' if peer else ''})"
    )
    tell("open the library and get by alias", opened, None)
    assert len(ours.newest()) == len(ours.of_team()) == len(ours.best()) == 10
    assert peer is None or len(peer.newest()) == len(peer.of_team()) == 10
    compare("get by alias", ours.by_alias, peer and peer.by_alias, 1 / 500)
    compare("search: 10 newest of a name", ours.newest, peer and peer.newest, 1 / 100)
    compare("search: 10 of a name with a tag", ours.of_team, peer and peer.of_team, 1 / 100)
    compare("search: top 10 by a metric (MLflow has none here)", ours.best, None)
    compare(
        "new version + alias, durable",
        lambda: ours.publish(count, "champion"),
        peer and (lambda: peer.publish(count, "champion")),
        1 / 30,
    )
    ours.library.close()
    bench_memory(directory)


# ---- processes -------------------------------------------------------------------------------------


def start_process(side: str, what: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, side, what, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def contestants() -> list[str]:
    return ["exia"] if mlflow is None else list(SIDES)


def bench_memory(directory: Path) -> None:
    """Print what a process takes after it has asked each question once."""
    for side in contestants():
        base, after = start_process(side, "memory", directory).communicate()[0].split()
        print(
            f"{'memory of a process that asked all of it, ' + side:<{WIDTH}} {int(after) >> 10:10d} MiB"
            f"   {int(base) >> 10} MiB before it opened"
        )


def syncs(directory: Path) -> float:
    """Count what the disk does in a second: 4 KiB more, and a sync."""
    count, start = 0, time.perf_counter()
    with open(directory / "sync", "wb") as out:
        while time.perf_counter() - start < SECONDS / 3:
            os.write(out.fileno(), b"x" * 4096)
            os.fdatasync(out.fileno())
            count += 1
    return count / (time.perf_counter() - start)


def bench_commits(directory: Path) -> None:
    """Print how many versions a second some processes publish, to one model, durably."""
    print(
        f"\n{'commits a second, one model, durable':<{WIDTH}} {'a second':>9} {'failed':>7}"
        f" {'longest wait':>13} {'syncs a second':>15}"
    )
    for count in (1, 2, 8):
        for side in contestants():
            place = directory / f"{side}{count}"
            place.mkdir()
            SIDES[side](place)
            before = syncs(directory)
            processes = [start_process(side, "commits", place) for _ in range(count)]
            for process in processes:
                assert process.stdout is not None
                process.stdout.readline()  # it is ready
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            answers = [process.communicate()[0].split() for process in processes]
            done, failed = (sum(int(answer[i]) for answer in answers) for i in (0, 1))
            longest = max(float(answer[2]) for answer in answers)
            rate = (before + syncs(directory)) / 2
            print(
                f"  {side + f', {count} process' + ('es' if count > 1 else ''):<{WIDTH - 2}}"
                f" {done / SECONDS:9.0f} {failed:7d} {longest * 1e3:10.0f} ms {rate:15.0f}"
            )


def count_commits(side: Ours | Theirs) -> None:
    done = failed = 0
    longest = 0.0
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        try:
            side.publish(done)
            done += 1
        except Exception:  # whatever the peer says when others are faster
            failed += 1
        longest = max(longest, time.perf_counter() - start)
    print(done, failed, longest)


def resident() -> int:
    """Answer the KiB of memory that this process has now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def tell_memory(side: Ours | Theirs, base: int) -> None:
    side.by_alias()
    side.newest()
    side.of_team()
    print(base, resident())


def bench_versions(directory: Path) -> None:
    version = f"MLflow {mlflow.__version__}" if mlflow else "MLflow is not installed: left out"
    print(f"\nmodel library, SQLite {sqlite3.sqlite_version}, {version}")
    bench_size(directory / "few", FEW)
    bench_size(directory / "many", MANY)
    bench_commits(directory)


if __name__ == "__main__":
    side_name, task, place_name = sys.argv[1:]
    used = resident()
    chosen = SIDES[side_name](Path(place_name))
    if task == "commits":
        count_commits(chosen)
    else:
        tell_memory(chosen, used)
