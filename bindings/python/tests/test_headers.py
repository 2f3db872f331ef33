"""The header of a safetensors file: what the quick reader answers is what JSON says, or nothing."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import exia
from exia import _tensors
from exia._numbers import tensors as quick

W = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def tight(header: Any) -> bytes:
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()


def by_json(text: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the slow reader makes of it; None: it refuses."""
    with monkeypatch.context() as patch:
        patch.setattr(_tensors, "plain_tensors", lambda *_: None)
        try:
            return _tensors._read(text, size)
        except (ValueError, TypeError, AttributeError, KeyError):
            return None


@pytest.mark.parametrize(
    "entry",
    [
        W | {"data_offsets": [0, 400]},
        W | {"data_offsets": [-4, 0]},
        W | {"data_offsets": [4, 0]},
        W | {"data_offsets": [0]},
        W | {"data_offsets": [0, 4, 4]},
        W | {"data_offsets": [0.0, 4.0]},
        W | {"data_offsets": [0, 10**30]},
        W | {"shape": [-1]},
        W | {"shape": [True]},
        W | {"shape": [[1]]},
        W | {"shape": "1"},
        W | {"shape": [2]},
        W | {"shape": [2**40, 2**40]},
        W | {"more": 1},
        {"dtype": "F32", "shape": [1]},
        7,
    ],
)
def test_a_tensor_that_cannot_be_is_corrupt_however_the_header_is_written(entry: Any) -> None:
    for header in (tight({"w": entry}), json.dumps({"w": entry}, indent=1).encode()):
        data = memoryview(len(header).to_bytes(8, "little") + header + bytes(4))
        with pytest.raises(exia.CorruptError):
            _tensors.Tensors(data, _tensors.parse(data)[1])["w"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"}",
        b'{"w"',
        b'{"w":',
        b'{"__metadata__":',
        b'{"__metadata__":{"a":"\\',
        b'{"__metadata__":{"a":{}}}',
        b'{"__metadata__":{}"w":' + tight(W) + b"}",
        tight({"w": W})[:-1],
        tight({"w": W}) + b"}",
        tight({"w": W}) + b"\n",
        tight({"w": W}).replace(b"[1]", b"[01]"),
        tight({"w": W}).replace(b"[1]", b"[1,]"),
        tight({"w": W}).replace(b"[1]", b"[,1]"),
        tight({"w": W}).replace(b"[1]", b"[1234567890123456789]"),
        tight({"w": W}).replace(b"[1]", b"[" + b"1," * 70 + b"1]"),
        tight({"w": W}).replace(b'"w"', b'"\\u0077"'),
        tight({"w": W}).replace(b'"w"', b'"w\n"'),
        tight({"w": W}).replace(b'"w"', b'"\xff"'),
        tight({"w": W}).replace(b'"F32"', b'"\xff"'),
        tight({"w": W, "__metadata__": {"a": "b"}}),
        tight({"w": W | {"dtype": ["F32"]}}),
    ],
)
def test_what_is_not_plain_is_left_to_json(text: bytes) -> None:
    assert quick(text, 8 + len(text), 4) is None


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ({}, []),
        ({"__metadata__": {}}, []),
        ({"__metadata__": {"a": 'tricky "} {\\" \\'}, "w": W}, ["w"]),
        ({"b": W, "": W, "größe": W, "\U0001f600": W, "nul\u007f": W}, None),
        ({"scalar": W | {"shape": []}, "none": W | {"shape": [0], "data_offsets": [0, 0]}}, None),
        ({"__pad.0": W, "w": W, "__pad.1": W}, ["w"]),
        ({"__pickle__": W, "__buffer.0": W, "__padding": W}, None),
        ({"w": W | {"dtype": "F7", "shape": [1] * 64}}, None),
    ],
)
@pytest.mark.parametrize("spaces", [0, 7])
def test_what_is_plain_is_read_as_json_says(
    header: Any, names: list[str] | None, spaces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tight(header) + b" " * spaces
    found = quick(text, 8 + len(text), 4)
    assert found is not None
    read = json.loads(found[0]), found[1]
    assert read == by_json(text, 4, monkeypatch)
    assert list(read[1]) == (list(header) if names is None else names)
    assert _tensors._read(text, 4) == read


def test_a_name_that_comes_twice_is_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    text = tight({"w": W, "v": W, "u": W}).replace(b'"u"', b'"w"').replace(b"[1]", b"[1,1]", 1)
    found = quick(text, 8 + len(text), 4)
    assert found is not None
    assert ({}, found[1]) == by_json(text, 4, monkeypatch)
    assert list(found[1]) == ["w", "v"]


def test_a_header_altered_anywhere_is_read_as_json_says_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = random.Random(7)
    start = tight({"__metadata__": {"a": "b", "c": "{}"}, "w": W, "v": W | {"shape": [1, 1]}})
    letters = b'"\\{}[]:,0123456789 aF_\n\x00\xff'
    read = 0
    for _ in range(20_000):
        text = bytearray(start)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(text))
            text[at : at + dice.randint(0, 2)] = dice.choices(letters, k=dice.randint(0, 2))
        found = quick(bytes(text), 8 + len(text), 4)
        if found is None:
            continue
        try:
            metadata = json.loads(found[0])
        except ValueError:
            continue  # refused, as what it stands in would be
        read += 1
        assert by_json(bytes(text), 4, monkeypatch) == (metadata, found[1]), bytes(text)
    assert read > 500
