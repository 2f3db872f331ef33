"""What the tests of the binding share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import exia


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own home."""
    directory = tmp_path / "home of exia"
    monkeypatch.setenv("EXIA_HOME", str(directory))
    return directory


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Press Ctrl-C; it arrives even where the shell that started the tests has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[list[str], list[str]]]:
    """Check a program: the types that it reveals, and the errors."""
    pytest.importorskip("mypy")
    directory = tmp_path_factory.mktemp("mypy")

    def check(program: str) -> tuple[list[str], list[str]]:
        (directory / "typed.py").write_text(program)
        command = [sys.executable, "-m", "mypy", "--strict", "typed.py"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        lines = done.stdout.splitlines()
        return (
            [line.split('"')[1] for line in lines if "Revealed type" in line],
            [line.split(": error: ")[1] for line in lines if ": error: " in line],
        )

    return check


@pytest.fixture
def library(tmp_path: Path) -> Iterator[exia.Library]:
    with exia.Library(tmp_path / "library") as opened:
        yield opened


@pytest.fixture
def pool() -> Iterator[exia.Pool]:
    with exia.Pool("test") as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of installed modules; what was imported from it is forgotten afterwards."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        del sys.modules[name]
