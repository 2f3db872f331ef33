"""Names for the policy on pickles: what is data, what no policy can allow, what a package hides."""

from __future__ import annotations

# Data that pickles name; they make values of plain data and nothing else.
PLAIN = {f"builtins.{c.__name__}" for c in (bytearray, complex, frozenset, range, set, slice)}

# They call, import, compile, or reach into others; or run what they are told.
NEVER = {
    "_codecs", "_ctypes", "_functools", "_imp", "_operator", "_pickle", "_posixsubprocess", "bdb",
    "builtins", "cProfile", "cloudpickle", "code", "codecs", "codeop", "copyreg", "ctypes", "dill",
    "distutils", "doctest", "functools", "gc", "imp", "importlib", "inspect", "marshal",
    "multiprocessing", "nt", "operator", "os", "pdb", "pickle", "pip", "pkgutil", "posix",
    "profile", "pty", "runpy", "setuptools", "subprocess", "sys", "timeit", "trace", "types",
}  # fmt: skip

# Modules and classes that run, import, open, write or remove what they are told to, or take an
# address for an array, or break when called, and all that derive from them: a package's name does
# not list them.
REACHING = {
    "joblib", "numpy.DataSource", "numpy._core._internal", "numpy.core._internal",
    "numpy.ctypeslib", "numpy.distutils", "numpy.f2py", "numpy.lib._datasource",
    "numpy.lib._npyio_impl", "numpy.lib._stride_tricks_impl", "numpy.lib.npyio",
    "numpy.lib.stride_tricks", "numpy.memmap", "numpy.testing", "pandas.ExcelFile",
    "pandas.ExcelWriter", "pandas.HDFStore", "pandas._libs.index",
    "pandas._libs.tslibs.base.ABCTimestamp", "pandas._libs.tslibs.nattype._NaT",
    "pandas.core.computation", "pandas.io",
    "scipy._lib._ccallback", "scipy._lib._util.MapWrapper", "scipy.io",
    "scipy.spatial._qhull._Qhull",
    "scipy.stats._distn_infrastructure", "sklearn.datasets", "sklearn.externals",
    "sklearn.utils._testing", "sklearn.utils.parallel",
}  # fmt: skip

# By these an object says that it is an array, and where in the memory.
ARRAYS = ("__array_interface__", "__array_struct__", "__array__", "__buffer__", "__dlpack__")

# What arrays and scalars pickle into, by numpy 1 and by numpy 2: functions that make nothing else.
# They go with the package "numpy"; the states of dtypes are checked.
NUMPY = {
    "numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar",
    "numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer",
}  # fmt: skip
