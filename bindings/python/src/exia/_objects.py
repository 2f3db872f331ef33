"""Python objects as one safetensors file, and back without a copy.

A numpy array, or a dict of arrays, becomes plain tensors that any reader of the format finds by
name ("tensors/1").  Any other object becomes a pickle, protocol 5: the stream is the tensor
`__pickle__`, and each buffer of 4 KiB or more, such as an array's data, is a tensor `__buffer.N`
("object/1").  Functions and classes that no other process can import (of `__main__`, of a notebook,
lambdas) are stored by value, with their source text beside them.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import json
import mmap
import pickle
import sys
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from exia._tensors import LARGE, Tensors, arrays_layout, collector_paused, dtype_name, layout, parse
from exia._torch import reduce_tensor
from exia._trust import PolicyUnpickler
from exia.errors import CorruptError, VersionError


class Encoded(NamedTuple):
    """What is written for one part: a file's path, or its bytes in pieces."""

    format: str
    path: Path | None = None
    pieces: list[memoryview] = []  # noqa: RUF012
    imports: frozenset[str] = frozenset()


# ---- writing ------------------------------------------------------------------------------------


@collector_paused()
def encode(obj: Any) -> Encoded:
    """Turn an object into a part."""
    if isinstance(obj, Path):
        return Encoded("safetensors" if obj.suffix == ".safetensors" else "file", path=obj)
    if type(obj) is bytes:
        return Encoded("bytes", pieces=[memoryview(obj)])
    if _is_plain(obj):
        pieces = arrays_layout({"array": obj}, {"exia": "tensors/1", "python": "array"})
        return Encoded("safetensors", pieces=pieces)
    if type(obj) is dict and obj and all(_is_name(k) and _is_plain(v) for k, v in obj.items()):
        pieces = arrays_layout(obj, {"exia": "tensors/1", "python": "dict"})
        return Encoded("safetensors", pieces=pieces)
    return _encode_object(obj)


def _is_plain(obj: Any) -> bool:
    """Whether it is an array that the format can hold."""
    numpy = sys.modules.get("numpy")  # whoever has an array has imported it
    if numpy is None or type(obj) not in (numpy.ndarray, numpy.memmap):
        return False
    return dtype_name(obj.dtype) is not None


def _is_name(key: Any) -> bool:
    """Whether a key may be the name of a tensor."""
    if type(key) is not str or not key or key.startswith("__") or "\0" in key:
        return False
    return key.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in key)


def _encode_object(obj: Any) -> Encoded:
    stream = _Stream()
    pickler = _pickler_class()(stream)
    pickler.dump(obj)
    digest = hashlib.sha256()
    for piece in stream.pieces:
        digest.update(piece)
    metadata = {"exia": "object/1", "sha256": digest.hexdigest()}
    if pickler.by_value:
        metadata["code"] = _code_tag()
        metadata["source"] = json.dumps(pickler.by_value)
    size = sum(piece.nbytes for piece in stream.pieces)
    buffers = (
        (f"__buffer.{i}", "U8", (buffer.nbytes,), [buffer])
        for i, buffer in enumerate(pickler.buffers)
    )
    pieces = layout([("__pickle__", "U8", (size,), stream.pieces), *buffers], metadata)
    return Encoded("safetensors", pieces=pieces, imports=frozenset(pickler.imports))


class _Stream:
    """Collects what the pickler writes; large bytes come as they are, without a copy."""

    def __init__(self) -> None:
        self.pieces: list[memoryview] = []

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.pieces.append(view)
        return view.nbytes


@cache
def _pickler_class() -> Any:
    """Make the pickler when the first object is written: cloudpickle takes time to import."""
    cloudpickle = importlib.import_module("cloudpickle")

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
        """Keeps large buffers apart, and notes imports and the source of what goes by value."""

        def __init__(self, stream: _Stream) -> None:
            super().__init__(stream, protocol=5, buffer_callback=self._take)
            self.buffers: list[memoryview] = []
            self.imports: set[str] = set()
            self.by_value: dict[str, str] = {}
            self.plain: set[int] = set()  # ids of types that need no further look

        def _take(self, buffer: pickle.PickleBuffer) -> bool:
            """Take a large buffer; answering true leaves it in the stream."""
            try:
                view = buffer.raw()
            except BufferError:  # in several pieces
                return True
            if view.nbytes < LARGE:
                return True
            self.buffers.append(view)
            return False

        def reducer_override(self, obj: Any) -> Any:
            if id(type(obj)) in self.plain:
                return NotImplemented
            if isinstance(obj, io.IOBase) and not isinstance(obj, io.BytesIO | io.StringIO):
                raise TypeError(
                    f"an open file cannot be kept: {obj!r:.100}; give its bytes, or a pathlib.Path"
                )
            answer = reduce_tensor(obj)
            if answer is not None:
                self.imports.add("torch.Tensor")
                return answer
            answer = super().reducer_override(obj)
            if isinstance(obj, ModuleType):
                self.imports.add(obj.__name__)
            elif isinstance(obj, type) or (callable(obj) and hasattr(obj, "__qualname__")):
                if answer is NotImplemented:
                    module = getattr(obj, "__module__", None)
                    self.imports.add(f"{module}.{obj.__qualname__}" if module else obj.__qualname__)
                elif isinstance(obj, FunctionType | type) and obj.__module__ != "builtins":
                    self.by_value[obj.__qualname__] = _source(obj)
            elif isinstance(obj, CodeType):
                name = getattr(obj, "co_qualname", obj.co_name)  # Python 3.10 has no such
                if name not in self.by_value:  # it is not that of a function above
                    self.by_value[name] = _source(obj)
            elif answer is NotImplemented and not callable(obj) and type(obj).__module__ != "torch":
                self.plain.add(id(type(obj)))
            return answer

    return Pickler


def _source(obj: Any) -> str:
    """Find the text of a function or class; "" where there is none, as in a plain interpreter."""
    try:
        return inspect.getsource(obj)
    except (OSError, TypeError):
        return ""


def _code_tag() -> str:
    """Name the form of this interpreter's code objects."""
    return str(sys.implementation.cache_tag)


# ---- reading ------------------------------------------------------------------------------------


def source(view: memoryview) -> dict[str, str]:
    """Read the source texts of what a part stores by value."""
    metadata, _ = parse(view)
    return dict(json.loads(metadata.get("source", "{}")))


@collector_paused()
def decode(view: memoryview, policy: dict[str, Any], what: str, digest: str = "") -> Any:
    """Turn a safetensors part into the object that was written.

    Parameters
    ----------
    view
        The part; arrays in the answer are views of it.
    policy
        `exia_model_policy()`, as a dict.
    what
        The model and part, for errors.
    digest
        The part's SHA-256, as it is signed where the policy says so.
    """
    metadata, tensors = parse(view)
    if metadata.get("exia") == "object/1" and "signed" in policy and not policy["trusted"]:
        view, policy = _compared(view, digest, what), {"trusted": True}
        metadata, tensors = parse(view)
    kind = metadata.get("exia", "tensors/1")
    if kind == "object/1":
        return _decode_object(view, metadata, tensors, policy, what)
    if kind != "tensors/1":
        raise VersionError(f"{what} is of the form {kind!r}, which this version does not know")
    arrays = Tensors(view, tensors)
    if metadata.get("python") == "array" and list(arrays) == ["array"]:
        return arrays["array"]
    return dict(arrays)


def _compared(view: memoryview, digest: str, what: str) -> memoryview:
    """Copy a part and compare the copy: what is mapped may change after it was looked at."""
    copy = memoryview(mmap.mmap(-1, view.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    copy[:] = view.cast("B")
    if hashlib.sha256(copy).hexdigest() != digest:
        raise CorruptError(f"{what} is not what was signed: it has another digest")
    return copy


def _decode_object(
    view: memoryview, metadata: dict[str, str], tensors: Any, policy: dict[str, Any], what: str
) -> Any:
    code = metadata.get("code", _code_tag())
    if code != _code_tag():
        raise VersionError(
            f"{what} stores functions by value, compiled by {code}; this is {_code_tag()}: read it "
            "there, or put the functions into a module (their text is in Model.source)"
        )
    try:
        *_, start, end = tensors.pop("__pickle__")
        places = [tensors[f"__buffer.{i}"] for i in range(len(tensors))]
    except KeyError as error:
        raise CorruptError(f"{what} is no object file: there is no tensor {error}") from None
    # Copied before it is looked at: what is checked is what is run.
    stream = bytes(view[start:end])
    if hashlib.sha256(stream).hexdigest() != metadata.get("sha256"):
        raise CorruptError(f"{what}: the pickle is not what was written")
    buffers = [view[start:end] for *_, start, end in places]
    if policy.get("trusted"):
        return pickle.loads(stream, buffers=buffers)
    return PolicyUnpickler(
        stream,
        buffers,
        packages=policy.get("packages", []),
        constructors=policy.get("constructors", []),
        what=what,
        why=policy.get("why", "the policy applies to it"),
    ).load()
