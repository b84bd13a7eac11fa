"""Which attributes scripts may read of what scipy gives; importing this imports scipy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import interpolate, optimize, stats

from daq.scripting.child.readable import BAGS, OF_INSTANCES

_SPLINE = frozenset(
    """antiderivative c derivative derivatives extrapolate get_coeffs get_knots get_residual
    integral integrate k roots solve t x""".split()  # noqa: SIM905
)
_DISTRIBUTION = frozenset(
    """cdf expect fit interval isf logcdf logpdf logpmf logsf mean median moment pdf pmf ppf rvs sf
    stats std var""".split()  # noqa: SIM905
)
_STATISTIC = frozenset(
    """bin_edges binnumber confidence_interval correlation count df high intercept
    intercept_stderr kurtosis low mean minmax mode nobs pvalue rvalue skewness slope
    standard_error statistic stderr variance""".split()  # noqa: SIM905
)


def _types() -> dict[type, frozenset[str]]:
    splines = (
        *(interpolate.Akima1DInterpolator, interpolate.BSpline, interpolate.CubicSpline),
        *(interpolate.InterpolatedUnivariateSpline, interpolate.PPoly),
        *(interpolate.PchipInterpolator, interpolate.UnivariateSpline),
    )
    distributions = (
        *(stats.chi2, stats.expon, stats.f, stats.lognorm, stats.norm, stats.poisson, stats.t),
        *(stats.uniform, stats.norm(), stats.poisson(1)),
    )
    return {
        stats.gaussian_kde: frozenset({"evaluate", "factor", "integrate_box_1d", "logpdf", "pdf"}),
        **dict.fromkeys(splines, _SPLINE),
        **dict.fromkeys(map(type, distributions), _DISTRIBUTION),
    }


def _results() -> dict[type, frozenset[str]]:
    """What tests answer with: types that often have no public name, so they are asked."""
    line = [0.0, 1.0, 2.0, 3.5]
    tests: tuple[Callable[[], Any], ...] = (
        lambda: stats.bootstrap((line,), np.mean, n_resamples=9, method="percentile"),
        lambda: (
            stats.bootstrap(
                (line,), np.mean, n_resamples=9, method="percentile"
            ).confidence_interval
        ),
        lambda: stats.binned_statistic(line, line),
        lambda: stats.describe(line),
        lambda: stats.kendalltau(line, line),
        lambda: stats.ks_2samp(line, line),
        lambda: stats.linregress(line, line),
        lambda: stats.mode(line),
        lambda: stats.pearsonr(line, line),
        lambda: stats.shapiro(line),
        lambda: stats.spearmanr(line, line),
        lambda: stats.theilslopes(line, line),
        lambda: stats.ttest_1samp(line, 0),
        lambda: stats.ttest_ind(line, line),
    )
    return dict.fromkeys((type(make()) for make in tests), _STATISTIC)


OF_INSTANCES |= _results() | _types()
BAGS.append(optimize.OptimizeResult)
