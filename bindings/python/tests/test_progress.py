"""Long calls: a bar where somebody looks, none elsewhere, and an end at Ctrl-C."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

import exia
from exia import _progress
from exia._handle import call
from exia._native import ffi, lib


class Bar:
    """Stands in for tqdm."""

    made: list[Bar] = []  # noqa: RUF012

    def __init__(self, total: int | None, desc: str, **how: Any) -> None:
        self.total, self.desc, self.n, self.closed = total, desc, 0, False
        self.made.append(self)

    def update(self, more: int) -> None:
        self.n += more

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    monkeypatch.setattr(_progress, "QUIET", 0)
    monkeypatch.setattr(_progress, "_watched", lambda: True)
    monkeypatch.setitem(sys.modules, "tqdm.auto", type(sys)("tqdm.auto"))
    sys.modules["tqdm.auto"].tqdm = Bar  # type: ignore[attr-defined]
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


def report(job: _progress.Job, step: str, done: int, total: int) -> int:
    """Report as C does."""
    answer = job.c.progress(ffi.new("char[]", step.encode()), done, total, job.c.payload)
    return int(answer)


def test_a_step_has_a_bar_that_is_closed(bars: list[Bar]) -> None:
    with _progress.Job() as job:
        assert report(job, "hashing", 1, 10) == 0
        assert report(job, "hashing", 10, 10) == 0
        assert report(job, "storing", 5, 10) == 0
    assert [(bar.desc, bar.n, bar.total, bar.closed) for bar in bars] == [
        ("hashing", 10, 10, True), ("storing", 5, 10, True)
    ]  # fmt: skip


def test_no_bar_where_nobody_looks(bars: list[Bar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(_progress, "QUIET", 0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with _progress.Job() as job:
        assert report(job, "hashing", 1, 10) == 0
        assert job._bar is None or "ipykernel" in sys.modules


def test_without_tqdm_there_is_no_bar_and_no_error(
    bars: list[Bar], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with _progress.Job() as job:
        assert report(job, "hashing", 1, 10) == 0


def test_a_bar_that_fails_ends_the_call_with_its_own_exception(
    bars: list[Bar], monkeypatch: pytest.MonkeyPatch, library: exia.Library, tmp_path: Any
) -> None:
    def interrupted(self: Any, step: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_progress.Job, "report", interrupted)
    (tmp_path / "big").write_bytes(bytes(32 << 20))
    with pytest.raises(KeyboardInterrupt):
        library.write("m", tmp_path / "big")
    monkeypatch.undo()
    assert library.search() == []
    assert library.write("m", 1) == 1


def test_an_exception_is_parked_until_the_call_returns() -> None:
    with _progress.Job() as job:
        job.stop = RuntimeError("stop")
        assert report(job, "any", 0, 0) == 1
    assert call(lib.exia_dag_open, ffi.new("exia_dag **")) == 0
