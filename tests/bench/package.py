"""Packages beside tar with zstd, zipfile, wheel and borg: time, processor time, bytes, peak memory.

A package is hashed, indexed and synced besides; nobody else's file is.

Run as a program it prints these rows alone:  package.py BUILD
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sides import MIB, THREADS, Fresh, Side, contest

LIBRARIES = ("numpy", "scipy", "sklearn", "pandas")

# ---- what is packed ------------------------------------------------------------------------------


def make_libraries(workspace: Path) -> str:
    """The Python libraries that are there, with the shared objects beside them."""
    found = []
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            print(f"{name} is not installed and is left out")
            continue
        found.append(name)
        package = Path(spec.origin).parent
        for source in (package, *package.parent.glob(f"{name}.libs")):
            shutil.copytree(
                source,
                workspace / "code" / source.name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
    return ", ".join(found)


def make_floats(workspace: Path) -> str:
    some = np.random.default_rng(0)
    np.save(workspace / "weights.npy", some.random(1 << 28, dtype=np.float32))
    return "float32 in one file"


def make_compressed(workspace: Path) -> str:
    some = np.random.default_rng(0)
    for i in range(32):
        (workspace / f"{i}.jpg").write_bytes(some.bytes(8 * MIB))
    return "compressed files"


def make_small(workspace: Path) -> str:
    for i in range(100_000):
        folder = workspace / "data" / f"{i // 200}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.txt").write_text(f"{i}\n" * (i % 40))
    return "100,000 small files"


def wheel(workspace: Path, directory: Path) -> tuple[str, Path]:
    """Make a workspace ready to be a wheel; answers the command that makes it, and where."""
    info = workspace / "bench-1.dist-info"
    info.mkdir()
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench\nVersion: 1\n")
    command = f"'{sys.executable}' -m wheel pack -d '{directory}' '{workspace}'"
    return command, directory / "bench-1-py3-none-any.whl"


# ---- rows ----------------------------------------------------------------------------------------


def packers(tool: Path, workspace: Path, directory: Path, few: bool) -> list[Side]:
    """Pack the workspace; `few`: without those that take long or compress with one thread."""
    sides = [
        Side(
            f"exia, {THREADS} threads",
            f"'{tool}' pack '{workspace}' -o '{directory}/ours.veda' --threads {THREADS} -q",
            directory / "ours.veda",
        ),
        Side(
            f"tar | zstd -T{THREADS} -3",
            f"tar -C '{workspace}' -cf - . | zstd -q -T{THREADS} -3 -o '{directory}/peer.tar.zst'",
            directory / "peer.tar.zst",
        ),
        Side(
            "... and synced",
            f"tar -C '{workspace}' -cf - . | zstd -q -T{THREADS} -3 -o '{directory}/synced.zst'; "
            f"sync '{directory}/synced.zst'",
            directory / "synced.zst",
        ),
        Side(
            "exia, 1 thread",
            f"'{tool}' pack '{workspace}' -o '{directory}/one.veda' --threads 1 -q",
            directory / "one.veda",
        ),
    ]
    if few:
        return sides
    sides.append(
        Side(
            "zipfile",
            f"cd '{workspace}' && '{sys.executable}' -m zipfile -c '{directory}/peer.zip' *",
            directory / "peer.zip",
        )
    )
    if importlib.util.find_spec("wheel") is not None:
        sides.append(Side("wheel", *wheel(workspace, directory)))
    if shutil.which("borg"):
        repository = directory / "borg"
        sides.append(
            Side(
                "borg, zstd,3",
                f"export BORG_BASE_DIR='{directory}/base'; borg init -e none '{repository}'; "
                f"borg create -C zstd,3 '{repository}::a' '{workspace}'",
                repository,
            )
        )
    return sides


def unpackers(tool: Path, made: Path, few: bool) -> list[Side]:
    """Unpack what the packers made; a package is verified besides."""
    where = made / "unpacked"
    where.mkdir()
    ours = f"'{tool}' unpack '{made}/ours.veda' \"$OUT\" -q"
    peer = f'mkdir "$OUT"; tar --zstd -C "$OUT" -xf \'{made}/peer.tar.zst\''
    sides: list[Side] = [
        Fresh(f"exia, {THREADS} threads", f"{ours} --threads {THREADS} --no-sync", where / "x"),
        Fresh("tar --zstd -x", peer, where / "x"),
        Fresh("exia, 1 thread", f"{ours} --threads 1 --no-sync", where / "x"),
    ]
    if few:
        return sides
    return [
        *sides,
        Fresh("exia, synced", f"{ours} --threads {THREADS}", where / "x"),
        Fresh("tar --zstd -x, synced", f'{peer}; sync -f "$OUT"', where / "x"),
    ]


def readers(tool: Path, made: Path, path: Path) -> dict[str, list[Side]]:
    """Read all of it and keep nothing; read one file."""
    none = made / "nothing"
    return {
        "verify": [
            Side(
                f"exia, {THREADS} threads",
                f"'{tool}' verify '{made}/ours.veda' -q --threads {THREADS}",
                none,
            ),
            Side("zstd -t, no digests", f"zstd -q -t '{made}/peer.tar.zst'", none),
            Side("exia, 1 thread", f"'{tool}' verify '{made}/ours.veda' -q --threads 1", none),
        ],
        f"read {path.name} alone": [
            Side("exia cat", f"'{tool}' cat '{made}/ours.veda' '{path}'", none),
            Side("tar -xO", f"tar --zstd -xOf '{made}/peer.tar.zst' './{path}'", none),
        ],
    }


def frame_table(tar: Path) -> None:
    """Print what the size of independent frames and the level cost: ratio, MB/s of processor time."""
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_compress.restype = zstd.ZSTD_compressBound.restype = ctypes.c_size_t
    data = tar.read_bytes()[: 64 * MIB]
    room = ctypes.create_string_buffer(len(data) + MIB)
    source = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
    sizes = (MIB // 4, MIB // 2, MIB, 2 * MIB, 4 * MIB, 8 * MIB, len(data))
    print(f"\nframes of a size, the first {len(data) // MIB} MiB: ratio, MB/s of a core")
    print("  level" + "".join(f"{size / MIB:>12.2f} MiB" for size in sizes))
    for level in (1, 3, 9, 15):
        cells = ""
        for size in sizes:
            start, packed = time.process_time(), 0
            for at in range(0, len(data), size):
                packed += zstd.ZSTD_compress(
                    room,
                    ctypes.c_size_t(len(room)),
                    ctypes.c_void_p(source + at),
                    ctypes.c_size_t(min(size, len(data) - at)),
                    level,
                )
            took = time.process_time() - start
            cells += f"{len(data) / packed:>9.3f} {len(data) / took / 1e6:>6.0f}"
        print(f"  {level:>5}{cells}")


def bench_packages(tool: Path, directory: Path) -> None:
    """Print all rows; `directory` is on the file system that is measured."""
    memory = 64 + 8 * THREADS
    cases: list[tuple[Callable[[Path], str], float, float]] = [  # budgets: size, entries
        (make_libraries, 1.02, 0),
        (make_floats, 1.02, 0),
        (make_compressed, 1.02, 0),
        (make_small, 0, 100_500),  # a digest of 32 bytes for each of so many is most of it
    ]
    for make, size, entries in cases:
        workspace, made = directory / make.__name__, directory / f"{make.__name__}.made"
        made.mkdir()
        subprocess.run(
            [tool, "new", "bench", workspace, "-q"], check=True, stdout=subprocess.DEVNULL
        )
        what = make(workspace)
        total = sum(file.stat().st_size for file in workspace.rglob("*") if file.is_file())
        count = sum(1 for _ in workspace.rglob("*"))
        budgets = {"wall": 1.0, "size": size, "peak": memory + entries * 256 / MIB}
        contest(
            f"pack {total // MIB} MiB, {count} entries: {what}",
            packers(tool, workspace, made, few=make is not make_libraries),
            {name: budget for name, budget in budgets.items() if budget},
        )
        contest(
            f"unpack it: {what}",
            unpackers(tool, made, few=make is not make_libraries),
            {"wall": 0.6, "peak": memory + count * 256 / MIB},
        )
        files = sorted(file for file in workspace.rglob("*") if file.is_file())
        for title, sides in readers(
            tool, made, files[len(files) // 2].relative_to(workspace)
        ).items():
            contest(f"{title}: {what}", sides, {})
        if make is make_libraries:
            tar = made / "plain.tar"
            subprocess.run(["tar", "-C", workspace, "-cf", tar, "."], check=True)
            frame_table(tar)
        shutil.rmtree(made)
        shutil.rmtree(workspace)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as place:
        bench_packages(Path(sys.argv[1], "vedapkg").absolute(), Path(place).absolute())
