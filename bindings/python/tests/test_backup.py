"""Backups from Python: errors, and pickles that come from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import exia


class Own:
    """Something that is pickled."""


@pytest.mark.parametrize("name", ["backup", "backup.tar.zst"])
def test_arrays_come_back_and_what_is_new_follows(
    library: exia.Library, tmp_path: Path, name: str
) -> None:
    array = np.arange(10000.0)
    library.write("m", {"w": array}, metrics={"auc": 0.5})
    assert library.backup(tmp_path / name) == [{"name": "m", "entries": 1, "new": 1}]
    with exia.Library(tmp_path / "other") as other:
        assert other.restore(str(tmp_path / name)) == [{"name": "m", "entries": 1, "new": 1}]
        np.testing.assert_array_equal(other.read("m@best(metrics.auc)")["w"], array)
        assert other.restore(tmp_path / name)[0]["new"] == 0
        assert other.search() == library.search()


def test_a_pickle_that_was_restored_needs_the_policy(library: exia.Library, tmp_path: Path) -> None:
    library.write("m", Own())
    assert isinstance(library.read("m"), Own)
    library.backup(tmp_path / "backup")
    with exia.Library(tmp_path / "other") as other:
        other.restore(tmp_path / "backup")
        with pytest.raises(exia.UntrustedError, match="restored from a backup"):
            other.read("m")
        other.write("m", Own())
        assert isinstance(other.read("m"), Own)


def test_only_the_models_named_go(library: exia.Library, tmp_path: Path) -> None:
    library.write("a", b"1")
    library.write("b", b"2")
    assert [row["name"] for row in library.backup(tmp_path / "one", models=["b"])] == ["b"]
    with pytest.raises(exia.NotFoundError, match="nobody"):
        library.backup(tmp_path / "two", models=["nobody"])
    with pytest.raises(exia.NotFoundError, match="no model a"):
        library.restore(tmp_path / "one", models=("a",))
    assert library.backup(tmp_path / "none", models=[]) == []


def test_what_is_wrong_is_named(library: exia.Library, tmp_path: Path) -> None:
    library.write("a", b"1")
    library.backup(tmp_path / "x.tar.zst")
    with pytest.raises(exia.ExistsError, match=r"x\.tar\.zst"):
        library.backup(tmp_path / "x.tar.zst")
    with pytest.raises(exia.NotFoundError):
        library.restore(tmp_path / "nothing")
    with exia.Library(tmp_path / "other") as other:
        other.write("a", b"2")
        with pytest.raises(exia.ConflictError, match="entry 1 of the log of a"):
            other.restore(tmp_path / "x.tar.zst")
        library.backup(tmp_path / "directory")
        with pytest.raises(exia.ConflictError, match="another library"):
            other.backup(tmp_path / "directory")
    with pytest.raises(TypeError, match="models"):
        library.backup(tmp_path / "y", models="a")
    with pytest.raises(TypeError, match="path"):
        library.restore(3)  # type: ignore[arg-type]
