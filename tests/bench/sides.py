"""Command lines side by side: time, processor time, bytes, peak memory.

Every side is a process of its own, from start to end, and reads what the page cache holds; they take
turns, round after round.  What else ran meanwhile is told, too: on a busy machine a side with fewer
processes gets less of it, so a wall time says little there and the processor time stays.
"""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROUNDS = int(os.environ.get("ROUNDS") or 5)
FEW = min(ROUNDS, 3)  # where a round takes long
THREADS = 2
MIB = 1 << 20
WIDTH = 34
ROOM = 2 << 30  # bytes of memory that a side finds ready
BUSY = 0.1  # of the processors, from which on it is said that others had them

# A process begins with the peak of the one it was forked from, so a small one starts the side.
TIMER = """
import os, sys, time
def busy():
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
before, start = busy(), time.perf_counter()
child = os.posix_spawn("/bin/bash", ["bash", "-ec", "exec >/dev/null; " + sys.argv[1]], os.environ)
_, status, used = os.wait4(child, 0)
wall, cpu = time.perf_counter() - start, used.ru_utime + used.ru_stime
others = max(0, busy() - before - cpu) / wall / os.cpu_count()
print(wall, cpu, used.ru_maxrss / 1024, others)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""

# A virtual machine gives the host what memory is free and gets it again page by page, ten times slower
# than it is written: who came first, or wrote in large pieces, paid seconds for a GiB of page cache.
READY = """
import mmap, sys
with mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
    memory.madvise(mmap.MADV_HUGEPAGE)
    try:
        memory.madvise(23)  # MADV_POPULATE_WRITE, of Linux 5.14
    except OSError:
        pass
"""

_numbers = itertools.count()


class Taken(NamedTuple):
    """What a command took: seconds, MiB of its largest process, the others' part of all processors."""

    wall: float
    cpu: float
    peak: float
    others: float


def take(command: str, **variables: str | Path) -> Taken:
    """Run a command line of the shell; what it prints is thrown away."""
    os.sync()  # nobody pays for what was written before
    subprocess.run([sys.executable, "-S", "-E", "-c", READY, f"{ROOM}"], check=True)
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", TIMER, command],
        stdout=subprocess.PIPE,
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        text=True,
        check=True,
    )
    return Taken(*map(float, done.stdout.split()))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


@dataclass
class Side:
    """A command line of the shell, what it leaves at $OUT, and what it took, a round each."""

    name: str
    command: str
    output: Path
    took: list[Taken] = field(default_factory=list)

    def run(self) -> None:
        if self.output.is_dir():
            shutil.rmtree(self.output)
        self.output.unlink(missing_ok=True)
        self.prepare()
        self.took.append(take(self.command, OUT=self.output))

    def prepare(self) -> None:
        """Do what is not timed."""

    def size(self) -> int:
        return size_of(self.output)

    def median(self, what: str) -> float:
        return statistics.median(getattr(taken, what) for taken in self.took)


@dataclass
class Fresh(Side):
    """One that fills the directory $OUT, which is a new one each time: ext4 is slow in one that was
    just emptied.  What is large is removed with the next run, or the disk would fill."""

    large: int = 64 * MIB

    def run(self) -> None:
        for file in self.output.rglob("*"):
            if file.stat(follow_symlinks=False).st_size > self.large:
                file.unlink()
        self.output = self.output.with_suffix(f".{next(_numbers)}")
        super().run()


def ratio(ours: Side, peer: Side, what: str) -> float:
    """The median of the ratios of each round."""
    pairs = zip(ours.took, peer.took, strict=True)
    return statistics.median(getattr(a, what) / (getattr(b, what) or 1) for a, b in pairs)


def tell(ours: Side, peer: Side, budgets: dict[str, float]) -> None:
    """Print how the first side stands to another, and to what it may take of that."""
    busy = max(ours.median("others"), peer.median("others"))
    for what, budget in budgets.items():
        figure = (
            ours.size() / (peer.size() or 1)
            if what == "size"
            else max(taken.peak for taken in ours.took)
            if what == "peak"
            else ratio(ours, peer, what)
        )
        met = "met" if figure <= budget else "missed"
        if what == "wall" and busy >= BUSY:
            met += f", while others had {busy:.0%} of the processors"
        unit = " MiB" if what == "peak" else f" of {peer.name}"
        print(f"  {what}: {figure:.3f}{unit}, budget {budget:g}: {met}")


def contest(
    title: str,
    sides: list[Side],
    budgets: dict[str, float],
    peers: Sequence[Side] = (),
    rounds: int = ROUNDS,
    warm: bool = True,
) -> None:
    """Print each side and, against the fastest of the peers (else the second one), the first."""
    for number in range(rounds + warm):
        for side in sides:
            side.run()
            if number == 0 and warm:
                side.took.clear()
    print(f"\n{title}")
    print(
        f"  {'':<{WIDTH}} {'wall s':>8} {'best':>8} {'cpu s':>8} {'MiB':>9} {'peak MiB':>9} {'others':>7}"
    )
    for side in sides:
        print(
            f"  {side.name:<{WIDTH}} {side.median('wall'):8.3f} {min(side.took).wall:8.3f} "
            f"{side.median('cpu'):8.3f} {side.size() / MIB:9.2f} "
            f"{max(taken.peak for taken in side.took):9.1f} {side.median('others'):7.0%}"
        )
    if len(sides) > 1:
        tell(sides[0], min(peers or sides[1:2], key=lambda peer: peer.median("wall")), budgets)
