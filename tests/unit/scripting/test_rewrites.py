"""What a script does, it does as Python would: everything evaluated once, and in the same order.

Generated programs leave a trace of each evaluation. They run twice, as plain Python and rewritten
by the policy with the real guards, and must leave the same trace and the same state behind.
"""

# ruff: noqa: E501 - short programs on one line

from __future__ import annotations

import itertools
import re
from textwrap import indent
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daq.scripting.child.language import Language
from daq.scripting.policy import compile_script

PREAMBLE = """
class Box:
    def __init__(self, x):
        self.x = x
        self.y = 2

boxes = [Box(1), Box(5)]
def t(k, *values):
    print(k, *values)
    return k

def cm(k):
    return open_run(t(k))

lists = [[1, 2, 3], [4, 5, 6]]
maps = [{"a": 1, "b": 2}, {"a": 3}]
v = w = u = z = 1

def b(k):
    return boxes[t(k) % 2]

def l(k):
    return lists[t(k) % 2]

def m(k):
    return maps[t(k) % 2]

def same(f):
    t("decorated")
    return f
"""
STATE = """
t("state", [[getattr(box, "x", None), getattr(box, "y", None)] for box in boxes], lists, maps)
t("state", v, w, u)
"""


class Context:
    """A context manager that tells when it is entered and left."""

    def __init__(self, trace: list[object], key: int) -> None:
        self.trace, self.key = trace, key

    def __enter__(self) -> int:
        self.trace.append(("enter", self.key))
        return self.key

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.trace.append(("exit", self.key, kind and kind.__name__))


def tracing(trace: list[object]) -> dict[str, object]:
    """Names of the language that serve as probes here."""

    def probe(*values: object) -> None:
        trace.append(tuple(map(plain, values)))

    return {"print": probe, "open_run": lambda key: Context(trace, key)}


def as_python(source: str) -> list[object]:
    trace: list[object] = []
    exec(compile(source, "<python>", "exec"), {"__name__": "script", **tracing(trace)})
    return trace


def as_script(source: str) -> list[object]:
    trace: list[object] = []
    session = SimpleNamespace(
        checkpoint_here=None, sleep=None, stop_requested=None, checkpoint=lambda line: True
    )
    language = Language(session, SimpleNamespace(words=[0, 0], progress=None))
    script = compile_script(source, language.modules)
    assert script.code is not None, [d.render("s.py") for d in script.check.diagnostics]
    namespace: dict[str, object] = {"_halt_": False}
    language.fill(namespace)
    exec(script.code, namespace | tracing(trace))
    return trace


def plain(value: object) -> str:
    return re.sub(r"at 0x[0-9a-f]+|<[^<>]*Box object[^<>]*>", "...", repr(value))


def numbered(source: str) -> str:
    """Every evaluation gets a number of its own."""
    count = itertools.count(1)
    return re.sub(r"#", lambda _: str(next(count)), source)


def same_as_python(body: str) -> None:
    source = numbered(f"{PREAMBLE}\n{body}\n{STATE}")
    try:
        compile(source, "<python>", "exec")
    except SyntaxError:  # such as := in a comprehension of a class body
        return
    assert as_script(source) == as_python(source), source


# Programs

LEAVES = st.sampled_from(
    ["t(#)", "v", "l(#)[t(#) % 3]", "b(#).x", "m(#)['a']", "m(#).get('b', t(#))", "(t(#), t(#))[1]"]
)


def expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    shapes = st.sampled_from(
        """({0} + {1})
        ({0} if {1} else {2})
        ({0} and {1})
        ({0} or {1})
        (not {0})
        ({0} < {1} < {2})
        [{0}, {1}][t(#) % 2]
        {{t(#): {0}, t(#): {1}}}[t(#)]
        len(f"{{{0}}}{{{1}!r:>{{t(#) % 9}}}}")
        len("{{}}{{x}}".format({0}, x={1}))
        (lambda a=({0}), *, q=({1}): (t(#), a, q)[1])({2})
        (z := {0})
        sum([{0} for v in l(#) if ({1}) or t(#)])
        sum({0} for v in l(#) for u in l(#) if t(#) if {1})
        len({{({0}): t(#) for v in l(#)}})
        max({0}, *[{1}, t(#)], key=lambda q: t(#) + q)
        len([*l(#), {0}, *[{1}]])
        ({0} // (({1}) % 2))
        getattr(b(#), 'xy'[t(#) % 2])
        (l(#)[t(#) % 2:t(#) % 4] or [{0}])[0]
        (b(#).missing or {0})
        m(#)[{0}]""".splitlines()
    )
    return st.builds(
        lambda shape, *parts: shape.strip().format(*parts), shapes, inner, inner, inner
    )


EXPRESSIONS = st.recursive(LEAVES, expressions, max_leaves=6)
SIMPLE = """v = {0}
v = w = {0}
b(#).x = l(#)[t(#) % 3] = v = {0}
v, b(#).y, *u = {0}, {1}, t(#), {2}
(v, [l(#)[0], w]), b(#).x = ({0}, [{1}, t(#)]), {2}
m(#)[t(#)], m(#)['b'] = {0}, {1}
l(#)[t(#) % 2:] = [{0}, {1}, {2}]
l(#)[t(#) % 3] += {0}
l(#)[t(#) % 3] += (l(#).append({0}) or {1})
b(#).x -= {0}
b(#).x += (lambda: [b(#).y, t(#)][1])()
m(#)['a'] |= {0}
m(#)[t(#)] += {0}
l(#)[t(#) % 2:t(#) % 4] += [{0}, {1}]
l(#)[{0}] //= {1}
boxes[t(#) % 2].x, l(#)[{0}] = {1}, {2}
v += {0}
v *= ({0}) % 5
v: int = {0}
b(#).y: int = {0}
b(#).none += {0}
lists[t(#) % 2] += [{0}]
del m(#)['b']
del l(#)[({0}) % 3], m(#)['a']
del b(#).y
assert {0}, t(#)
raise ValueError({0})
u = [{0} for v in l(#)[:2] for w in [{1}, t(#)] if {2} if t(#)]
u = (yield_ for yield_ in [{0}])
u = {{**m(#), 'c': {0}, **m(#)}}
t({0}, *l(#), *[{1}])
u = cm(#)""".splitlines()
SIMPLE_STATEMENTS = st.builds(
    lambda shape, *parts: shape.format(*parts),
    st.sampled_from(SIMPLE),
    EXPRESSIONS,
    EXPRESSIONS,
    EXPRESSIONS,
)
COMPOUND = [
    "if {0}:\n{a}\nelif {1}:\n{b}\nelse:\n{c}",
    "for v in l(#)[:2]:\n{a}\n    if {0}:\n        continue\n{b}\nelse:\n{c}",
    "for b(#).x, l(#)[t(#) % 3] in zip([{0}, t(#)], [{1}, t(#)]):\n{a}\n    if {1}: break",
    "n = 0\nwhile n < 2 and {0}:\n    n += 1\n{a}\nelse:\n{b}",
    "try:\n{a}\nexcept (ValueError, ZeroDivisionError) as error:\n    t(#, error.args)\n{b}\nelse:\n{c}\nfinally:\n    t(#)\n{b}",
    "try:\n    try:\n{a}\n    finally:\n{b}\nexcept Exception as error:\n    t(#)\n    raise",
    "try:\n{a}\n    raise KeyError(t(#)) from ValueError({0})\nexcept (LookupError if {1} else LookupError):\n{b}",
    "with cm(#) as v, cm(#) as b(#).y, cm(#) as l(#)[t(#) % 3]:\n{a}\n{b}",
    "match {0}:\n    case 0 | 1:\n        t(#)\n    case int(v) if {1}:\n        t(#)\n    case u:\n        t(#, u)",
    "match [{0}, {1}, t(#)]:\n    case [1, *u]:\n        t(#)\n    case [v, w, _] if {2}:\n        t(#, v, w)\n    case _:\n        t(#)",
    "match m(#):\n    case {{'a': v, **w}} if {0}:\n        t(#, v, w)\n    case dict():\n        t(#)",
    "@same\ndef f(p=({0}), *args, q=({1}), **named):\n    global v\n{a}\n    v = p\n    return t(#)\nf(*l(#), **{{'r': {2}}})\nf(q=t(#))",
    "def g():\n    got = yield {0}\n    t(#, got)\n{a}\n    yield from [{1}, t(#)]\nu = list(g())",
    "def outer():\n    n = {0}\n    def inner():\n        nonlocal n\n        n += {1}\n        return n\n    return t(inner()) + inner()\nu = outer()",
    "class C(Box):\n    z = {0}\n    def __init__(self):\n        super().__init__({1})\n        self.x += t(#)\n    def __add__(self, other):\n        return t(#)\n    @property\n    def p(self):\n        return t(#)\nc = C()\nc.x += c.p\nc += t(#)\nu = (C.z, c)",
]  # fmt: skip  # noqa: RUF100


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    block = st.lists(inner, min_size=1, max_size=2).map(lambda b: indent("\n".join(b), "    "))
    deep = block.map(lambda b: indent(b, "    "))

    def build(shape, e0, e1, e2, a, b, c, deep_a, deep_b):
        if shape.startswith("try:\n    try"):
            a, b = deep_a, deep_b
        return shape.format(e0, e1, e2, a=a, b=b, c=c)

    return st.builds(
        build,
        st.sampled_from(COMPOUND),
        *[EXPRESSIONS] * 3,
        *[block] * 3,
        *[deep] * 2,
    )


def caught(statement: str) -> str:
    """So that one error does not end the program; its kind is part of the trace."""
    body = indent(statement, "    ")
    return f"try:\n{body}\nexcept Exception as problem:\n    t(type_of(problem))"


STATEMENTS = st.recursive(SIMPLE_STATEMENTS, compound, max_leaves=5)
KINDS = """
def type_of(problem):
    for name, kind in [("type", TypeError), ("value", ValueError), ("index", IndexError),
                       ("key", KeyError), ("zero", ZeroDivisionError), ("attribute", AttributeError),
                       ("assertion", AssertionError), ("name", NameError)]:
        if isinstance(problem, kind):
            return name
    return "other"
"""


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(STATEMENTS, min_size=1, max_size=4))
def test_generated_programs_do_what_python_does(statements) -> None:
    same_as_python(KINDS + "\n".join(map(caught, statements)))


@pytest.mark.parametrize("body", [*SIMPLE, *COMPOUND])
def test_each_form_does_what_python_does(body) -> None:
    passing = indent("t(#)", "    ")
    deep = indent(passing, "    ")
    block = deep if body.startswith("try:\n    try") else passing
    text = body.format("t(#)", "t(#)", "t(#)", a=block, b=block, c=passing)
    same_as_python(KINDS + caught(text))


@pytest.mark.parametrize(
    "body",
    [
        # The value of the right side changes what stands on the left: Python has read it before.
        "def f():\n    lists[0][0] = 100\n    return 1\nlists[0][0] += f()",
        "def f():\n    boxes[0].x = 100\n    return 1\nboxes[0].x += f()",
        # The place is evaluated before the value, and an error in it comes first.
        "try:\n    maps[0]['nothing'] += t(#)\nexcept KeyError:\n    t(#)",
        "x = (y, z) = (t(#), t(#))",
        "a = b_ = c = [t(#)]\na.append(t(#))\nu = [a is b_, b_ is c, c]",
        "lists[t(#) % 2][t(#) % 3] = lists[t(#) % 2][t(#) % 3] = t(#)",
        "i = 0\ni, lists[i][i] = 1, t(#)",
        "v = 3\nv += (v := 10)",
        "lists[0] += lists[1]\nlists[0][:] = [*lists[0], t(#)]",
    ],
)
def test_the_order_is_the_one_of_python(body) -> None:
    same_as_python(body)


def test_the_comparison_itself_sees_a_difference() -> None:
    body = "t(1)\nt(2)"
    assert as_python(PREAMBLE + body) != as_script(f"{PREAMBLE}t(2)\nt(1)")
