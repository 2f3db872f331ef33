"""The cache of remote blobs, from Python."""

from pathlib import Path

import pytest

import exia


def test_a_cache_that_is_switched_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXIA_CACHE_SIZE", "0")
    with pytest.raises(exia.UnsupportedError, match="EXIA_CACHE_SIZE"):
        exia.cache()


def test_the_cache_tells_where_it_is_and_is_cleared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EXIA_HOME", str(tmp_path))
    monkeypatch.setenv("EXIA_CACHE_SIZE", "1M")
    directory = tmp_path / "cache" / "blobs"
    empty = {"limit": 1 << 20, "bytes": 0, "blobs": 0, "freed": 0}
    assert exia.cache() == {"directory": str(directory), **empty}
    (directory / ("0" * 64)).write_bytes(b"bytes")
    assert exia.cache()["bytes"] == 5
    assert exia.cache(clear=True)["freed"] == 5
    assert not (directory / ("0" * 64)).exists()
