"""Pickles from elsewhere: what an attacker tries, and what a listed model may do."""

from __future__ import annotations

import builtins
import collections
import contextlib
import json
import os
import pickle
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

import exia
from exia._trust import PolicyUnpickler


def load(stream: bytes, packages: list[str] = [], constructors: list[str] = []) -> Any:  # noqa: B006
    return PolicyUnpickler(
        stream, (), packages=packages, constructors=constructors, what="evil@1", why="why"
    ).load()


class Call:
    """Pickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def named(module: str, name: str) -> bytes:
    """A pickle that names something, dotted or not."""

    def short(text: str) -> bytes:
        return b"\x8c" + struct.pack("B", len(text)) + text.encode()

    return b"\x80\x05" + short(module) + short(name) + b"\x93."


@pytest.mark.parametrize(
    "attack",
    [
        lambda path: Call(os.system, f"touch '{path}'"),
        lambda path: Call(subprocess.Popen, ["touch", path]),
        lambda path: Call(eval, f"open({path!r}, 'w')"),
        lambda path: Call(exec, f"open({path!r}, 'w')"),
        lambda path: Call(open, path, "w"),
        lambda path: Call(__import__("functools").partial, open, path, "w"),
        lambda path: Call(map, open, [path]),
        lambda path: Call(Path.touch, Path(path)),
    ],
)
@pytest.mark.parametrize("protocol", range(6))
def test_a_call_of_anything_is_refused_and_does_not_happen(
    attack: Any, protocol: int, tmp_path: Path
) -> None:
    proof = str(tmp_path / "proof")
    stream = pickle.dumps(attack(proof), protocol)
    with pytest.raises(exia.UntrustedError, match=r"evil@1.*wants"):
        load(stream)
    assert not Path(proof).exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__",
        "builtins.open", "builtins.type", "builtins.map", "os.system",
        "posix.system", "sys.modules",
        "operator.attrgetter", "functools.partial", "functools.reduce", "importlib.import_module",
        "types.FunctionType", "types.CodeType", "codecs.decode", "_codecs.encode",
        "pickle.loads", "marshal.loads", "pkgutil.resolve_name", "ctypes.CDLL",
        "cloudpickle.loads", "cloudpickle.cloudpickle._make_function", "copyreg._reconstructor",
        "subprocess.Popen", "runpy.run_path", "inspect.getsource", "gc.get_objects",
    ],
)  # fmt: skip
def test_some_names_no_policy_can_allow(name: str) -> None:
    module, attribute = name.rsplit(".", 1)
    with pytest.raises(exia.UntrustedError, match="no policy can allow"):
        load(named(module, attribute), [module, module.split(".")[0]], [name])


def test_dotted_names_are_refused_however_they_are_split() -> None:
    for module, name in [
        ("collections", "abc.sys"),
        ("collections", "OrderedDict.__init__"),
        ("pathlib", "os.system"),
        ("collections", "OrderedDict.fromkeys"),
    ]:
        with pytest.raises(exia.UntrustedError):
            load(named(module, name), ["collections", "pathlib"], [f"{module}.{name}"])


def test_what_a_listed_package_only_imported_is_refused() -> None:
    with pytest.raises(exia.UntrustedError):
        load(named("json.decoder", "scanstring"), ["json"])  # a function
    with pytest.raises(exia.UntrustedError):
        load(named("tempfile", "_os"), ["tempfile"])  # a module
    with pytest.raises(exia.UntrustedError):
        load(named("logging", "Template"), ["logging"])  # a class of string
    assert load(named("json.decoder", "JSONDecoder"), ["json"]) is json.JSONDecoder


def test_a_package_is_listed_by_whole_names() -> None:
    with pytest.raises(exia.UntrustedError, match='"collections" to "packages"'):
        load(named("collections", "OrderedDict"), ["coll", "collections.abc"])


def test_only_what_was_handed_out_is_called() -> None:
    made = collections.Counter(a=1)
    # Counter() makes an object; calling that object in turn must not work.
    stream = (
        b"\x80\x05\x8c\x0bcollections\x8c\x07Counter\x93"  # the class
        b")R"  # an object of it
        b")R."  # called
    )
    with pytest.raises(exia.UntrustedError, match="to call"):
        load(stream, ["collections"])
    assert load(pickle.dumps(made), ["collections"]) == made


def test_a_class_is_not_changed_by_a_pickle() -> None:
    stream = (
        b"\x80\x05\x8c\x0bcollections\x8c\x07Counter\x93"
        b"N}\x8c\x06updateK\x01s\x86b."  # BUILD with slots: setattr(Counter, "update", 1)
    )
    before = collections.Counter.update
    with pytest.raises(exia.UntrustedError, match="to change"):
        load(stream, ["collections"])
    assert collections.Counter.update is before


def test_a_refusal_says_what_to_add_and_where() -> None:
    with pytest.raises(exia.UntrustedError) as caught:
        load(named("fractions", "Fraction"))
    text = str(caught.value)
    assert '"fractions.Fraction" to "constructors"' in text
    assert '"fractions" to "packages"' in text
    assert "evil@1" in text
    assert "why" in text
    assert "\n" not in text


def test_an_extension_of_copyreg_is_no_way_past_the_policy() -> None:
    import copyreg

    copyreg.add_extension("posix", "getpid", 0xF1)
    try:
        assert pickle.loads(b"\x80\x02\x82\xf1.") is os.getpid  # and now it is cached
        for opcode in (b"\x82\xf1", b"\x83\xf1\0", b"\x84\xf1\0\0\0"):
            with pytest.raises(exia.UntrustedError, match="no policy can allow"):
                load(b"\x80\x02" + opcode + b".", ["posix"], ["posix.getpid"])
    finally:
        copyreg.remove_extension("posix", "getpid", 0xF1)


def test_a_class_that_removes_a_directory_when_it_dies_is_not_listed_by_its_package() -> None:
    pytest.importorskip("numpy.lib._datasource")
    with pytest.raises(exia.UntrustedError, match=r"Repository"):
        load(named("numpy.lib._datasource", "Repository"), ["numpy"])


def test_a_module_that_is_not_listed_is_not_even_imported(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "evil_module.py").write_text("raise SystemError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(exia.UntrustedError):
        load(named("evil_module", "x"))


@pytest.mark.parametrize("protocol", range(3, 6))
def test_plain_data_needs_no_policy(protocol: int) -> None:
    data = [1, "x", b"y", (1.5, None, True), {1, 2}, frozenset([3]), 2j, {"a": [range(3)]}]
    assert load(pickle.dumps(data, protocol)) == data


def test_listed_classes_and_constructors_work() -> None:
    import datetime
    import decimal

    data = [collections.OrderedDict(a=1), datetime.date(2020, 1, 1), decimal.Decimal("1.5")]
    stream = pickle.dumps(data)
    assert load(stream, ["collections", "datetime"], ["decimal.Decimal"]) == data


def test_truncated_and_random_streams_end_in_an_error() -> None:
    stream = pickle.dumps([collections.OrderedDict(a=1)] * 3)
    for end in range(len(stream)):
        with pytest.raises(Exception):  # noqa: B017, PT011
            load(stream[:end], ["collections"])
    rng = __import__("random").Random(5)
    for _ in range(500):
        noise = b"\x80\x05" + bytes(rng.randrange(256) for _ in range(40))
        with contextlib.suppress(Exception):
            load(noise)


@pytest.mark.parametrize("protocol", range(6))
def test_a_refusal_names_all_that_is_missing_at_once(protocol: int) -> None:
    import decimal
    import fractions
    import uuid

    data = [
        fractions.Fraction(1, 2), collections.OrderedDict(a=decimal.Decimal(1)),
        uuid.UUID(int=1), fractions.Fraction(1, 3), decimal.Decimal(2),
    ]  # fmt: skip
    stream = pickle.dumps(data, protocol)
    with pytest.raises(exia.UntrustedError) as caught:
        load(stream, ["collections"])
    said = re.search(r"add (.*) to \"constructors\"", str(caught.value))
    assert said is not None
    names = re.findall(r'"([^"]*)"', said[1])
    assert [name for name in names if "copyreg" not in name] == names
    assert sorted(set(names)) == sorted(names)
    assert {"fractions.Fraction", "decimal.Decimal", "uuid.UUID"} <= set(names)
    if protocol >= 2:  # what it says is what it takes
        assert load(stream, ["collections"], names) == data


def test_a_refusal_stays_readable_whatever_the_names_are() -> None:
    with pytest.raises(exia.UntrustedError) as caught:
        load(named("evil\nmodule", "x\x1b[31m" * 20))
    assert str(caught.value).isprintable()
    many = b"".join(named(f"module_{i}", "X")[2:-1] + b"0" for i in range(1000))
    with pytest.raises(exia.UntrustedError, match="and 960 more") as caught:
        load(b"\x80\x05" + many + b"N.")
    assert len(str(caught.value)) < 5000


def test_a_class_of_a_module_that_is_never_allowed_has_no_other_way_in() -> None:
    with pytest.raises(exia.UntrustedError):  # logging imports io; reprlib, typing ... functools
        load(named("selectors", "namedtuple"), ["selectors", "collections", "functools"])
    import concurrent.futures.thread as other

    assert other.types.GenericAlias.__module__ == "types"
    with pytest.raises(exia.UntrustedError):
        load(named("typing", "GenericAlias"), ["typing", "types"])


# ---- numpy --------------------------------------------------------------------------------------


def numpy_data() -> list[Any]:
    np = pytest.importorskip("numpy")
    fields = [("a", "<f4"), ("b", "<i2", (3,)), ("c", "S5"), ("d", [("e", "u1")])]
    return [
        np.arange(5.0), np.arange(2000, dtype="i4"), np.asfortranarray(np.ones((30, 40))),
        np.arange(6)[::2], np.float64(1.5), np.array(3), np.array([], "f4"), np.bool_(True),
        np.array(["x", "yy"]), np.array([b"z"]), np.array(["2020-01-01"], "M8[D]"),
        np.array([1, "x", None], dtype=object), np.arange(3, dtype=">i8"),
        np.zeros(3, fields), np.zeros(3, np.dtype(fields, align=True)), np.dtype(fields),
        np.zeros(2, fields)[0], np.dtype("f8"), np.dtype(("<f4", (2, 3))),
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_need_only_the_package_numpy(protocol: int) -> None:
    for value in numpy_data():
        buffers: list[pickle.PickleBuffer] = []
        take = buffers.append if protocol == 5 else None
        stream = pickle.dumps(value, protocol, buffer_callback=take)
        if b"_codecs" in stream:  # how older protocols write bytes
            continue
        found = PolicyUnpickler(
            stream, [b.raw() for b in buffers], packages=["numpy"], constructors=[],
            what="x", why="",
        ).load()  # fmt: skip
        assert type(found) is type(value)
        expected = pickle.loads(stream, buffers=buffers)
        assert repr(found) == repr(expected)
        assert getattr(found, "dtype", found) == getattr(expected, "dtype", expected)


def test_an_array_gets_its_data_once() -> None:
    np = pytest.importorskip("numpy")

    class Evil:
        def __reduce__(self) -> Any:
            state = 1, (3,), np.dtype("u1"), False, b"abc"
            return np.array(0).__reduce__()[0], (np.ndarray, (3,), b"b"), state

    with pytest.raises(exia.UntrustedError, match="has its data"):
        load(pickle.dumps(Evil()), ["numpy"])


# ---- through the library ------------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A directory that others could have written into."""
    directory = tmp_path / "foreign"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def test_a_library_that_others_can_write_goes_by_policy(foreign: Path, tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    library = exia.Library(foreign / "library")
    (foreign / "library").chmod(0o777)
    proof = tmp_path / "proof"
    library.write("evil", Call(os.system, f"touch '{proof}'"))
    library.write("tensors", {"w": np.zeros(3)})
    library.write("fine", collections.OrderedDict(a=1))
    library.close()
    with exia.Library(foreign / "library") as library:
        with library.open("evil") as model:
            assert model.policy["trusted"] is False
            assert model.policy["why"]
        with pytest.raises(exia.UntrustedError, match=r"evil@1.*posix\.system"):
            library.read("evil")
        assert not proof.exists()
        assert library.read("tensors")["w"].sum() == 0
        with pytest.raises(exia.UntrustedError, match=r"collections\.OrderedDict"):
            library.read("fine")
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps({"format": 1, "packages": ["collections"], "constructors": []}))
    with exia.Library(foreign / "library", trust=trust) as library:
        assert library.read("fine") == collections.OrderedDict(a=1)
        with pytest.raises(exia.UntrustedError):
            library.read("evil")


def test_a_library_of_ones_own_is_trusted(library: exia.Library) -> None:
    library.write("m", builtins.abs)
    assert library.open("m").policy == {"trusted": True}
    assert library.read("m") is abs


def test_a_library_in_an_installed_package_goes_by_policy(tmp_path: Path, home: Path) -> None:
    proof = tmp_path / "proof"
    exia.new_workspace(tmp_path / "workspace", "evil")
    with exia.Library(tmp_path / "workspace" / "models") as library:
        library.write("evil", Call(os.system, f"touch '{proof}'"))
    with exia.Registry() as registry:
        registry.register(exia.pack(tmp_path / "workspace", tmp_path / "evil.veda"))
        installed = Path(registry.install("evil"))
    (tmp_path / "link").symlink_to(installed / "models")
    for place in (installed / "models", tmp_path / "link"):
        with exia.Library(place, read_only=True) as library:
            assert "came in a package" in library.open("evil").policy["why"]
            with pytest.raises(exia.UntrustedError, match="came in a package"):
                library.read("evil")
    assert not proof.exists()


def test_a_broken_policy_is_an_error_and_never_an_empty_one(tmp_path: Path, foreign: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text("{")
    with exia.Library(foreign / "library", trust=trust) as library:
        (foreign / "library").chmod(0o777)
        library.write("m", {"a": 1})
        with pytest.raises(exia.ExiaError, match=r"trust\.json"):
            library.read("m")


def test_the_unpickler_reads_numpy_by_listed_names() -> None:
    np = pytest.importorskip("numpy")
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps([np.arange(5.0)], 5, buffer_callback=buffers.append)
    names = ["numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer", "numpy.dtype"]
    found = PolicyUnpickler(
        stream, [b.raw() for b in buffers], packages=[], constructors=names, what="x", why=""
    ).load()
    assert np.array_equal(found[0], np.arange(5.0))


NUMPY = ["numpy.dtype", "numpy._core.multiarray.scalar", "numpy._core.numeric._frombuffer"]


def test_a_class_that_works_on_files_is_not_listed_by_its_package(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    stream = pickle.dumps(Call(np.memmap, str(victim), "u1", "r+", 0, (8,)))
    with pytest.raises(exia.UntrustedError, match=r'add "numpy\.memmap" to "constructors"'):
        load(stream, ["numpy"])
    source = type(np.lib.npyio.DataSource(str(tmp_path)))
    with pytest.raises(exia.UntrustedError, match=r'DataSource" to "constructors"'):
        load(pickle.dumps(Call(source, str(tmp_path))), ["numpy"])
    assert victim.read_bytes() == b"precious"
    with pytest.raises(exia.UntrustedError, match="to call memmap, which no policy can allow"):
        load(stream, [], ["numpy.memmap"])


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("O8", (3, "|", None, None, None, -1, -1, 0)),  # objects that are not known as such
        ("f8", (3, "<", None, None, None, 80, 8, 0)),
        ("S8", (3, "|", None, None, None, 1 << 40, 1, 0)),
        ("V8", (3, "|", None, ("a",), {"a": ("f8", 800)}, 8, 1, 0)),
        ("V8", (3, "|", ("f8", (1000,)), None, None, 8, 1, 0)),
        ("V8", (3, "|", None, ("a",), {"a": ("O8", 0)}, 8, 1, 0)),
        ("V8", (3, "|", None, ("a",), {"a": ("O8", 0)}, 8, 1, 63)),
        ("V8", ()),
        ("V8", None),
    ],
)
def test_a_dtype_that_numpy_would_not_write_is_refused(kind: str, state: Any) -> None:
    np = pytest.importorskip("numpy")

    class Forged:
        def __reduce__(self) -> Any:
            return np.dtype, (kind, False, True), inner(state)

    def inner(state: Any) -> Any:
        """Give the fields real dtypes, which the parameters name."""
        if not state:
            return state
        subarray = state[2] and (np.dtype(state[2][0]), state[2][1])
        fields = state[4] and {n: (np.dtype(d), at) for n, (d, at) in state[4].items()}
        return (*state[:2], subarray, state[3], fields, *state[5:])

    stream = pickle.dumps(Forged())
    if state is None:  # as None there is no BUILD
        assert load(stream, [], NUMPY) == np.dtype(kind)
        return
    with pytest.raises(exia.UntrustedError, match="a dtype that numpy would not write"):
        load(stream, [], NUMPY)


@pytest.mark.parametrize(
    "kind",
    [
        "f8", ">i4", "?", "U7", ">U3", "S5", "V3", "c16", "M8[ns]", "m8", "O",
        [], [("a", "i1"), ("b", "f8")], [("a", ">i8", (2, 3)), ("b", "U4")],
        [("a", [("b", "M8[s]"), ("c", "S2")]), ("d", "i2")],
        {"names": ["b", "a"], "formats": ["i1", "i1"], "offsets": [9, 3], "itemsize": 20},
    ],
)  # fmt: skip
def test_every_dtype_that_numpy_writes_comes_back(kind: Any) -> None:
    np = pytest.importorskip("numpy")
    for dtype in (np.dtype(kind), np.dtype(kind, align=True)):
        found = load(pickle.dumps(dtype), [], NUMPY)
        assert found == dtype
        assert found.hasobject == dtype.hasobject
        assert found.isalignedstruct == dtype.isalignedstruct


def test_the_policy_of_the_readme_loads_fitted_models() -> None:
    np = pytest.importorskip("numpy")
    ensemble = pytest.importorskip("sklearn.ensemble")
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text()
    policy = json.loads(readme.split("```json")[1].split("```")[0])
    x = np.random.default_rng(1).random((60, 4))
    model = ensemble.RandomForestClassifier(3).fit(x, x[:, 0] > 0.5)
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(model, 5, buffer_callback=buffers.append)
    found = PolicyUnpickler(
        stream,
        [b.raw() for b in buffers],
        packages=policy["packages"],
        constructors=policy["constructors"],
        what="x",
        why="",
    ).load()
    assert np.array_equal(found.predict(x), model.predict(x))
