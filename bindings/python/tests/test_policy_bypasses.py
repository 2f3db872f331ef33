"""Known ways past scanners of pickles, under an empty policy and under a wide one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bypasses
import pytest

import exia
from exia._trust import PolicyUnpickler

WIDE = ["numpy", "sklearn", "scipy", "pandas", "joblib", "collections"]
POLICIES = pytest.mark.parametrize("packages", [[], WIDE], ids=["empty", "wide"])


def load(stream: bytes, packages: list[str]) -> object:
    return PolicyUnpickler(
        stream + b".", (), packages=packages, constructors=[], what="evil@1", why="why"
    ).load()


def test_each_of_them_works_on_python_s_own_pickle(tmp_path: Path) -> None:
    for package in ("sklearn", "scipy", "joblib", "cloudpickle"):
        pytest.importorskip(package)
    found = subprocess.run(
        [sys.executable, bypasses.__file__, tmp_path],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == ""


@POLICIES
@pytest.mark.parametrize("name", bypasses.FIRING)
def test_a_known_bypass_is_refused_and_does_nothing(
    name: str, packages: list[str], tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(exia.UntrustedError, match=r"evil@1 wants"):
        load(bypasses.FIRING[name](str(canary)), packages)
    assert not canary.exists()


@POLICIES
@pytest.mark.parametrize("name", bypasses.NAMES)
def test_a_name_that_reaches_further_is_refused(name: str, packages: list[str]) -> None:
    module, attribute = name.rsplit(".", 1)
    for stream in (bypasses.named(module, attribute), bypasses.stacked(module, attribute)):
        with pytest.raises((exia.UntrustedError, ModuleNotFoundError)) as caught:
            load(stream, packages)
        if caught.type is not exia.UntrustedError:  # of a package that is listed and not there
            assert module.split(".")[0] in packages


@POLICIES
@pytest.mark.parametrize("name", bypasses.BROKEN)
def test_a_broken_pickle_does_nothing(name: str, packages: list[str], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(Exception):  # noqa: B017, PT011
        load(bypasses.BROKEN[name](str(canary)), packages)
    assert not canary.exists()
