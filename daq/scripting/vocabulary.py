"""The names that a script finds without importing anything."""

from __future__ import annotations

from collections.abc import Iterable

from daq import core
from daq.core import did_you_mean

__all__ = [
    "BUILTINS",
    "ERRORS",
    "FUNCTIONS",
    "HINTS",
    "NAMES",
    "PLANS",
    "no_such_module",
    "no_such_name",
]

BUILTINS = frozenset(
    """abs all any bool bytearray bytes callable chr complex dict divmod enumerate filter float
    format frozenset hash hex int isinstance issubclass iter len list map max min next object oct
    ord pow property range repr reversed round set slice sorted str sum super tuple zip
    ArithmeticError AssertionError AttributeError ConnectionError EOFError Exception
    FloatingPointError IndexError KeyError LookupError MemoryError NameError NotImplemented
    NotImplementedError OSError OverflowError RecursionError RuntimeError StopIteration TimeoutError
    TypeError UnicodeError ValueError ZeroDivisionError Ellipsis""".split()  # noqa: SIM905
)
"""Taken from Python as they are: the process is disposable, so none needs a bound of its own."""

ERRORS = frozenset(
    """AmbiguousError BusyError CapabilityError DaqError DeviceError InterlockError LimitError
    NotFoundError OfflineError OverloadError ParameterError StateError StorageError
    UnknownDeviceError UnreferencedError""".split()  # noqa: SIM905
)
"""What a request can raise, by the names of `daq.core`."""

FUNCTIONS = frozenset(
    """arange checkpoint device devices getattr hasattr linspace log now open_run print progress
    record sleep stop_requested""".split()  # noqa: SIM905
)


PLANS = frozenset(core.PLANS)

NAMES = BUILTINS | ERRORS | FUNCTIONS | PLANS | {"__name__"}

HINTS = {
    "BaseException": "catch 'Exception'; a stop request must not be swallowed",
    "KeyboardInterrupt": "a stop request arrives by itself; clean up in 'finally'",
    "SystemExit": "use 'return', or raise an exception",
    "__import__": "use an 'import' statement",
    "breakpoint": "scripts run without a terminal; use print()",
    "classmethod": "use a plain function",
    "compile": "code cannot be made at run time",
    "dataclass": "'from dataclasses import dataclass'",
    "delattr": "use 'del object.name'",
    "dir": "introspection is not available",
    "eval": "code cannot be made at run time",
    "exec": "code cannot be made at run time",
    "exit": "use 'return', or raise an exception",
    "globals": "use a variable or a dict",
    "help": "see the description of the script language",
    "id": "introspection is not available",
    "input": "scripts run without a terminal; declare a parameter of main()",
    "locals": "use a variable or a dict",
    "memoryview": "use a list or a numpy array",
    "open": "scripts have no files; record() stores data, print() and log() keep text",
    "quit": "use 'return', or raise an exception",
    "setattr": "use 'object.name = value'",
    "staticmethod": "use a plain function",
    "type": "use isinstance()",
    "vars": "use a variable or a dict",
}
"""What to do instead, for names that Python has and scripts have not."""

_NO_FILES = "scripts have no files: record(...) stores data, parameters of main() bring it in"
_MISSING = {
    **dict.fromkeys(
        ("fromfile", "genfromtxt", "load", "loadtxt", "memmap", "save", "savetxt", "savez"),
        _NO_FILES,
    ),
    "dump": "use dumps(...)",
    "RandomState": "use default_rng(seed)",
    "Random": "use random.seed(...)",
    "matrix": "use arrays and '@'",
    "strptime": "datetime.datetime.strptime(...) reads times",
    "trapz": "use trapezoid(...)",
}
"""What people look for in a module and do not find, and what they do instead."""

_NO_NETWORK = "scripts have no network; what comes from elsewhere is a parameter of main()"
_ONE_AT_A_TIME = "a script does one thing after the other; fly_scan moves and reads at once"
_MODULE_HINTS = {
    "asyncio": _ONE_AT_A_TIME,
    "contextlib": "use try/finally",
    "copy": "list(x), dict(x) and array.copy() copy",
    "csv": "record(...) stores data, 'client runs export --format csv' writes it",
    "daq": "the script language's names are there without an import",
    "decimal": "use floats, or integers of the smallest unit",
    "glob": "scripts have no files",
    "h5py": "record(...) stores data, the daemon writes HDF5",
    "io": "scripts have no files",
    "lmfit": "scipy.optimize.curve_fit fits",
    "logging": "use log(message, level) or print()",
    "matplotlib": "record(...) stores data, 'client runs plot' draws it",
    "multiprocessing": _ONE_AT_A_TIME,
    "os": "scripts have no files and no processes",
    "pandas": "record(...) stores data, the client's runs[-1].to_pandas() gives a DataFrame",
    "pathlib": "scripts have no files",
    "pickle": "json.dumps(...) makes text of plain values",
    "pyvisa": "instruments are devices of the daemon: device('name')",
    "requests": _NO_NETWORK,
    "serial": "instruments are devices of the daemon: device('name')",
    "socket": _NO_NETWORK,
    "subprocess": "scripts have no processes",
    "sys": "scripts have no access to the interpreter",
    "threading": _ONE_AT_A_TIME,
    "tqdm": "the outermost loop is the progress bar",
    "typing": "annotations need no import, they are not evaluated",
    "urllib": _NO_NETWORK,
}


def no_such_module(module: str, offered: Iterable[str]) -> str:
    """Why a script cannot import a module, and what to do instead."""
    roots = sorted({title.split(".")[0] for title in offered})
    hint = _MODULE_HINTS.get(module.split(".")[0], "")
    hint = hint or did_you_mean(module, offered)
    return f"module '{module}' is not available; scripts may import {', '.join(roots)}" + (
        f"; {hint}" if hint else ""
    )


def no_such_name(module: str, name: str, offered: Iterable[str]) -> str:
    """Why a module has no such name for scripts, and what to do instead."""
    hint = _MISSING.get(name, "") or did_you_mean(name, offered)
    return f"'{module}' offers no '{name}' to scripts" + (f"; {hint}" if hint else "")
