"""The whole C API is reachable from Python, and every status is an exception."""

from __future__ import annotations

import builtins
import copy
import pickle
import re
from pathlib import Path

import pytest

import exia
from exia import errors
from exia._native import ffi, lib

SOURCES = Path(exia.__file__).parent

# What Python has no use for, and why.
UNUSED = {
    "exia_allocator_set": "Python's memory is its own",
    "exia_component_name": "the name is known where the component is",
    "exia_dag_run": "exia_dag_run_with without options is the same",
    "exia_dag_find": "nodes are found in a dict, for they may be any object",
    "exia_model_tensor": "a header is parsed once for all arrays; a call a tensor would be slow",
    "exia_model_tensors": "as exia_model_tensor",
    "exia_store_check": "of the tool: vedapkg remote check",
}


def statuses() -> dict[str, int]:
    numbers = ffi.typeof("exia_status").relements
    return {n: v for n, v in numbers.items() if v < 0 and n != "EXIA_STATUS_LAST"}


def functions() -> list[str]:
    return [n for n in dir(lib) if n.startswith("exia_") and callable(getattr(lib, n))]


def test_every_failure_has_a_class_and_no_class_is_left_over() -> None:
    assert set(statuses().values()) == set(errors.BY_STATUS)


@pytest.mark.parametrize("status", sorted(errors.BY_STATUS))
def test_an_error_is_also_a_builtin_that_users_expect(status: int) -> None:
    error = errors.error_from(status, 0, "the text")
    assert isinstance(error, exia.ExiaError)
    assert error.status == status
    assert str(error) == "the text"
    others = [c for c in type(error).__mro__ if c.__module__ == "builtins"]
    assert others[0] not in (Exception, BaseException)
    assert type(error).__name__ in exia.__all__


@pytest.mark.parametrize("status", sorted(errors.BY_STATUS))
def test_an_error_survives_a_pickle_on_its_way_between_processes(status: int) -> None:
    error = errors.error_from(status, 2, "the text")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert (str(twin), twin.status, twin.native) == ("the text", status, 2)


def test_an_unknown_status_is_still_an_error_with_its_number() -> None:
    error = errors.error_from(-99, 0, "of a later library")
    assert type(error) is exia.ExiaError
    assert error.status == -99


def test_errno_is_kept_in_errors_of_the_system() -> None:
    error = errors.error_from(lib.EXIA_EIO, 5, "cannot read x")
    assert isinstance(error, builtins.OSError)
    assert error.errno == 5
    assert str(error) == "cannot read x"


def test_every_function_is_used_or_listed_with_a_reason() -> None:
    text = "".join(path.read_text() for path in SOURCES.glob("*.py"))
    own = Path(__file__).parents[1] / "src" / "exia"
    hand_written = "".join(path.read_text() for path in own.glob("*.c"))
    used = set(re.findall(r"\b_?lib\.(exia_\w+)", text))
    used |= set(re.findall(r"\b(exia_\w+)\(", hand_written))
    missing = set(functions()) - used - set(UNUSED)
    assert not missing
    assert not used & set(UNUSED)
    assert set(UNUSED) <= set(functions())


def test_everything_that_is_exported_has_a_docstring() -> None:
    for name in exia.__all__:
        thing = getattr(exia, name)
        assert thing.__doc__, name
        for attribute, value in vars(thing).items() if isinstance(thing, type) else ():
            if not attribute.startswith("_") and callable(value):
                assert value.__doc__, f"{name}.{attribute}"


def test_an_import_loads_no_numpy_and_no_cloudpickle() -> None:
    import subprocess
    import sys

    code = (
        "import exia, sys; print([m for m in ('numpy', 'cloudpickle', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_that_of_the_library() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", exia.__version__)


def test_a_text_with_a_nul_or_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        exia.Pool("a\0b")
    with pytest.raises(TypeError, match="str"):
        exia.Pool(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not valid text"):
        exia.Pool("\ud800")
    with pytest.raises(ValueError, match="NUL"):
        exia.Library("/tmp/a\0b")
