"""Modules as scripts get them: a bag of functions, never a module object.

Any module object leads to `sys` and from there to everything; a function that only computes does
not. Nothing here reads files, makes memory from addresses, or calls back by name.
"""

from __future__ import annotations

import cmath
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from daq.core import did_you_mean

__all__ = ["Facade", "module_names", "modules"]

_RANDOM = """betavariate choice choices expovariate gauss normalvariate randint random randrange
    sample seed shuffle triangular uniform"""
_STATISTICS = """correlation fmean linear_regression mean median pstdev pvariance quantiles stdev
    variance"""
_NUMPY = """bool_ complex128 float32 float64 int16 int32 int64 uint8 uint16 uint32 e inf nan newaxis
    pi arange array asarray empty eye full full_like geomspace identity linspace logspace meshgrid
    ones ones_like zeros zeros_like append array_split broadcast_to column_stack concatenate
    delete diag expand_dims flip hstack insert ravel repeat reshape roll split squeeze stack
    tile transpose tril triu vstack argmax argmin argsort argwhere clip count_nonzero extract
    flatnonzero nonzero searchsorted sort take unique where all amax amin any average bincount
    cov corrcoef cumprod cumsum digitize histogram max mean median min nanargmax nanargmin
    nanmax nanmean nanmedian nanmin nanstd nansum nanvar percentile prod ptp quantile std sum
    var abs absolute add arccos arcsin arctan arctan2 ceil cos cosh deg2rad degrees divide exp
    exp2 expm1 floor fmod hypot log log10 log1p log2 maximum minimum mod multiply power rad2deg
    radians rint round sign sin sinc sinh sqrt square subtract tan tanh trunc allclose
    array_equal isclose isfinite isin isinf isnan logical_and logical_not logical_or angle conj
    convolve correlate cross diff dot gradient imag inner interp matmul outer polyfit polyval
    real roots trace trapezoid unwrap vdot"""
_LINALG = "cond det eig eigh inv lstsq matrix_rank norm pinv qr solve svd"
_FFT = "fft fft2 fftfreq fftshift ifft ifft2 ifftshift irfft rfft rfftfreq"


class Facade:
    """An unchangeable bag of names."""

    __slots__ = ("_names", "_title")

    def __init__(self, title: str, names: Mapping[str, Any]) -> None:
        self._title = title
        self._names = dict(names)

    def get(self, name: str, default: Any) -> Any:
        """The thing of that name, or the default."""
        return self._names.get(name, default)

    def names(self) -> frozenset[str]:
        """What it holds."""
        return frozenset(self._names)

    def missing(self, name: object) -> str:
        """Why there is no such name, and which one may be meant."""
        hint = did_you_mean(name, self._names, "; ")
        return f"'{self._title}' offers no '{name}' to scripts{hint}"

    def __repr__(self) -> str:
        return f"<module '{self._title}'>"


def modules(sleep: Callable[[float], None], *, numpy: bool = True) -> dict[str, Facade]:
    """Every module that a script may import; `sleep` stands in for that of `time`."""
    clock = {
        "monotonic": time.monotonic,
        "perf_counter": time.perf_counter,
        "sleep": sleep,
        "time": time.time,
        "time_ns": time.time_ns,
    }
    found = {
        "cmath": Facade("cmath", _public(cmath)),
        "math": Facade("math", _public(math)),
        "random": _pick("random", random, _RANDOM),
        "statistics": _pick("statistics", statistics, _STATISTICS),
        "time": Facade("time", clock),
    }
    if numpy:
        found |= _numpy()
    return found


def module_names(*, numpy: bool = True) -> dict[str, frozenset[str]]:
    """Module to the names that can be imported from it."""
    return {title: facade.names() for title, facade in modules(time.sleep, numpy=numpy).items()}


def _numpy() -> dict[str, Facade]:
    inner = {
        "numpy.fft": _pick("numpy.fft", np.fft, _FFT),
        "numpy.linalg": _pick("numpy.linalg", np.linalg, _LINALG),
        "numpy.random": _pick("numpy.random", np.random, "default_rng"),
    }
    names = {name: getattr(np, name) for name in _NUMPY.split() if hasattr(np, name)}
    names |= {title.removeprefix("numpy."): facade for title, facade in inner.items()}
    return {"numpy": Facade("numpy", names), **inner}


def _pick(title: str, module: ModuleType, names: str) -> Facade:
    return Facade(title, {name: getattr(module, name) for name in names.split()})


def _public(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}
