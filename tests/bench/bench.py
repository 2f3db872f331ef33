"""Side by side with the field: each row is measured in turn in one run, best of several rounds."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from dag import bench_dag
from objects import bench_objects
from pool import bench_pool
from rows import row
from versions import bench_versions

import exia

BUILD = Path(sys.argv[1])


def machine() -> str:
    """Name the processor, and its governor where the kernel tells it."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    frequency = governor.read_text().strip() if governor.exists() else "not known"
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.machine()}, {cores} core(s), governor {frequency}"


def bench_packages(directory: Path) -> None:
    workspace = directory / "workspace"
    exia.new_workspace(workspace, "bench")
    shutil.copytree(
        Path(np.__file__).parent,
        workspace / "code" / "numpy",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    size = sum(f.stat().st_size for f in workspace.rglob("*") if f.is_file()) >> 20
    tar = directory / "peer.tar.zst"
    veda = directory / "bench.veda"
    row(
        f"pack, {size} MiB of numpy",
        lambda: (veda.unlink(missing_ok=True), exia.pack(workspace, veda)),
        "tar | zstd -T2 -3",
        lambda: subprocess.run(
            f"tar -C '{workspace}' -cf - . | zstd -q -f -T2 -3 -o '{tar}'", shell=True, check=True
        ),
    )
    ours, peer = veda.stat().st_size, tar.stat().st_size
    print(f"{'... size':<52} {ours:10d} B    {'':<22} {peer:10d} B    {ours / peer:7.3f}")
    fresh = iter(range(1000))

    def unpack() -> None:
        exia.Package(veda).unpack(directory / f"ours{next(fresh)}")

    def untar() -> None:
        target = directory / f"peer{next(fresh)}"
        target.mkdir()
        subprocess.run(["tar", "--zstd", "-C", target, "-xf", tar], check=True)

    row("unpack, verify and sync", unpack, "tar --zstd -x, no sync", untar)


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # the C part prints by itself
    print(
        f"exia {exia.__version__}, {platform.platform()}, {machine()}, Python {platform.python_version()}"
    )
    subprocess.run([BUILD / "bench-pool"], check=True)
    bench_pool()
    print(flush=True)
    subprocess.run([BUILD / "bench-dag"], check=True)
    print()
    bench_dag()
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        bench_objects(Path(directory))
        bench_versions(Path(directory))
        bench_packages(Path(directory))


if __name__ == "__main__":
    main()
