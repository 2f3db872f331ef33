"""Objects in and out beside joblib, pickle 5 and safetensors: time, peak memory, bytes written.

All write durably (the file and its directory are synced) to a fresh name, and read what the page
cache holds.  A version of a library is more than a file: its row, its log and its digest are in the
times.  Who cannot keep an object at all (safetensors: what is no dict of arrays) is left out.

Run as a program it is one process whose memory is told:  objects.py SIDE DIRECTORY CASE write|read
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import safetensors
import safetensors.numpy
from rows import measure

import exia

GIB = 1 << 30
ROUNDS = 3
WIDTH = 44

# ---- what is kept ----------------------------------------------------------------------------------


def in_arrays(count: int) -> dict[str, np.ndarray]:
    """Make a GiB of float32."""
    some = np.random.default_rng(0)
    each = GIB // 4 // count
    return {f"a{i}": some.random(each, dtype=np.float32) for i in range(count)}


def small_arrays() -> dict[str, np.ndarray]:
    return {f"a{i}": np.full(16, i, np.float32) for i in range(100_000)}


def forest() -> object:
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(300, random_state=0).fit(*load_digits(return_X_y=True))


def pipeline() -> object:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = make_pipeline(StandardScaler(), LogisticRegression())
        return steps.fit(*load_digits(return_X_y=True))


CASES: dict[str, Callable[[], Any]] = {
    "1 GiB in 1 array": lambda: in_arrays(1),
    "1 GiB in 1,000 arrays": lambda: in_arrays(1000),
    "100,000 small arrays": small_arrays,
    "random forest, 300 trees": forest,
    "pipeline, 10 kB": pipeline,
}


def touch(read: Any) -> float:
    """Use a byte of every page."""
    return sum(float(array[::1024].sum()) for array in read.values())


def predict(read: Any) -> Any:
    return read.predict(np.zeros((1, 64)))


# ---- who keeps it ----------------------------------------------------------------------------------


def durable(path: Path) -> None:
    for place in (path, path.parent):
        file = os.open(place, os.O_RDONLY)
        os.fsync(file)
        os.close(file)


class Side:
    """One way to keep objects in a directory."""

    name: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.count = 0

    def last(self) -> Path:
        return self.directory / f"{type(self).__name__}{self.count}"

    def write(self, obj: Any) -> None:
        self.count += 1
        self.dump(obj, self.last())
        durable(self.last())

    def clear(self) -> None:
        if self.count:
            self.last().unlink()

    def dump(self, obj: Any, path: Path) -> None:
        raise NotImplementedError

    def read(self) -> Any:
        raise NotImplementedError


class Exia(Side):
    name = "exia"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.library = exia.Library(directory / "library")

    def clear(self) -> None:
        path = self.library.open("m").path
        if path is not None:  # what is small lies in the log
            path.unlink()

    def write(self, obj: Any) -> None:
        self.library.write("m", obj)

    def read(self) -> Any:
        return self.library.read("m")


class Joblib(Side):
    name = "joblib"

    def dump(self, obj: Any, path: Path) -> None:
        joblib.dump(obj, path)

    def read(self) -> Any:
        return joblib.load(self.last())


class Pickle(Side):
    name = "pickle 5"

    def dump(self, obj: Any, path: Path) -> None:
        with open(path, "wb") as file:
            pickle.dump(obj, file, protocol=5)

    def read(self) -> Any:
        with open(self.last(), "rb") as file:
            return pickle.load(file)


class Safetensors(Side):
    name = "safetensors"

    def dump(self, obj: Any, path: Path) -> None:
        safetensors.numpy.save_file(obj, path)

    def read(self) -> Any:
        return safetensors.numpy.load_file(self.last())


def reading(side: Side) -> dict[str, Callable[[], Any]]:
    """Name the ways in which a side reads what it has written."""
    if isinstance(side, Joblib):
        path = side.last()
        return {
            "joblib": side.read,
            "joblib mmap_mode=r": lambda: joblib.load(path, mmap_mode="r"),
            "joblib mmap_mode=c": lambda: joblib.load(path, mmap_mode="c"),
        }
    if isinstance(side, Safetensors):

        def opened() -> dict[str, Any]:
            with safetensors.safe_open(side.last(), "np") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

        return {"safetensors load_file": side.read, "safetensors safe_open": opened}
    return {side.name: side.read}


# ---- rows ------------------------------------------------------------------------------------------


def tell(what: str, calls: dict[str, Callable[[], Any]], budgets: dict[str, float]) -> None:
    """Run all in turn and print the best of each, and what part of it ours, the first, takes.

    A budget is the greatest part that ours may take of a peer; of "exia", of a second.
    """
    for name, call in list(calls.items()):
        try:
            call()
        except Exception as error:  # joblib's mappings take a file descriptor an array
            print(f"{what.strip()}: {name} cannot: {error}")
            del calls[name]
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()  # whatever ran before, each finds the processor's caches as it left them itself
            took[name] += measure([call], 1)[0]
    print_best(what, took, budgets)


def print_best(what: str, took: dict[str, list[float]], budgets: dict[str, float]) -> None:
    print(what)
    best = {name: min(times) for name, times in took.items()}
    for name, seconds in best.items():
        line = f"  {name:<{WIDTH}} {seconds * 1e3:10.3f} ms"
        part = seconds if name == "exia" else best["exia"] / seconds
        if name != "exia":
            line += f"   {part:7.3f}"
        if name in budgets:
            line += f"   budget {budgets[name]:g}: {'met' if part <= budgets[name] else 'missed'}"
        print(line)


class Copy(Side):
    """cp and fsync of the bytes of another: what the disk can do."""

    name = "cp + fsync"
    source: Path

    def dump(self, obj: Any, path: Path) -> None:
        command = ["cp", "--reflink=never", "--sparse=never", self.source, path]
        subprocess.run(command, check=True)


def compare_writes(sides: list[Side], obj: Any) -> None:
    """Write all in turn; what was written before is removed in between, outside of the times."""
    took: dict[str, list[float]] = {side.name: [] for side in sides}
    first = next(iter(obj.values())) if isinstance(obj, dict) else None
    for number in range(ROUNDS):
        for side in sides:
            if first is not None:
                first[0] = number + 1  # other bytes, so that nothing is there already
            side.clear()
            start = time.perf_counter()
            side.write(obj)
            took[side.name].append(time.perf_counter() - start)
    print_best(
        "... write, durable",
        took,
        {"cp + fsync": 1.1} if first is not None and first.nbytes > 1 << 16 else {},
    )


def bench_case(directory: Path, case: str) -> None:
    obj = CASES[case]()
    arrays = isinstance(obj, dict)
    large = case.startswith("1 GiB")
    sides = [kind(directory) for kind in (Exia, Joblib, Pickle, Safetensors)]
    sides = sides if arrays else sides[:-1]
    for side in sides:
        side.write(obj)
    reads = {name: call for side in sides for name, call in reading(side).items()}
    absolute = {"1 GiB in 1 array": 1e-3, "1 GiB in 1,000 arrays": 3e-3}
    tell(f"\n{case}: read", reads, {"exia": absolute[case]} if large else {})
    use = touch if arrays else predict
    if large or not arrays:
        mapped = {"joblib mmap_mode=c": 1.1 if case == "1 GiB in 1 array" else 0.1}
        used = {name: (lambda read=read: use(read())) for name, read in reads.items()}
        used["what was never written"] = partial(use, obj)  # less nobody can take
        tell(
            "... touching every page" if arrays else "... and the first prediction",
            used,
            mapped if large else {},
        )
        del used
    copy = Copy(directory)
    copy.source = directory / "source"
    shutil.copyfile(sides[2].last(), copy.source)
    compare_writes([*sides, copy], obj)
    del obj
    tell_processes(directory, case, sides)
    for file in directory.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def tell_processes(directory: Path, case: str, sides: list[Side]) -> None:
    """Print what a process of its own takes to write the object, and another one to read it."""
    print(f"  {'':<{WIDTH - 12}} {'memory to write':>16} {'to read':>10} {'bytes written':>16}")
    for side in sides:
        place = directory / side.name
        place.mkdir()
        answers = []
        for task in ("write", "read"):
            command = [sys.executable, __file__, side.name, str(place), case, task]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            answers.append([int(word) for word in done.stdout.split()])
        (wrote, written), (read, _) = answers
        print(f"  {side.name:<{WIDTH - 12}} {wrote:12d} MiB {read:6d} MiB {written:16,d}")
        shutil.rmtree(place)


def status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def tell_process(side: Side, case: str, task: str) -> None:
    """Print by how many MiB the peak grew beyond what was there, and the bytes that were written.

    What a mapping shares with the page cache is nobody's memory and not counted.
    """
    obj = CASES[case]() if task == "write" else None
    side.count = 0 if task == "write" else 1
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts over
    before, bytes_before = status("VmRSS"), written()
    if task == "write":
        side.write(obj)
        print((status("VmHWM") - before) >> 10, written() - bytes_before)
    else:
        obj = side.read()
        print((status("VmHWM") - before) >> 10, 0)


def bench_objects(directory: Path) -> None:
    print(
        f"\nobjects: joblib {joblib.__version__}, safetensors {safetensors.__version__},"
        f" numpy {np.__version__}; best of {ROUNDS}, exia / peer"
    )
    place = directory / "objects"
    for case in CASES:
        place.mkdir(exist_ok=True)
        bench_case(place, case)


if __name__ == "__main__":
    kind, where, what, do = sys.argv[1:]
    tell_process({c.name: c for c in Side.__subclasses__()}[kind](Path(where)), what, do)
