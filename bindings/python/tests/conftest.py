"""What the tests of the binding share."""

from __future__ import annotations

from collections.abc import Iterator
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
def library(tmp_path: Path) -> Iterator[exia.Library]:
    with exia.Library(tmp_path / "library") as opened:
        yield opened
