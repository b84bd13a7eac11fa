"""Programs for the fuzzer: valid grammar, made of the pieces that escapes are made of."""

# ruff: noqa: E501, SIM905 - tables of short programs and names

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from hypothesis import strategies as st

from daq.scripting.child.library import module_names
from daq.scripting.vocabulary import BUILTINS, ERRORS, FUNCTIONS, HINTS, PLANS

__all__ = ["programs"]

HIDDEN = """__class__ __bases__ __base__ __mro__ __subclasses__ __globals__ __builtins__ __dict__ __code__
    __closure__ __self__ __func__ __wrapped__ __module__ __init__ __new__ __call__ __getattribute__
    __reduce__ __reduce_ex__ __traceback__ __context__ __cause__ __import__ __loader__ __spec__ __name__
    __qualname__ __annotations__ __defaults__ __kwdefaults__ __init_subclass__ __set_name__ __del__
    __getattr__ __setattr__ __delattr__ __get__ __doc__ __slots__ __weakref__ __array_interface__
    __array_struct__ __array__ __array_ufunc__ __format__ __sizeof__ __enter__ __exit__ _
    _session _operations _facts _runs _names _owner""".split()
INSPECTED = """gi_frame gi_code gi_yieldfrom cr_frame cr_code ag_frame tb_frame tb_next f_back f_globals
    f_locals f_builtins f_code f_trace co_code co_consts co_names func_globals mro""".split()
PUBLIC = """format format_map obj name name_from with_traceback args add_note errno value message advice
    send throw close append pop update items keys values copy get setdefault fromkeys fget fset getter
    setter deleter real imag conjugate to_bytes from_bytes maketrans translate encode decode join split
    base data ctypes dump dumps tofile view setflags getfield resize newbyteorder type flat dtype T
    tobytes byteswap item itemset at reduce outer resolve_dtypes bit_generator spawn shuffle normal
    ctypeslib lib load save fromfile memmap f2py testing frombuffer vectorize frompyfunc linalg fft
    random default_rng os sys modules path move_abs position stop limits units facts id kind operations
    read capabilities session link page start begin end
    count index sort reverse clear remove insert extend union add discard difference start stop step
    numerator bit_length hex fromhex isidentifier""".split()


def _any_of(*weighted: tuple[int, Sequence[str]]) -> st.SearchStrategy[str]:
    """One of the words; first of which table, by weight. By number: a repr of the words is long."""
    tables = [table for weight, table in weighted for _ in range(weight)]
    numbers = st.tuples(st.integers(0, len(tables) - 1), st.integers(0, 10_000))
    return numbers.map(lambda n: tables[n[0]][n[1] % len(tables[n[0]])])


ATTRIBUTES = _any_of((30, PUBLIC), (1, HIDDEN), (1, INSPECTED))
"""As they stand in the source; one that is hidden gets the whole program refused."""
DYNAMIC = _any_of((1, PUBLIC), (1, HIDDEN), (1, INSPECTED))
"""As texts, which only the guards see."""
_SLOW = {"time.sleep", "sleep", "fly_scan", "adaptive_scan", "spiral_scan", "count"}
_IMPORTED = [
    f"{module}.{name}" for module, names in module_names().items() for name in sorted(names)
]
_RESERVED = ["_getattr_", "_write_", "_augment_", "_itemplace_", "_import_", "_words_", "_halt_"]
NAMES = _any_of(
    (12, sorted((BUILTINS | ERRORS | FUNCTIONS | PLANS) - _SLOW)),
    (6, sorted(set(_IMPORTED) - _SLOW)),
    (12, ["a", "b", "c", "f", "g", "A", "error", "stage", "meter", "array", "math"]),
    (1, [*sorted(HINTS), *_RESERVED]),
)
LITERALS = st.sampled_from(
    """0 1 -1 2.5 1e308 True None ... '' 'a' 'x' b'x' () [] {} [1,2] (1,'a') {'a':1} {1,2} 'stage'
    '__class__' '{0}' '{0.__class__}' '{a.b}' '%s' 1j 10**20 'os' 'meter'""".split()
)
TEMPLATES = st.sampled_from(
    [
        "{0.__class__}",
        "{0.__init__.__globals__}",
        "{0[0]}",
        "{a.obj}",
        "{!r:{0.x}}",
        "{:{}}",
        "{0!r}",
        "{0.gi_frame.f_back}",
        "{a}",
        "{0.real.__class__}",
        "{0:{1.__class__}}",
        "%(a)s",
    ]
)
ATOMS = st.one_of(NAMES, LITERALS)


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    chains = st.builds(
        lambda owner, names: ".".join([f"({owner})", *names]),
        inner,
        st.lists(ATTRIBUTES, min_size=1, max_size=3),
    )
    shapes = st.sampled_from(
        """({0})({1})
        ({0})()
        ({0})({1}, {2})
        ({0})(*[{1}], **{{'a': {2}}})
        ({0})(a={1})
        ({0})[{1}]
        ({0})[{1}:{2}]
        getattr({0}, '{y}')
        getattr({0}, '{y}', {1})
        getattr({0}, '__cl' + 'ass__')
        getattr({0}, str({1}))
        getattr(getattr({0}, '{y}'), '{n}')
        hasattr({0}, '{y}')
        '{t}'.format({0}, {1}, a={2})
        str.format('{t}', {0})
        ('{t}').format_map({{'a': {0}}})
        '{t}' % ({0},)
        f"{{({0})!r}}"
        f"{{({0}):>{{{1}}}}}"
        f"{{({0}).{n}}}"
        [{0} for c in {1} if {2}]
        list({0} for c in {1})
        {{c: {0} for c in {1}}}
        (lambda a, b={0}: {1})({2})
        (lambda *a, **b: (a, b))({0}, x={1})
        ({0} if {1} else {2})
        ({0} and {1} or {2})
        (b := {0})
        ({0}) + ({1})
        ({0}) @ ({1})
        ({0}) | ({1})
        ({0}) in ({1})
        isinstance({0}, {1})
        issubclass({0}, {1})
        super({0}, {1}).{n}
        super().{n}
        property({0}).{n}
        list(map({0}, [{1}, {2}]))
        sorted([{0}, {1}], key={2})
        max([{0}], key={1})
        next(iter([{0}]), {1})
        next(iter({0}, {1}))
        sum([{0}], {1})
        device({0}).{n}
        numpy.array([{0}]).{n}
        numpy.asarray({0}).{n}
        (x for x in [{0}]).{n}
        print({0})""".splitlines()
    )
    filled = st.builds(
        lambda shape, a, b, c, name, text, template: shape.strip().format(
            a, b, c, n=name, y=text, t=template
        ),
        shapes, inner,
        inner,
        inner,
        ATTRIBUTES,
        DYNAMIC,
        TEMPLATES,
    )  # fmt: skip
    return st.one_of(chains, filled)


EXPRESSIONS = st.recursive(ATOMS, _expressions, max_leaves=5)
_SIMPLE = """print({0})
a = {0}
a = b = {0}
a, *b = {0}
a.{n} = {0}
a[{0}] = {1}
a.{n} += {0}
a[{0}] += {1}
del a.{n}
del a[{0}]
a: {0} = {1}
import {m}
import {m} as a
from {m} import {n} as a
raise {0} from {1}
assert {0}, {1}
record('meter', a={0})
log({0})""".splitlines()
_COMPOUND = [
    "def f(a, b={0}, *args, **kwargs):\n{x}\n    return a\nprint(f({1}))",
    "def f(a, /, *, b={0}):\n{x}\nf({1}, b={2})",
    "@{d}\ndef f(a=None):\n{x}\n    return {0}\nprint(f)",
    "def g():\n    a = yield {0}\n{x}\n    yield a\nc = g()\nprint(next(c), c.send({1}), c)",
    "class A:\n    a = {0}\n    def __init__(self, b=1):\n        self.b = {1}\n    def {k}(self, *args):\n{y}\n        return {2}\nprint(A(), A().b, A().a)\na = A()",
    "class A({b}):\n    def {k}(self, *args):\n{y}\n        return super().{n}\na = A()\nprint(a.{n})",
    "class A:\n    @property\n    def a(self):\n{y}\n        return {0}\nprint(A().a, A.a.{n})",
    "try:\n{x}\n    raise {e}({0})\nexcept Exception as error:\n    print(error, error.args, error.{n})",
    "try:\n    a.{n}\nexcept AttributeError as error:\n    print(error.{n2})\n{x}",
    "with open_run({0}) as a:\n{x}\n    print(a.{n})",
    "with {0} as a, {1} as b:\n{x}",
    "for a in list({0})[:3]:\n{x}",
    "match {0}:\n    case {p}:\n{y}\n    case [a, *b]:\n        print(a, b)\n    case {{'a': a, **b}}:\n        print(a, b)\n    case a:\n        print(a)",
    "if {0}:\n{x}\nelse:\n    print({1})",
    "try:\n{x}\nfinally:\n    print({0})",
]  # fmt: skip
_PATTERNS = st.sampled_from(
    [
        "object(__class__=a)",
        "Exception(args=a)",
        "str(format=a)",
        "int(a)",
        "device(a)",
        "math.pi",
        "{'__class__': a}",
        "[a, [b]]",
        "A(b=a)",
        "A(a)",
        "numpy.ndarray(base=a)",
        "1 | 'x'",
        "dict()",
    ]
)
_METHODS = _any_of(
    (
        9,
        "__call__ __getitem__ __iter__ __next__ __str__ __repr__ __eq__ __hash__ __add__ __bool__ __len__ __lt__ __contains__".split(),
    ),
    (
        1,
        "__getattr__ __setattr__ __enter__ __exit__ __del__ __class_getitem__ __format__ __index__ __reduce__ __array__ __set_name__ __init_subclass__ __getattribute__".split(),
    ),
)
_BASES = st.sampled_from(
    "object Exception ValueError DeviceError int type dict str A list property super metaclass=type "
    "metaclass=print BaseException NotFoundError".split()
)


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    block = st.lists(inner, min_size=1, max_size=2).map("\n".join)
    return st.builds(
        lambda shape, a, b, c, body, n, n2, d, k, p, base, error: shape.format(
            a,
            b,
            c,
            x=indent(body, "    "),
            y=indent(body, "        "),
            n=n,
            n2=n2,
            d=d,
            k=k,
            p=p,
            b=base,
            e=error,
        ),
        st.sampled_from(_COMPOUND),
        *[EXPRESSIONS] * 3,
        block,
        *[ATTRIBUTES] * 2,
        st.sampled_from(["property", "a", "print", "A", "lambda f: f", "device", "math.sin"]),
        _METHODS,
        _PATTERNS,
        _BASES,
        _any_of((1, sorted(ERRORS | {"ValueError", "AttributeError", "NameError", "OSError"}))),
    )


_SIMPLE_STATEMENTS = st.builds(
    lambda shape, a, b, n, m: shape.format(a, b, n=n, m=m),
    st.sampled_from(_SIMPLE),
    EXPRESSIONS,
    EXPRESSIONS,
    ATTRIBUTES,
    _any_of((1, ("os " + "math numpy numpy.linalg random time statistics cmath " * 3).split())),
)
_STATEMENTS = st.recursive(_SIMPLE_STATEMENTS, _statements, max_leaves=4)
_PREFACE = """import math, cmath, random, statistics, time, numpy, numpy.linalg, numpy.fft, numpy.random
stage, meter, array = device('stage'), device('meter'), numpy.zeros(3)
a = b = c = error = 1
class A: pass
def f(x=1): return x
def g(): yield 1
"""


def _guarded(statement: str) -> str:
    """One failure must not keep the others from being tried, and what an error says is shown."""
    return f"try:\n{indent(statement, '    ')}\nexcept Exception as problem:\n    print(problem, problem.args)"


programs = st.lists(_STATEMENTS, min_size=1, max_size=5).map(
    lambda statements: _PREFACE + "\n".join(map(_guarded, statements)) + "\nprint(a, b, c)\n"
)
"""Whole scripts. Most are refused, since one forbidden piece is enough."""
