"""After a fork: what has a connection is closed in the child, what was mapped stays."""

from __future__ import annotations

import os
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import exia
from exia import _waiting


def in_child(work: Callable[[], None]) -> None:
    """Run in a forked child; a failure there is one here."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        child = os.fork()
    if child == 0:
        said = b"ok"
        try:
            work()
        except BaseException:
            said = traceback.format_exc().encode()
        os.write(writer, said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert said == b"ok", said.decode()


def test_a_library_is_closed_in_the_child_and_works_in_the_parent(library: exia.Library) -> None:
    library.write("m", 1)

    def child() -> None:
        with pytest.raises(exia.ClosedError):
            library.read("m")
        with pytest.raises(exia.ClosedError):
            library.write("m", 2)
        library.close()

    in_child(child)
    assert library.write("m", 2) == 2
    assert library.read("m") == 2


def test_the_child_may_open_the_library_again(library: exia.Library, tmp_path: Path) -> None:
    library.write("m", 1)

    def child() -> None:
        with exia.Library(tmp_path / "library") as again:
            assert again.write("m", 2) == 2

    in_child(child)
    assert library.read("m") == 2


def test_mapped_arrays_stay_valid_in_both(library: exia.Library) -> None:
    np = pytest.importorskip("numpy")
    library.write("m", {"w": np.arange(100_000.0)})
    model = library.open("m")
    array = model.tensors["w"]

    def child() -> None:
        assert array[-1] == 99_999
        array[:] = 0
        assert model.tensors["w"][-1] == 0
        model.close()

    in_child(child)
    assert array[-1] == 99_999


def test_a_registry_is_closed_in_the_child(tmp_path: Path) -> None:
    registry = exia.Registry(tmp_path / "home")

    def child() -> None:
        with pytest.raises(exia.ClosedError):
            registry.query()

    in_child(child)
    assert registry.query() == []


def test_what_a_finaliser_finds_in_the_child_is_only_memory(tmp_path: Path) -> None:
    library = exia.Library(tmp_path / "l")
    library.write("m", 1)
    holder = [library]
    del library

    def child() -> None:
        holder.clear()

    in_child(child)
    assert holder[0].read("m") == 1


def test_a_pool_and_a_loan_of_before_work_on_in_the_child(tmp_path: Path) -> None:
    class Hooked:
        def passivate(self) -> None:
            pass

    with exia.Pool("p") as pool:
        pool.add("quick", list, max=1)
        pool.add("hooked", Hooked, max=1)
        with pool.borrow("quick"):  # it has a home from now on
            pass
        leases = [pool.borrow("quick"), pool.borrow("hooked")]

        def child() -> None:
            with pytest.raises(exia.TimeoutError):
                pool.borrow("quick", timeout=0)
            for lease in leases:
                lease.close()
                with pytest.raises(exia.InvalidError):
                    lease.close()
            for name in ("quick", "hooked"):
                for _ in range(3):
                    with pool.borrow(name, timeout=0):
                        pass
            pool.close(0)

        in_child(child)
        assert [row["lent"] for row in pool.show()] == [1, 1]
        for lease in leases:
            lease.close()
        assert [row["lent"] for row in pool.show()] == [0, 0]


def test_threads_that_waited_are_not_looked_for_in_the_child() -> None:
    with exia.Pool("p") as pool:
        pool.add("a", list, max=1)
        with pool.borrow("a"):
            helper = threading.Thread(target=lambda: pool.borrow("a").close())
            helper.start()
            while helper.ident not in _waiting._threads:
                time.sleep(0.001)

            def child() -> None:
                assert not _waiting._threads  # their names are free for new threads

            in_child(child)
        helper.join()
