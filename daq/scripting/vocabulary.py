"""The names that a script finds without importing anything."""

from __future__ import annotations

from daq import core

__all__ = ["BUILTINS", "ERRORS", "FUNCTIONS", "HINTS", "NAMES", "PLANS"]

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
    UnknownDeviceError""".split()  # noqa: SIM905
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
    "dataclass": "write a class with __init__",
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
