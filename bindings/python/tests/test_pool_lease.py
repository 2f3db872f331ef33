"""Leases: what is dropped comes back and is reported; types; the end of a process."""

from __future__ import annotations

import gc
import inspect
import logging
import random
import signal
import subprocess
import sys
import threading
import tracemalloc
import warnings
import weakref
from typing import Any

import pytest

import exia


class Scaler:
    """A component."""


def lent(pool: exia.Pool, name: str = "a") -> Any:
    return pool.show(name)[0]["lent"]


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {}),
        ((), {"timeout": 1.0}),
        (("a", None, None), {}),
        (("a",), {"what": "a"}),
        (("a", 1.0), {"timeout": 1.0}),
        (("a",), {"wait": 1.0}),
        (("a",), {"timeout": "1"}),
    ],
)
def test_wrong_arguments_take_nothing(pool: exia.Pool, arguments: Any, keywords: Any) -> None:
    pool.add("a", list, max=1)
    with pytest.raises(TypeError, match=r"borrow\(\)|timeout"):
        pool.borrow(*arguments, **keywords)
    assert lent(pool) == 0


def test_arguments_may_be_named(pool: exia.Pool) -> None:
    pool.add("a", list)
    for arguments, keywords in (
        ((), {"what": "a"}),
        ((), {"timeout": 1, "what": "a"}),
        (("a",), {"timeout": None}),
        (("a", 0.5), {}),
    ):
        with pool.borrow(*arguments, **keywords) as made:  # type: ignore[call-overload]
            assert made == []


def test_a_key_that_cannot_be_compared_raises_its_own_exception(pool: exia.Pool) -> None:
    class Odd:
        def __hash__(self) -> int:
            raise ZeroDivisionError("no hash")

    pool.add("a", list)
    with pytest.raises(ZeroDivisionError, match="no hash"):
        pool.borrow(Odd())  # type: ignore[call-overload]


def test_a_lease_is_made_by_a_pool_only(pool: exia.Pool) -> None:
    with pytest.raises(TypeError, match="cannot create"):
        exia.Lease()
    with pytest.raises(TypeError, match="not an acceptable base"):
        type("Mine", (exia.Lease,), {})
    pool.add("a", list)
    lease = pool.borrow("a")
    with pytest.raises(AttributeError):
        lease.object = 1  # type: ignore[misc]
    lease.close()


def test_it_shows_what_it_is(pool: exia.Pool) -> None:
    pool.add("a", list)
    lease = pool.borrow("a")
    assert repr(lease) == "<exia.Lease of 'a'>"
    lease.close()
    assert repr(lease) == "<exia.Lease of 'a', given back>"
    assert lease.object is None
    assert repr(exia.Lease[int]).endswith("Lease[int]")
    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert repr(pool.borrow_async("a")) == "<exia borrow_async of 'a'>"
    assert list(inspect.signature(exia.Pool.borrow).parameters) == ["self", "what", "timeout"]


def test_a_second_callable_of_a_kind_makes_the_class_ambiguous(pool: exia.Pool) -> None:
    pool.add("one", Scaler)
    with pool.borrow(Scaler) as first:
        assert type(first) is Scaler
    pool.add("two", Scaler)
    for _ in range(2):
        with pytest.raises(exia.NotFoundError, match="one, two: say which"):
            pool.borrow(Scaler)


def test_a_callable_that_has_no_hash_is_found_by_its_name(pool: exia.Pool) -> None:
    class Maker:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> str:
            return "made"

    class Odd(Maker):
        def __hash__(self) -> int:
            raise ZeroDivisionError("no hash")

    for name, maker in (("none", Maker()), ("odd", Odd())):
        pool.add(name, maker)
        with pool.borrow(name) as made:
            assert made == "made"
        pool.replace(name, maker)


def test_what_another_thread_just_adds_is_lent_as_python_knows_it(
    pool: exia.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []
    find = exia.Pool._find

    def meanwhile(self: exia.Pool, what: Any) -> Any:
        monkeypatch.setattr(exia.Pool, "_find", find)  # C has it, Python does not find it yet
        with self.borrow(what) as made:
            found.append(made)
        return find(self, what)

    monkeypatch.setattr(exia.Pool, "_find", meanwhile)
    pool.add("a", list)
    assert found == [[]]


# ---- returns ------------------------------------------------------------------------------------


def test_of_two_returns_at_once_one_counts(pool: exia.Pool) -> None:
    pool.add("a", list, max=2)
    barrier = threading.Barrier(2)
    leases: list[exia.Lease[Any]] = [pool.borrow("a")] * 300
    outcomes: list[str] = []

    def give_back() -> None:
        for i in range(len(leases)):
            barrier.wait()
            try:
                leases[i].close()
                outcomes.append("returned")
            except exia.InvalidError:
                outcomes.append("refused")
            if barrier.wait() == 0 and i + 1 < len(leases):
                leases[i + 1] = pool.borrow("a", timeout=0)

    threads = [threading.Thread(target=give_back) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("returned") == outcomes.count("refused") == 300
    assert lent(pool) == 0


def test_a_lease_in_a_cycle_comes_back_and_is_reported(pool: exia.Pool) -> None:
    class Box:
        pass

    pool.add("a", list, max=1)
    box: Any = Box()
    box.itself, box.lease = box, pool.borrow("a")
    del box
    with pytest.warns(ResourceWarning, match="a lease of 'a' was dropped"):
        gc.collect()
    assert lent(pool) == 0


def test_a_lease_that_is_kept_by_its_own_object_is_a_loan_that_is_out() -> None:
    pool = exia.Pool("self")
    pool.add("a", Scaler, max=1)
    lease = pool.borrow("a")
    lease.object.mine = lease  # type: ignore[attr-defined]
    scaler = lease.object
    del lease
    gc.collect()
    with pytest.raises(exia.TimeoutError, match=r"taken at .*test_pool_lease"):
        pool.close(0)
    scaler.mine.close()  # type: ignore[attr-defined]
    pool.close(0)


def test_every_dropped_lease_is_reported_at_its_line_however_many_there_are(
    pool: exia.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.add("a", list, max=1)
    lines = 1000  # more than there is room for
    code = compile("\n".join(["pool.borrow('a')"] * lines), "many.py", "exec")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "exia"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            exec(code, {"pool": pool})
        seen = [record.getMessage().split(":")[1] for record in caplog.records]
        assert seen == [str(i + 1) for i in range(lines)]
    assert lent(pool) == 0


def test_a_lease_knows_its_line_even_if_code_that_ends_meanwhile_borrows(pool: exia.Pool) -> None:
    pool.add("a", list)
    kept: list[Any] = []

    def borrow(name: str) -> Any:
        space: dict[str, Any] = {"pool": pool}
        exec(compile("lease = pool.borrow('a')", name, "exec"), space)
        space["lease"].close()
        return space["lease"]._site.code

    def at_its_end(gone: Any) -> None:
        kept.extend(borrow("others") for _ in range(100))

    for i in range(300):  # more lines than are remembered
        code = borrow(f"line {i}")
        assert code.co_filename == f"line {i}"
        kept.append(weakref.ref(code, at_its_end))


def test_a_report_made_an_error_does_not_stop_the_one_who_drops(
    pool: exia.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: unraisable.append(what.exc_type))
    pool.add("a", list, max=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lease = pool.borrow("a")
        error = LookupError("kept")
        try:
            raise error
        except LookupError:
            del lease
            assert sys.exc_info()[1] is error
    assert unraisable == [ResourceWarning]
    assert lent(pool) == 0


class Alarm(BaseException):
    """Comes at any moment, as Ctrl-C does."""


@pytest.mark.parametrize("most", [None, 1])
def test_an_exception_at_any_moment_loses_no_loan(most: int | None) -> None:
    class Hooked:
        def activate(self) -> None:  # so that the slow way is taken
            pass

    def ring(number: int, frame: Any) -> None:
        raise Alarm

    pool = exia.Pool("alarm")
    pool.add("a", Hooked if most else Scaler, max=most)
    rng, caught = random.Random(7), 0
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            for _ in range(300):
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 3e-4))
                    for _ in range(10_000):
                        with pool.borrow("a", timeout=30):
                            pass
                except Alarm:
                    caught += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert caught > 290  # one that comes in a finaliser stays there
    gc.collect()
    assert lent(pool) == 0
    pool.close(0)


def test_loans_leave_nothing_behind(pool: exia.Pool) -> None:
    class Hooked:
        def passivate(self) -> None:
            pass

    pool.add("quick", list, max=2)
    pool.add("slow", Hooked)
    pool.add("hooked", Hooked, max=1)

    def work(count: int) -> None:
        for _ in range(count):
            with pool.borrow("quick"), pool.borrow("quick", timeout=1):
                with pool.borrow("slow"):
                    pass
                with pytest.raises(exia.TimeoutError):
                    pool.borrow("quick", timeout=0)
            with pool.borrow("hooked"):
                pass

    work(100)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work(2000)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000  # ten bytes a loan would be more
    assert sys.getrefcount(exia.Lease) < 200


# ---- interpreters -------------------------------------------------------------------------------


def test_a_subinterpreter_is_refused_with_a_clear_word() -> None:
    new = sys.version_info >= (3, 13)
    interpreters = pytest.importorskip("_interpreters" if new else "_xxsubinterpreters")
    code = """if True:
        import sys
        sys.path[:] = {path!r}
        try:
            import exia._loans
        except ImportError as error:
            assert "subinterpreters" in str(error), error
        else:
            raise AssertionError("it was imported")
    """
    interpreter = interpreters.create(*["legacy"] * new)
    try:
        failed = interpreters.run_string(interpreter, code.format(path=sys.path))
        assert not failed  # before 3.13 it is raised
    finally:
        interpreters.destroy(interpreter)


WAITS = """
import exia, exia._waiting, sys, threading
exia._waiting.PATIENCE = 0.2
pool = exia.Pool("p")
pool.add("a", list, max=1)
lease = pool.borrow("a")
def wait():
    try:
        pool.borrow("a")
    except exia.ClosedError as error:
        print(error, flush=True)
threads = [threading.Thread(target=wait, daemon={daemon}) for _ in range(3)]
for thread in threads:
    thread.start()
while pool.show("a")[0]["waiting"] < 3:
    pass
"""


def test_the_end_does_not_wait_for_daemons_that_wait() -> None:
    done = run(WAITS.format(daemon=True))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_end_does_not_wait_for_threads_that_only_wait_for_one_another() -> None:
    done = run(WAITS.format(daemon=False))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("all threads that are left wait") == 3


def test_threads_may_work_on_when_the_main_thread_has_ended() -> None:
    code = """if True:
        import exia, threading, time
        pool = exia.Pool("p")
        pool.add("a", list, max=1)
        def work(i):
            threading.main_thread().join()
            with pool.borrow("a") as made:
                time.sleep(0.15)  # longer than one slice of a wait
                made.append(i)
                print(len(made), flush=True)
        for i in range(3):
            threading.Thread(target=work, args=(i,)).start()
    """
    done = run(code)
    assert (done.returncode, done.stdout.split()) == (0, ["1", "2", "3"])


def test_a_lease_that_is_out_at_the_end_is_no_trouble() -> None:
    code = """if True:
        import exia
        class A:
            def passivate(self): pass
        pool = exia.Pool("p")
        pool.add("a", A, max=1)
        pool.add("b", list)
        class Keeps:
            pass
        keeps = Keeps(); keeps.keeps = keeps; keeps.lease = pool.borrow("a")
        lease = pool.borrow("b")
    """
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- types --------------------------------------------------------------------------------------

TYPED = """
import exia

class Scaler:
    pass

def made() -> int:
    return 1

def use(pool: exia.Pool) -> None:
    reveal_type(pool.borrow(Scaler))
    with pool.borrow(Scaler) as scaler:
        reveal_type(scaler)
    reveal_type(pool.borrow(made).object)
    reveal_type(pool.borrow("scaler", timeout=1.0))
    with pool as same:
        reveal_type(same)

async def use_async(pool: exia.Pool) -> None:
    async with pool.borrow_async(Scaler, timeout=1) as scaler:
        reveal_type(scaler)
    reveal_type(await pool.borrow_async(Scaler))
    reveal_type(await pool.borrow_async("scaler"))
"""


def test_a_type_checker_knows_what_is_lent(mypy: Any) -> None:
    revealed, errors = mypy(TYPED)
    assert not errors
    assert revealed == [
        "exia._loans.Lease[typed.Scaler]",
        "typed.Scaler",
        "builtins.int",
        "exia._loans.Lease[Any]",
        "exia.pool.Pool",
        "typed.Scaler",
        "exia._loans.Lease[typed.Scaler]",
        "exia._loans.Lease[Any]",
    ]
