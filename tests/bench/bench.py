"""Side by side with the field: each row is measured in turn in one run, best of several rounds."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from dag import bench_dag
from objects import bench_objects
from package import bench_packages
from pool import bench_pool
from registry import bench_registry
from stores import bench_stores
from transfer import bench_transfer
from versions import bench_versions

import exia

BUILD = Path(sys.argv[1]).absolute()


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
        bench_packages(BUILD / "vedapkg", Path(directory).absolute())
        bench_stores(BUILD, Path(directory).absolute())
        bench_transfer(BUILD, Path(directory).absolute())
        bench_registry(BUILD, Path(directory).absolute())


if __name__ == "__main__":
    main()
