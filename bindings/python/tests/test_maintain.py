"""The limits of time of a component, and the round that keeps them."""

from __future__ import annotations

import logging

import pytest
from parts import Plain

import exia


@pytest.mark.parametrize("limit", ["idle", "life", "overdue"])
def test_a_bad_limit_is_refused(pool: exia.Pool, limit: str) -> None:
    with pytest.raises(exia.InvalidError, match=f"{limit} must be 0 or more"):
        pool.add("a", Plain, **{limit: -1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=limit):
        pool.add("a", Plain, **{limit: "1"})  # type: ignore[arg-type]
    with pytest.raises(exia.InvalidError, match=limit):
        pool.add("a", Plain, **{limit: float("nan")})  # type: ignore[arg-type]
    with pytest.raises(exia.InvalidError, match="min_idle"):
        pool.add("a", Plain, max=2, min_idle=3)
    assert pool.show() == []
    pool.add("a", Plain, **{limit: float("inf")})  # type: ignore[arg-type]


def test_maintain_builds_what_should_be_ready_and_ends_what_is_idle(pool: exia.Pool) -> None:
    pool.add("ready", Plain, max=4, min_idle=2)
    pool.add("brief", Plain, max=4, idle=0)
    with pool.borrow("brief"), pool.borrow("brief"):
        pass
    for _ in range(1000):
        pool.maintain()
        built = {row["name"]: row["built"] for row in pool.stats()}
        if built["brief"] == 0:
            break
    assert built == {"ready": 2, "brief": 0}


def test_maintain_logs_what_fails_and_lets_ctrl_c_through(
    pool: exia.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "exia")
    raises: list[BaseException] = [ZeroDivisionError("bad"), KeyboardInterrupt()]

    def make() -> None:
        raise raises.pop(0)

    pool.add("part", make, max=1, min_idle=1)
    pool.maintain()
    assert "bad" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        pool.maintain()


def test_an_overdue_loan_is_told_with_its_line(
    pool: exia.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "exia")
    pool.add("part", Plain, max=1, overdue=0)
    with pool.borrow("part"):
        for _ in range(1000):
            pool.maintain()
            if "test_maintain.py" in caplog.text:
                break
    assert "test_maintain.py" in caplog.text
