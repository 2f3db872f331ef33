"""Exia carries an algorithm through its life: built, run, kept, packaged, shipped, loaded again.

    Pool        named components, built in the order of their needs, lent, taken back, swapped;
                components and kits list what installed distributions offer
    Attribute   with `operation`: what can be set and done with a component
    Dag         graphs of what comes before what: order, levels, cycles, parallel runs;
                TopologicalSorter is graphlib's class
    Library     trained models: versions, metrics, aliases, rollback, search
    keys        whose signatures count; new_key, trust_key, revoke_key
    Package     a workspace packed into one verified file; new_workspace, add_component, pack,
                sign
    Registry    packages here and elsewhere: push, pull, install; then load("package:entry")

Every failure is an ExiaError, and also the builtin exception that fits it (LookupError, ValueError,
TimeoutError ...).  Only an argument of the wrong type is a plain TypeError, and what your own code
raises, such as a component's factory, comes back as it is.  Handles are context managers, may be
used by several threads, are not copied, and what was read from one stays valid after it is closed.
What the library has to tell, such as a retry or a dropped lease, goes to the logger `exia`, and
nowhere unless you ask for it.
"""

from exia._cache import cache
from exia._keys import keys, new_key, revoke_key, trust_key
from exia._lease import Lease
from exia._load import load
from exia._model import Model, open_model
from exia._modules import components, kits
from exia._native import ffi as _ffi
from exia._native import lib as _lib
from exia._part import Part
from exia._receive import receive
from exia._rows import Rows
from exia._run import Report
from exia.component import Attribute, operation
from exia.dag import Dag
from exia.errors import (
    CallbackError,
    CancelledError,
    ClosedError,
    ConflictError,
    CorruptError,
    CycleError,
    DeniedError,
    EnvironmentWarning,
    ExiaError,
    ExistsError,
    InvalidError,
    NoSpaceError,
    NotFoundError,
    OutOfMemoryError,
    StorageError,
    TimeoutError,
    UnavailableError,
    UnsupportedError,
    UntrustedError,
    VersionError,
)
from exia.library import Library
from exia.package import Package, add_component, new_workspace, pack, sign
from exia.pool import Pool
from exia.registry import Registry, Transfer
from exia.sorter import TopologicalSorter

__version__: str = _ffi.string(_lib.exia_version()).decode()

__all__ = [
    "Attribute",
    "CallbackError",
    "CancelledError",
    "ClosedError",
    "ConflictError",
    "CorruptError",
    "CycleError",
    "Dag",
    "DeniedError",
    "EnvironmentWarning",
    "ExiaError",
    "ExistsError",
    "InvalidError",
    "Lease",
    "Library",
    "Model",
    "NoSpaceError",
    "NotFoundError",
    "OutOfMemoryError",
    "Package",
    "Part",
    "Pool",
    "Registry",
    "Report",
    "Rows",
    "StorageError",
    "TimeoutError",
    "TopologicalSorter",
    "Transfer",
    "UnavailableError",
    "UnsupportedError",
    "UntrustedError",
    "VersionError",
    "add_component",
    "cache",
    "components",
    "keys",
    "kits",
    "load",
    "new_key",
    "new_workspace",
    "open_model",
    "operation",
    "pack",
    "receive",
    "revoke_key",
    "sign",
    "trust_key",
]
