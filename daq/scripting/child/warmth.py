"""What must have happened once before a process is confined: afterwards no file can be opened."""

from __future__ import annotations

import datetime as dt
import encodings.ascii  # noqa: F401
import encodings.idna  # noqa: F401
import encodings.latin_1  # noqa: F401
import hashlib  # noqa: F401 - random.seed("text")
import linecache  # noqa: F401 - warnings
import os
import time
import unicodedata  # noqa: F401 - "\N{MICRO SIGN}"
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from daq.scripting.child.library import load_scipy, module_names
from daq.scripting.policy import compile_script

__all__ = ["warm_up", "warm_up_scipy"]

_SCRIPT = "for i in range(3):\n    print([j for j in range(i)], f'{i}')\n"


def warm_up() -> None:
    """Import and use whatever loads parts of itself on first use."""
    if find_spec("_pylong"):  # Python 3.12 and later: arithmetic of very long integers
        import_module("_pylong")
    # The C library looks for the time zone's file at each call, unless TZ names it.
    os.environ.setdefault("TZ", ":/etc/localtime")
    time.tzset()
    compile_script(_SCRIPT, module_names())
    compile_script("open(1) +", module_names())
    array = np.arange(6.0).reshape(2, 3)
    square = array @ array.T
    uses: tuple[Callable[[], Any], ...] = (
        lambda: repr(array),
        lambda: f"{array[0, 0]:.2f} {array}",
        lambda: (
            array.mean(),
            array.std(),
            array.var(),
            array.sum(),
            array.any(),
            array.clip(0, 1),
        ),
        lambda: np.linalg.norm(np.linalg.inv(square + np.eye(2))),
        lambda: np.fft.fft(array),
        lambda: (np.percentile(array, 50), np.median(array), np.histogram(array), np.unique(array)),
        lambda: (np.interp(1, [0, 2], [0, 1]), np.polyfit([0, 1, 2], [0, 1, 2], 1)),
        lambda: np.random.default_rng().normal(),
        lambda: dt.datetime.strptime("1", "%d"),  # noqa: DTZ007
        lambda: array + "x",  # type: ignore[operator]
        lambda: np.zeros(3) + np.zeros(4),
        lambda: np.linalg.inv(np.zeros((2, 2))),
    )
    for use in uses:
        _try(use)


def warm_up_scipy() -> None:
    """Import scipy, and what it imports on first use."""
    load_scipy()
    import_module("multiprocessing")  # scipy.optimize.differential_evolution
    # scipy 1.18 asks once for its processors, which is forbidden later.
    import_module("scipy.fft").fft(np.arange(6.0))


def _try(use: Callable[[], Any]) -> None:
    try:
        use()
    except (TypeError, ValueError, np.linalg.LinAlgError) as error:
        str(error)
