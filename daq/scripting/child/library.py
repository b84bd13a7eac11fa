"""Which names of which modules scripts may use: one table; a name more is a word more.

Only what computes: nothing that reads or writes files, makes memory from addresses, compiles code,
or gives a module object. `scripts/README.md` shows the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from daq.scripting.child.facades import Facade

__all__ = ["LIBRARY", "load_scipy", "module_names", "modules"]

LIBRARY: Mapping[str, str] = {
    "cmath": """acos acosh asin asinh atan atanh cos cosh e exp inf infj isclose isfinite isinf
        isnan log log10 nan nanj phase pi polar rect sin sinh sqrt tan tanh tau""",
    "collections": "Counter OrderedDict defaultdict deque namedtuple",
    "dataclasses": "asdict astuple dataclass field replace",
    "datetime": "date datetime time timedelta timezone",
    "enum": "Enum Flag IntEnum IntFlag auto unique",
    "functools": "cache cmp_to_key lru_cache partial reduce",
    "itertools": """accumulate chain combinations combinations_with_replacement compress count
        cycle dropwhile filterfalse groupby islice pairwise permutations product repeat starmap
        takewhile tee zip_longest""",
    "json": "dumps loads",
    "math": """acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist
        e erf erfc exp exp2 expm1 fabs factorial floor fma fmod frexp fsum gamma gcd hypot inf
        isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan nextafter
        perm pi pow prod radians remainder sin sinh sqrt sumprod tan tanh tau trunc ulp""",
    "random": """betavariate choice choices expovariate gauss normalvariate randint random
        randrange sample seed shuffle triangular uniform""",
    "statistics": """correlation fmean linear_regression mean median pstdev pvariance quantiles
        stdev variance""",
    "time": "asctime ctime gmtime localtime monotonic perf_counter sleep strftime time time_ns",
    "numpy": """bool_ complex128 complex64 float32 float64 int8 int16 int32 int64 uint8 uint16
        uint32 uint64 dtype ndarray finfo iinfo integer floating complexfloating number generic
        datetime64 timedelta64 e inf nan newaxis pi arange array array2string asarray empty
        empty_like eye frombuffer fromfunction fromiter full full_like geomspace identity
        indices linspace logspace meshgrid mgrid ogrid ones ones_like zeros zeros_like c_ r_ s_
        append array_split atleast_1d atleast_2d atleast_3d broadcast_to column_stack
        concatenate copy delete diag diagonal dsplit dstack expand_dims flip fliplr flipud
        hsplit hstack insert moveaxis ndim pad ravel repeat reshape resize roll rot90 shape size
        split squeeze stack swapaxes tile transpose tri tril triu unravel_index vsplit vstack
        argmax argmin argpartition argsort argwhere choose clip compress count_nonzero digitize
        extract flatnonzero lexsort nonzero partition place put searchsorted select sort take
        take_along_axis unique where intersect1d setdiff1d setxor1d union1d isin all amax amin
        any average bincount corrcoef cov cumprod cumsum histogram histogram2d
        histogram_bin_edges max mean median min nanargmax nanargmin nancumsum nanmax nanmean
        nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar percentile prod
        ptp quantile std sum var abs absolute add angle arccos arccosh arcsin arcsinh arctan
        arctan2 arctanh around cbrt ceil conj conjugate copysign cos cosh deg2rad degrees divide
        divmod exp exp2 expm1 fabs fix floor floor_divide fmax fmin fmod gradient heaviside
        hypot i0 imag interp isclose isfinite isinf isnan iscomplexobj isrealobj isreal
        iscomplex isscalar log log10 log1p log2 logaddexp logical_and logical_not logical_or
        logical_xor maximum minimum mod modf multiply nan_to_num negative positive power rad2deg
        radians real reciprocal remainder rint round sign signbit sin sinc sinh sqrt square
        subtract tan tanh trunc unwrap allclose array_equal equal greater greater_equal less
        less_equal not_equal bitwise_and bitwise_or bitwise_xor invert left_shift right_shift
        packbits unpackbits gcd lcm convolve correlate cross diff dot ediff1d einsum inner kron
        matmul outer tensordot trace trapezoid trapz vdot poly1d polyadd polyder polyfit polyint
        polymul polyval roots bartlett blackman hamming hanning kaiser apply_along_axis
        apply_over_axes ndenumerate ndindex piecewise vectorize errstate set_printoptions""",
    "numpy.fft": """fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft
        irfft2 rfft rfft2 rfftfreq""",
    "numpy.linalg": """cholesky cond det eig eigh eigvals eigvalsh inv lstsq matrix_power
        matrix_rank multi_dot norm pinv qr slogdet solve svd""",
    "numpy.polynomial": "Chebyshev Hermite Laguerre Legendre Polynomial",
    "numpy.random": """beta binomial choice default_rng exponential gamma laplace
        lognormal normal permutation poisson rand randint randn random random_sample rayleigh
        seed shuffle standard_normal triangular uniform weibull""",
    "scipy.constants": """Avogadro Boltzmann N_A R Rydberg Stefan_Boltzmann alpha angstrom atm
        atomic_mass bar c degree e electron_mass electron_volt elementary_charge epsilon_0 eV
        fine_structure g gas_constant h hbar k m_e m_p m_u micro micron milli minute mu_0 nano
        pi pico proton_mass sigma speed_of_light torr zero_Celsius""",
    "scipy.fft": """dct dst fft fft2 fftfreq fftn fftshift idct idst ifft ifft2 irfft
        next_fast_len rfft rfftfreq""",
    "scipy.integrate": "cumulative_trapezoid quad simpson solve_ivp trapezoid",
    "scipy.interpolate": """Akima1DInterpolator CubicSpline InterpolatedUnivariateSpline
        PchipInterpolator RegularGridInterpolator UnivariateSpline griddata interp1d
        make_interp_spline splev splrep""",
    "scipy.ndimage": """binary_closing binary_dilation binary_erosion binary_fill_holes
        binary_opening center_of_mass convolve correlate extrema find_objects gaussian_filter
        gaussian_filter1d gaussian_laplace label laplace map_coordinates maximum_filter
        maximum_position mean median_filter minimum_filter minimum_position percentile_filter
        prewitt rotate shift sobel standard_deviation sum_labels uniform_filter uniform_filter1d
        variance zoom""",
    "scipy.optimize": """Bounds LinearConstraint NonlinearConstraint bisect brentq curve_fit
        differential_evolution dual_annealing fsolve least_squares linear_sum_assignment
        minimize minimize_scalar newton nnls root root_scalar""",
    "scipy.signal": """bessel butter chirp cheby1 cheby2 convolve correlate correlation_lags csd
        decimate detrend fftconvolve filtfilt find_peaks find_peaks_cwt firwin freqz hilbert
        iirnotch iirpeak lfilter medfilt oaconvolve peak_prominences peak_widths periodogram
        resample resample_poly sawtooth savgol_coeffs savgol_filter sosfilt sosfiltfilt
        spectrogram square welch wiener argrelmax argrelmin""",
    "scipy.signal.windows": """blackman blackmanharris boxcar cosine exponential flattop
        gaussian get_window hamming hann kaiser triang tukey""",
    "scipy.special": """airy beta betainc binom comb dawsn ellipe ellipk erf erfc erfcinv erfcx
        erfi erfinv expit eval_chebyt eval_hermite eval_laguerre eval_legendre exprel factorial
        fresnel gamma gammainc gammaincc gammaln hankel1 hankel2 iv jn_zeros jv kv lambertw
        log_ndtr logit ndtr ndtri owens_t poch psi sici sinc spence spherical_jn spherical_yn
        struve voigt_profile wofz xlogy yv zeta""",
    "scipy.stats": """binned_statistic bootstrap chi2 describe expon f gaussian_kde gmean iqr
        kendalltau ks_2samp kurtosis linregress lognorm mode moment norm pearsonr poisson
        rankdata sem shapiro skew spearmanr t theilslopes trim_mean ttest_1samp ttest_ind
        uniform zscore""",
}
_INSIDE = {
    "numpy": ("fft", "linalg", "polynomial", "random"),
    "scipy": (
        *("constants", "fft", "integrate", "interpolate", "ndimage", "optimize", "signal"),
        *("special", "stats"),
    ),
    "scipy.signal": ("windows",),
}
"""What is an attribute of another module, too."""


class _ArrayKind(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, np.ndarray)


class _Array(metaclass=_ArrayKind):
    """What `isinstance(x, numpy.ndarray)` asks about. The real one makes arrays of any memory."""

    def __new__(cls, *_: object, **__: object) -> Any:
        raise TypeError("arrays are made by zeros(), array() and the like, not by ndarray()")


def _from_buffer(data: bytes | bytearray, dtype: Any = float, count: int = -1) -> Any:
    """A copy of bytes as an array of numbers."""
    return np.frombuffer(bytes(data), dtype, count).copy()


_OURS: Mapping[str, Mapping[str, Any]] = {
    "numpy": {"frombuffer": _from_buffer, "ndarray": _Array, "trapz": np.trapezoid},
}
"""What is not the module's own: safer, or renamed by a newer version."""


_NEWER = frozenset({"math.fma", "math.sumprod"})
"""Of Python 3.13 and 3.12: older ones do without."""


_NUMERIC = ("numpy", "scipy")


def _load(titles: Iterable[str]) -> dict[str, Facade]:
    found: dict[str, Facade] = {}
    for title in titles:
        module, ours = import_module(title), _OURS.get(title, {})
        names = {name: ours.get(name) or getattr(module, name) for name in _words(title)}
        found[title] = Facade(title, names)
    for title in sorted(found.keys() & _INSIDE, reverse=True):  # the innermost first
        inner = {name: found[f"{title}.{name}"] for name in _INSIDE[title]}
        found[title] = found[title].with_names(inner)
    return found


def _words(title: str) -> list[str]:
    return [
        name
        for name in LIBRARY.get(title, "").split()
        if f"{title}.{name}" not in _NEWER or hasattr(import_module(title), name)
    ]


def _is_of(title: str, package: str) -> bool:
    return title.partition(".")[0] == package


_modules = _load(title for title in LIBRARY if not _is_of(title, "scipy"))


@cache
def load_scipy() -> None:
    """Give scripts scipy, which takes a second and 60 MB: only who uses it shall wait for it."""
    import_module("daq.scripting.child.readable_scipy")
    _modules.update(_load(["scipy", *(title for title in LIBRARY if _is_of(title, "scipy"))]))


def modules(bound: Mapping[str, Mapping[str, Any]], *, numpy: bool = True) -> dict[str, Facade]:
    """Every module that a script may import here, by its full name; scipy's once it is loaded.

    Args:
        bound: Module to names whose values belong to one script, such as `sleep` of `time`.
        numpy: With numpy and scipy.
    """
    found = {t: f for t, f in _modules.items() if numpy or not t.startswith(_NUMERIC)}
    return found | {title: found[title].with_names(names) for title, names in bound.items()}


def module_names(*, numpy: bool = True) -> dict[str, frozenset[str]]:
    """Module to the names that can be imported from it; of scipy, too, loaded or not."""
    return {
        title: frozenset([*_words(title), *_INSIDE.get(title, ())])
        for title in ["scipy", *LIBRARY]
        if numpy or not title.startswith(_NUMERIC)
    }
