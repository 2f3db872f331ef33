"""Modules that are read again, while what they made is used."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import weakref
from pathlib import Path

import pytest

import exia

FIRST = "SCALE = 1\nclass Scaler:\n    '''First.'''\n    def value(self): return SCALE\n"
SECOND = FIRST.replace("1", "2").replace("First", "Second")


@pytest.fixture
def source(site: Path) -> Path:
    path = site / "part_a.py"
    path.write_text(FIRST)
    importlib.invalidate_caches()
    return path


@pytest.mark.parametrize("by_text", [True, False])
def test_a_module_is_read_again_and_old_loans_drain(
    pool: exia.Pool, source: Path, by_text: bool
) -> None:
    import part_a  # type: ignore[import-not-found]

    pool.add("scaler", "part_a:Scaler" if by_text else part_a.Scaler, max=1)
    lease = pool.borrow("scaler")
    source.write_text(SECOND)  # within the same second, and as long as before
    (loan,) = pool.reload("scaler")
    assert loan["old"]
    with pool.borrow("scaler") as new:
        assert new.value() == 2
        assert lease.object.value() == 1  # the old code has its own module still
    lease.close()
    assert pool.show("scaler")[0]["about"] == {"title": "Second."}
    assert sys.modules["part_a"].SCALE == 2
    source.write_text(FIRST)
    assert pool.reload("scaler") == []
    with pool.borrow("scaler") as again:
        assert again.value() == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SCALE = 3\n1 / 0\n", ZeroDivisionError),
        ("SCALE = 3\nclass Scaler(\n", SyntaxError),
        ("SCALE = 3\nimport no_such_module\n", ModuleNotFoundError),
        ("SCALE = 3\n", AttributeError),
        ("SCALE = 3\nScaler = 7\n", TypeError),
        ("SCALE = 3\nclass Scaler:\n    def __init__(self): raise KeyError\n", KeyError),
        ("SCALE = 3\nraise SystemExit\n", SystemExit),
        (None, exia.InvalidError),
    ],
)
def test_a_module_that_fails_leaves_the_old_one_and_its_namespace(
    pool: exia.Pool, source: Path, text: str | None, kind: type[BaseException]
) -> None:
    pool.add("scaler", "part_a:Scaler")
    import part_a

    before = dict(vars(part_a))
    if text is None:
        source.unlink()
    else:
        source.write_text(text)
    with pytest.raises(kind):
        pool.reload("scaler")
    assert sys.modules["part_a"] is part_a
    assert vars(part_a) == before
    with pool.borrow("scaler") as scaler:
        assert type(scaler) is part_a.Scaler
        assert scaler.value() == 1
    source.write_text(SECOND)
    pool.reload("scaler")
    with pool.borrow("scaler") as scaler:
        assert scaler.value() == 2


def test_a_module_in_a_package_is_read_again_in_its_place(pool: exia.Pool, site: Path) -> None:
    (site / "bag").mkdir()
    (site / "bag" / "__init__.py").write_text("from bag import inner\nclass Whole: N = 1\n")
    (site / "bag" / "inner.py").write_text("class Part: N = 1\n")
    importlib.invalidate_caches()
    pool.add("part", "bag.inner:Part")
    pool.add("whole", "bag:Whole")
    bag, inner = sys.modules["bag"], sys.modules["bag.inner"]
    (site / "bag" / "inner.py").write_text("class Part: N = 2\n")
    pool.reload("part")
    assert sys.modules["bag"] is bag
    assert bag.inner is sys.modules["bag.inner"] is not inner
    (site / "bag" / "inner.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        pool.reload("part")
    assert bag.inner is sys.modules["bag.inner"]
    assert bag.inner.Part.N == 2
    (site / "bag" / "__init__.py").write_text("class Whole: N = 3\n")
    pool.reload("whole")
    assert sys.modules["bag"].inner is bag.inner
    with pool.borrow("whole") as whole, pool.borrow("part") as part:
        assert (whole.N, part.N) == (3, 2)


def test_two_components_of_one_module_are_reloaded_one_by_one(
    pool: exia.Pool, source: Path
) -> None:
    source.write_text("class A: N = 1\nclass B: N = 1\n")
    pool.add("a", "part_a:A")
    pool.add("b", "part_a:B")
    source.write_text("class A: N = 2\nclass B: N = 2\n")
    pool.reload("a")
    with pool.borrow("a") as a, pool.borrow("b") as b:
        assert (a.N, b.N) == (2, 1)
    pool.reload("b")
    with pool.borrow("b") as b:
        assert b.N == 2


def test_a_ctrl_c_while_the_old_object_goes_leaves_the_new_module_in_place(
    pool: exia.Pool, source: Path
) -> None:
    source.write_text("class A:\n    N = 1\n    def close(self): raise KeyboardInterrupt\n")
    pool.add("a", "part_a:A")
    with pool.borrow("a") as a:
        assert a.N == 1
    source.write_text("class A: N = 2\n")
    with pytest.raises(KeyboardInterrupt):
        pool.reload("a")
    with pool.borrow("a") as a:
        assert (a.N, type(a)) == (2, sys.modules["part_a"].A)


def test_what_has_no_source_cannot_be_reloaded(pool: exia.Pool) -> None:
    class Local: ...

    pool.add("local", Local)
    pool.add("lambda", lambda: 1)
    pool.add("builtin", list)
    pool.add("compiled", "math:factorial", arguments={})
    for name in ("local", "lambda", "builtin", "compiled"):
        with pytest.raises(exia.InvalidError, match=rf"'{name}'.*replace\(\)"):
            pool.reload(name)
    with pytest.raises(exia.NotFoundError, match="nothing"):
        pool.reload("nothing")


def test_a_component_is_reloaded_while_threads_use_it(pool: exia.Pool, source: Path) -> None:
    pool.add("scaler", "part_a:Scaler", max=2)
    stop, seen, errors = threading.Event(), set(), []

    def work() -> None:
        try:
            while not stop.is_set():
                with pool.borrow("scaler", timeout=60) as scaler:
                    seen.add(scaler.value())
                from part_a import Scaler  # the old one, or all of the new one

                seen.add(Scaler().value())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    modules = []
    for i in range(10):
        source.write_text(SECOND if i % 2 == 0 else FIRST)
        modules.append(weakref.ref(sys.modules["part_a"]))
        pool.reload("scaler")
        with pool.borrow("scaler", timeout=60) as scaler:
            assert scaler.value() == 2 - i % 2
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert seen <= {1, 2}
    assert pool.loans("scaler") == []
    gc.collect()
    assert not any(module() for module in modules)  # old code goes with its last object
