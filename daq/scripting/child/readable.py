"""Which attributes scripts may read, by exact type.

Lists of what is forbidden have always missed something (an array's `dump`, an exception's `obj`, a
frame of a generator), so this is a list of what is allowed.
"""

from __future__ import annotations

import collections
import datetime as dt
import functools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from RestrictedPython.transformer import INSPECT_ATTRIBUTES

from daq.core import Quantity
from daq.scripting.child.devices import DeviceParameter
from daq.scripting.child.runs import Run

__all__ = ["BAGS", "EXCEPTION", "OF_INSTANCES", "OF_TYPES"]

BAGS: list[type[dict[str, Any]]] = []
"""Kinds of dict whose keys can also be read as attributes: what fits and solvers give."""
EXCEPTION = frozenset(
    {"add_note", "advice", "args", "errno", "kind", "message", "strerror", "value"}
)
_GENERATOR = type(_ for _ in ())
_ARRAY = frozenset(
    """T all any argmax argmin argpartition argsort astype clip compress conj conjugate copy cumprod
    cumsum diagonal dot dtype fill flatten imag item itemsize max mean min nbytes ndim nonzero
    prod ptp ravel real repeat reshape round searchsorted shape size sort squeeze std
    sum swapaxes take tobytes tolist trace transpose var is_integer as_integer_ratio""".split()  # noqa: SIM905
)
_RANDOM = frozenset(
    """beta binomial choice exponential gamma geometric integers laplace lognormal
    normal permutation permuted poisson random rayleigh shuffle standard_normal
    triangular uniform weibull""".split()  # noqa: SIM905
)
_SERIES = frozenset(
    "coef convert cutdeg degree deriv domain integ linspace roots trim truncate window".split()  # noqa: SIM905
)


def _public(kind: type, *without: str) -> frozenset[str]:
    names = (name for name in dir(kind) if not name.startswith("_"))
    return frozenset(names) - frozenset(without) - INSPECT_ATTRIBUTES


def _plain() -> dict[type, frozenset[str]]:
    kinds: tuple[type, ...] = (
        *(list, dict, set, frozenset, tuple, bytes, bytearray),
        *(int, float, Quantity, complex, range),
        *(collections.Counter, collections.OrderedDict, collections.defaultdict),
        *(collections.deque, dt.date, dt.datetime, dt.time),
        *(dt.timedelta, dt.timezone),
    )
    return {kind: _public(kind) for kind in kinds} | {
        str: _public(str, "format", "format_map"),
        bool: _public(int),
        slice: frozenset({"start", "stop", "step"}),
        property: frozenset({"getter", "setter", "deleter"}),
        _GENERATOR: frozenset({"send", "close"}),
        type({}.keys()): frozenset({"isdisjoint"}),
        type({}.items()): frozenset({"isdisjoint"}),
        type(functools.lru_cache(max)): frozenset({"cache_clear", "cache_info"}),
        time.struct_time: frozenset(n for n in dir(time.struct_time) if n.startswith("tm_")),
        Run: frozenset({"id", "name"}),
        DeviceParameter: frozenset({"choices", "id", "limits", "units"}),
    }


def _numeric() -> dict[type, frozenset[str]]:
    scalars: set[type] = {np.dtype(code).type for code in "?bhilqBHILQefdFDMm"} | {
        np.str_,
        np.bytes_,
    }
    dtypes: set[type] = {type(np.dtype(code)) for code in "?bhilqBHILQefdFDUSMm"}
    poly = np.polynomial
    series = (poly.Chebyshev, poly.Hermite, poly.Laguerre, poly.Legendre, poly.Polynomial)
    return {
        np.ndarray: _ARRAY,
        np.ufunc: frozenset({"reduce", "accumulate", "outer"}),
        np.random.Generator: _RANDOM,
        np.poly1d: frozenset({"c", "coef", "coeffs", "deriv", "integ", "o", "order", "r", "roots"}),
        np.finfo: frozenset(
            {"bits", "dtype", "eps", "max", "min", "precision", "resolution", "tiny"}
        ),
        np.iinfo: frozenset({"bits", "dtype", "max", "min"}),
        **dict.fromkeys(scalars, _ARRAY),
        **dict.fromkeys(dtypes, frozenset({"name", "kind", "itemsize", "char"})),
        **dict.fromkeys(series, _SERIES),
    }


def _results() -> dict[type, frozenset[str]]:
    """What functions answer with: types that often have no public name, so they are asked."""
    eye, line = np.eye(1), [0.0, 1.0]
    fields: tuple[Callable[[], Any], ...] = (
        lambda: np.linalg.eig(eye),
        lambda: np.linalg.eigh(eye),
        lambda: np.linalg.qr(eye),
        lambda: np.linalg.slogdet(eye),
        lambda: np.linalg.svd(eye),
        lambda: functools.lru_cache(max).cache_info(),
        lambda: statistics.linear_regression(line, line),
    )
    return {kind: frozenset(kind._fields) for kind in (type(make()) for make in fields)}


OF_INSTANCES: dict[type, frozenset[str]] = _results() | _numeric() | _plain()
"""Scipy's are added when it is loaded."""
_SERIES_MAKERS = frozenset({"basis", "fit", "fromroots", "identity"})
OF_TYPES: Mapping[type, frozenset[str]] = {
    dict: frozenset({"fromkeys"}),
    bytes: frozenset({"fromhex"}),
    bytearray: frozenset({"fromhex"}),
    float: frozenset({"fromhex"}),
    int: frozenset({"from_bytes"}),
    str: frozenset({"maketrans", "upper", "lower", "strip", "title"}),
    dt.date: frozenset({"fromisoformat", "fromordinal", "fromtimestamp", "today"}),
    dt.datetime: frozenset(
        "combine fromisoformat fromtimestamp now strptime today utcfromtimestamp".split()  # noqa: SIM905
    ),
    dt.time: frozenset({"fromisoformat"}),
    dt.timezone: frozenset({"utc"}),
    np.polynomial.Chebyshev: _SERIES_MAKERS,
    np.polynomial.Hermite: _SERIES_MAKERS,
    np.polynomial.Laguerre: _SERIES_MAKERS,
    np.polynomial.Legendre: _SERIES_MAKERS,
    np.polynomial.Polynomial: _SERIES_MAKERS,
}
"""What may be read of a type itself."""
