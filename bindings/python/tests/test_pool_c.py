"""Components in C: from a shared object, or by the address of their factory."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

import exia

PLUGIN = r"""
#include "exia/pool.h"
#include <stdlib.h>

static exia_status create(void **out, void *const *needs, void *payload, exia_error *err)
{
    static int objects[8], next;
    (void)needs, (void)err;
    objects[next] = *(int *)payload;
    *out = &objects[next++];
    return EXIA_OK;
}
static exia_status broken(void **out, void *const *needs, void *payload, exia_error *err)
{
    (void)out, (void)needs, (void)payload, (void)err;
    return EXIA_EIO;
}
static int answer = 42;
exia_factory counter = {.struct_size = sizeof counter, .create = create, .payload = &answer};

exia_status exia_plugin_entry(exia_pool *pool, const exia_plugin_core *core, exia_error *err)
{
    exia_factory bad = {.struct_size = sizeof bad, .create = broken};
    exia_status rc = core->add(pool, "from-c", &counter, NULL, err);
    return rc < 0 ? rc : core->add(pool, "broken-c", &bad, NULL, err);
}
"""


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(__file__).parents[3]
    directory = tmp_path_factory.mktemp("plugin")
    (directory / "plugin.c").write_text(PLUGIN)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-I", root / "include", "-o", "plugin.so", "plugin.c"],
        check=True, cwd=directory,
    )  # fmt: skip
    return directory / "plugin.so"


def test_components_of_a_shared_object_are_lent_as_addresses(pool: exia.Pool, plugin: Path) -> None:
    pool.load(plugin)
    pool.add("python", lambda address: ctypes.c_int.from_address(address), needs=("from-c",))
    with pool.borrow("from-c") as address:
        assert ctypes.c_int.from_address(address).value == 42
    with pool.borrow("python") as number:
        assert number.value == 42
    with pytest.raises(exia.StorageError, match="broken-c"):
        pool.borrow("broken-c")


def test_a_factory_in_c_is_added_by_its_address(pool: exia.Pool, plugin: Path) -> None:
    library = ctypes.CDLL(str(plugin))
    address = ctypes.addressof(ctypes.c_char.in_dll(library, "counter"))
    pool.add("one", address)
    with pool.borrow("one") as found:
        assert ctypes.c_int.from_address(found).value == 42
    with pytest.raises(exia.InvalidError, match="arguments"):
        pool.add("two", address, arguments={"a": 1})


def test_a_component_of_a_shared_object_is_replaced_by_one_in_c(
    pool: exia.Pool, plugin: Path
) -> None:
    pool.load(plugin)
    address = ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(str(plugin)), "counter"))
    for _ in range(2):
        with pool.borrow("from-c") as old:
            (loan,) = pool.replace("from-c", address)
            assert loan["old"]
            with pool.borrow("from-c") as new:
                assert new != old
    with pytest.raises(exia.InvalidError, match="its options stay"):
        pool.replace("from-c", address, max=2)
    with pytest.raises(exia.InvalidError, match="made by C: Python cannot replace it"):
        pool.replace("from-c", list)
    with pytest.raises(exia.InvalidError, match="no module"):
        pool.reload("from-c")


def test_a_file_that_is_no_plugin_is_refused(pool: exia.Pool, tmp_path: Path) -> None:
    (tmp_path / "not.so").write_text("no")
    for path in (tmp_path / "not.so", tmp_path / "none.so"):
        with pytest.raises(exia.ExiaError, match=path.name):
            pool.load(path)
    assert pool.show() == []
