"""Every name of every module that scripts may import does its work in a confined process."""

from __future__ import annotations

from textwrap import dedent

import pytest

from daq.core import Ending
from daq.scripting.child.library import LIBRARY, module_names
from tests.integration.scripting.test_running import run

ARGUMENTS = """
    (), (2,), (2, 3), (3, 0.5), ([1.0, 2.0, 4.0],), (L,), (L, L), (L, L, L), (L, 3), (L, 3, 2),
    (L, 5, 2), (M,), (M, M), (M, V), (M, 0), (M, 1, 0), (B,), (B, 0), (0.3, 0.5, 0.2), (0.1,
    0.2, 0.3, 0.4), (F,), (F, L), (F, 0.0, 2.0), (F, [0.5]), (N, 0.5), (I,), (I, I), (I, 2),
    ("x",), ("[1, 2]",), ({"a": 1},), (2, "x"), ([L, L],), ([M, M],), (F, M), (0.1, 0.2, 0.3,
    0.4, 0.5), (L, 5, 100.0), (5, 0.2), ("2020-01-01",), (2, L), (L, L, [0.5, 1.5]), (Z, [1,
    2]), ([1.0, 2.0], [3.0, 4.0]), ((2, 2),), (10, "hann"), ("hann", 8), ([F], 1), (2020, 1, 2),
    (F, [0, 1], [0, 1]), (0, 2), (I, M), ("%Y",), (M, (0, 1)), (3, 1, 0.2, "low"), (2, 40, 0.2)
"""
CALLS = {
    "collections.namedtuple": "collections.namedtuple('P', 'x y')(1, y=2).y",
    "dataclasses.asdict": "dataclasses.asdict(Point(1))['y']",
    "dataclasses.astuple": "dataclasses.astuple(Point(1))",
    "dataclasses.dataclass": "Point(1) == Point(1, 2)",
    "dataclasses.replace": "dataclasses.replace(Point(1), y=5).y",
    "enum.Enum": "Colour.RED.value",
    "enum.Flag": "Colour('red').name",
    "enum.IntEnum": "list(Colour)",
    "enum.IntFlag": "Colour.RED is Colour['RED']",
    "enum.auto": "enum.auto()",
    "enum.unique": "enum.unique(Colour)",
    "functools.cache": "functools.cache(F)(1)",
    "functools.lru_cache": "functools.lru_cache(maxsize=3)(F)(1)",
    "functools.reduce": "functools.reduce(lambda a, b: a + b, [1, 2])",
    "itertools.accumulate": "list(itertools.accumulate([1, 2]))",
    "numpy.ndarray": "isinstance(M, numpy.ndarray) and not isinstance(1, numpy.ndarray)",
    "scipy.optimize.curve_fit": "optimize.curve_fit(lambda x, a: a * x, X, X)[0][0]",
    "scipy.optimize.minimize": "optimize.minimize(lambda p: (p[0] - 1) ** 2, [0.0]).x[0]",
    "datetime.timezone": "datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc).isoformat()",
    "math.acos": "math.acos(0.5)",
    "math.asin": "math.asin(0.5)",
    "math.atanh": "math.atanh(0.5)",
    "numpy.dtype": "numpy.dtype('u1').itemsize",
    "numpy.finfo": "numpy.finfo(float).eps",
    "numpy.integer": "isinstance(I[0], numpy.integer)",
    "numpy.floating": "isinstance(X[0], numpy.floating)",
    "numpy.complexfloating": "isinstance(X[0], numpy.complexfloating)",
    "numpy.number": "isinstance(X[0], numpy.number)",
    "numpy.generic": "isinstance(X[0], numpy.generic)",
    "numpy.fromfunction": "numpy.fromfunction(lambda i, j: i + j, (2, 2))",
    "numpy.fromiter": "numpy.fromiter((x for x in range(3)), float)",
    "numpy.dsplit": "numpy.dsplit(numpy.zeros((2, 2, 2)), 2)",
    "numpy.select": "numpy.select([X > 1], [X], 0)",
    "numpy.take_along_axis": "numpy.take_along_axis(X, numpy.argsort(X), 0)",
    "numpy.unpackbits": "numpy.unpackbits(numpy.array([3], dtype='u1'))",
    "numpy.polyfit": "numpy.polyfit(X, X, 2)",
    "numpy.apply_along_axis": "numpy.apply_along_axis(sum, 0, M)",
    "numpy.apply_over_axes": "numpy.apply_over_axes(numpy.sum, M, [0])",
    "scipy.interpolate.InterpolatedUnivariateSpline": "SPLINE(X, X)(0.5)",
    "scipy.interpolate.UnivariateSpline": "interpolate.UnivariateSpline(X, X)(1)",
    "scipy.interpolate.make_interp_spline": "interpolate.make_interp_spline(X, X)(1.0)",
    "scipy.interpolate.splev": "interpolate.splev(1.0, interpolate.splrep(X, X))",
    "scipy.interpolate.splrep": "interpolate.splev(1.0, interpolate.splrep(X, X))",
    "scipy.optimize.differential_evolution": "EVOLVE(SQUARE, [(-1, 1)], maxiter=3).fun",
    "scipy.optimize.dual_annealing": "optimize.dual_annealing(SQUARE, [(-1, 1)], maxiter=3).fun",
    "scipy.optimize.root_scalar": "optimize.root_scalar(N, bracket=[0, 1]).root",
    "scipy.signal.filtfilt": "signal.filtfilt(*signal.butter(2, 0.2), X)",
    "scipy.signal.sosfilt": "signal.sosfilt(signal.butter(2, 0.2, output='sos'), X)",
    "scipy.signal.sosfiltfilt": "signal.sosfiltfilt(signal.butter(2, 0.2, output='sos'), X)",
    "scipy.stats.bootstrap": "stats.bootstrap((X,), lambda x, axis: x.max(axis), n_resamples=9)",
    "time.sleep": "time.sleep(0)",
}
"""What no list of arguments serves."""

PRELUDE = """
import math, random
from scipy import interpolate, optimize, signal, stats
def F(x, *rest):
    return x * x * x - 1
SPLINE, EVOLVE = interpolate.InterpolatedUnivariateSpline, optimize.differential_evolution
def SQUARE(p):
    return p[0] ** 2
def N(x):
    return x - 0.2
L = numpy.linspace(0.1, 3.0, 40)
X = L.copy()
M = numpy.array([[2.0, 1.0], [1.0, 3.0]])
V = numpy.array([1.0, 2.0])
B = numpy.array([[True, False], [True, True]])
I = numpy.array([3, 1, 2])
Z = numpy.zeros(3)

@dataclasses.dataclass
class Point:
    x: float
    y: float = 2

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

class Bits(enum.IntFlag):
    ONE = enum.auto()

def works(function):
    if not callable(function):
        return True
    for arguments in ARGUMENTS:
        try:
            function(*arguments)
            return True
        except Exception:
            pass
    return False
"""


async def test_every_name_computes_in_a_confined_process(sandbox, bench) -> None:
    titles = sorted(LIBRARY, key=lambda title: title.count("."))
    lines = ["import math, cmath, random, statistics, time, json, datetime, enum, dataclasses"]
    lines += [f"import {title}" for title in titles]
    lines += [PRELUDE.replace("ARGUMENTS", f"[{dedent(ARGUMENTS)}]"), "bad = []"]
    for title, words in LIBRARY.items():
        for name in sorted(module_names()[title] & set(words.split())):
            full = f"{title}.{name}"
            if full in CALLS:
                lines.append(f"{CALLS[full]}")
            else:
                lines.append(f"if not works({full}):\n    bad.append('{full}')")
    lines.append("def main():\n    return bad")
    async with sandbox(max_source_bytes=1 << 20) as box:
        end = await run(box, bench(), "\n".join(lines))
    assert end.ending is Ending.COMPLETED, end.traceback
    assert not end.result, " ".join(end.result)


@pytest.mark.parametrize("word", ["scipy", "ſcipy"])
async def test_scipy_is_there_for_whoever_names_it(sandbox, bench, word) -> None:
    script = f"from {word}.stats import norm\ndef main():\n    return norm(1.0, 2.0).mean()"
    async with sandbox() as box:
        assert (await run(box, bench(), "def main():\n    return 1")).result == 1
        end = await run(box, bench(), script)
    assert end.result == 1.0, end.traceback
