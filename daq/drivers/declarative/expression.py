"""Arithmetic in descriptions: `value * 1e-3`, `not status & 1`, `abs(position - setpoint) < 0.1`.

Python's syntax, read into a tree of closures that knows numbers, texts and a few functions and
nothing else: no attributes, no indexing, no calls of anything but `FUNCTIONS`.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from daq.core import did_you_mean

__all__ = ["FUNCTIONS", "Expression", "ExpressionError"]

Names = Mapping[str, Any]
Node = Callable[[Names], Any]

_LONGEST = 500
_MOST_BITS = 64


class ExpressionError(ValueError):
    """It cannot be understood, or cannot be computed for these values."""


def _whole(value: Any) -> int:
    """A whole number, also one that an instrument writes as `1.0`."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int):
        raise ExpressionError(f"{value!r} is not a whole number")
    return int(value)


def _bits(value: Any) -> int:
    bits = _whole(value)
    if not 0 <= bits <= _MOST_BITS:
        raise ExpressionError(f"{bits} is not a number of bits from 0 to {_MOST_BITS}")
    return bits


def _bit(value: Any, number: Any) -> bool:
    """Whether bit `number`, counted from 0, is set."""
    return bool(_whole(value) >> _bits(number) & 1)


def _signed(value: Any, bits: Any) -> int:
    """The number that a two's complement of so many bits stands for."""
    half = 1 << (_bits(bits) - 1)
    low = _whole(value) & (2 * half - 1)
    return low - 2 * half if low >= half else low


def _number(value: Any) -> float:
    """A number as such; never a text, which `*` and `+` would repeat and join."""
    if isinstance(value, int | float | np.ndarray):
        return value  # type: ignore[return-value] # of the points of a waveform all at once
    raise ExpressionError(f"{value!r} is not a number")


def _power(base: Any, exponent: Any) -> float:
    # In floating point: a whole number to the power of another could fill the memory.
    if isinstance(base, np.ndarray):
        return np.power(base, float(_number(exponent)))  # type: ignore[return-value]
    return math.pow(_number(base), _number(exponent))


def _pointwise(of_number: Callable[..., float], of_points: Callable[[Any], Any]) -> Any:
    """A function of a number that is one of each point of a waveform too."""
    return lambda *given: (of_points if isinstance(given[0], np.ndarray) else of_number)(*given)


def _bounded(shift: Callable[[int, int], int]) -> Callable[[Any, Any], int]:
    return lambda value, bits: shift(_whole(value), _bits(bits))


def _numeric(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: operation(_number(left), _number(right))


def _bitwise(operation: Callable[[int, int], int]) -> Callable[[Any, Any], int]:
    return lambda left, right: operation(_whole(left), _whole(right))


FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "abs": abs,
        "min": min,
        "max": max,
        "round": round,
        "sqrt": _pointwise(math.sqrt, np.sqrt),
        "exp": _pointwise(math.exp, np.exp),
        "log": _pointwise(math.log, np.log),
        "log10": _pointwise(math.log10, np.log10),
        "sin": _pointwise(math.sin, np.sin),
        "cos": _pointwise(math.cos, np.cos),
        "float": float,
        "int": int,
        "ord": ord,
        "bit": _bit,
        "signed": _signed,
    }
)
"""What may be called: `int(text, 16)` reads hexadecimal, `ord(text)` a byte that came as a
character, `bit(status, 3)` tests a bit, and `signed(n, 32)` reads a two's complement."""

_CONSTANTS: Mapping[str, float] = MappingProxyType({"pi": math.pi})

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Add: _numeric(operator.add),
        ast.Sub: _numeric(operator.sub),
        ast.Mult: _numeric(operator.mul),
        ast.Div: _numeric(operator.truediv),
        ast.FloorDiv: _numeric(operator.floordiv),
        ast.Mod: _numeric(operator.mod),
        ast.Pow: _power,
        ast.BitAnd: _bitwise(operator.and_),
        ast.BitOr: _bitwise(operator.or_),
        ast.BitXor: _bitwise(operator.xor),
        ast.LShift: _bounded(operator.lshift),
        ast.RShift: _bounded(operator.rshift),
    }
)
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = MappingProxyType(
    {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
)
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = MappingProxyType(
    {
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
    }
)


class Expression:
    """A formula over names, checked when it is made.

    Args:
        text: In Python's syntax.
        known: The names that there will be; any other is refused.

    Raises:
        ExpressionError: It says what cannot be used.
    """

    def __init__(self, text: str, known: Iterable[str]) -> None:
        self.text = text
        self._known = frozenset(known)
        self._used: set[str] = set()
        if len(text) > _LONGEST:
            raise ExpressionError(f"it has {len(text)} characters, at most {_LONGEST} are read")
        try:
            tree = ast.parse(text.strip(), mode="eval")
            self._root = self._read(tree.body)
        except SyntaxError as error:
            raise ExpressionError(f"{text!r} is not an expression: {error.msg}") from None
        except RecursionError:
            raise ExpressionError("it is nested too deeply") from None
        self.names = frozenset(self._used)
        """The names that it needs."""

    def __repr__(self) -> str:
        return f"<Expression {self.text!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def evaluate(self, names: Names) -> Any:
        """Its value; raises ExpressionError with the formula and the values it was given."""
        try:
            return self._root(names)
        except (ArithmeticError, ValueError, TypeError) as error:
            given = ", ".join(f"{name} = {names[name]!r}" for name in sorted(self.names))
            with_values = f" with {given}" if given else ""
            raise ExpressionError(f"{self.text!r} failed{with_values}: {error}") from error

    def _read(self, node: ast.expr) -> Node:
        reader = self._READERS.get(type(node))
        if reader is None:
            raise ExpressionError(f"{ast.unparse(node)!r} cannot be used in an expression")
        return reader(self, node)

    def _read_constant(self, node: Any) -> Node:
        value = node.value
        if not isinstance(value, bool | int | float | str):
            raise ExpressionError(f"{value!r} is neither a number nor a text")
        return lambda _: value

    def _read_name(self, node: Any) -> Node:
        name = str(node.id)
        if name in self._known:
            self._used.add(name)
            return lambda names: names[name]
        if name in _CONSTANTS:
            constant = _CONSTANTS[name]
            return lambda _: constant
        near = did_you_mean(name, [*self._known, *FUNCTIONS])
        there = near or f"there are {sorted(self._known)}"
        raise ExpressionError(f"there is no {name!r} here; {there}")

    def _read_binary(self, node: Any) -> Node:
        operation = _BINARY.get(type(node.op))
        if operation is None:
            raise ExpressionError(f"{ast.unparse(node)!r}: this operator cannot be used")
        left, right = self._read(node.left), self._read(node.right)
        return lambda names: operation(left(names), right(names))

    def _read_unary(self, node: Any) -> Node:
        operation = _UNARY.get(type(node.op))
        if operation is None:
            raise ExpressionError(f"{ast.unparse(node)!r}: this operator cannot be used")
        operand = self._read(node.operand)
        return lambda names: operation(operand(names))

    def _read_logic(self, node: Any) -> Node:
        parts = [self._read(value) for value in node.values]
        combine = all if isinstance(node.op, ast.And) else any
        return lambda names: combine(part(names) for part in parts)

    def _read_comparison(self, node: Any) -> Node:
        operations = [_COMPARE.get(type(op)) for op in node.ops]
        if None in operations:
            raise ExpressionError(f"{ast.unparse(node)!r}: this comparison cannot be used")
        terms = [self._read(term) for term in (node.left, *node.comparators)]

        def compare(names: Names) -> bool:
            values = [term(names) for term in terms]
            pairs = zip(operations, values, values[1:], strict=False)
            return all(operation is not None and operation(a, b) for operation, a, b in pairs)

        return compare

    def _read_choice(self, node: Any) -> Node:
        test, yes, no = (self._read(part) for part in (node.test, node.body, node.orelse))
        return lambda names: yes(names) if test(names) else no(names)

    def _read_call(self, node: Any) -> Node:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        function = FUNCTIONS.get(name)
        if function is None or node.keywords:
            raise ExpressionError(
                f"{ast.unparse(node)!r} cannot be called; functions are {', '.join(FUNCTIONS)}"
            )
        arguments = [self._read(argument) for argument in node.args]
        return lambda names: function(*[argument(names) for argument in arguments])

    _READERS: Mapping[type[ast.expr], Callable[[Expression, Any], Node]] = MappingProxyType(
        {
            ast.Constant: _read_constant,
            ast.Name: _read_name,
            ast.BinOp: _read_binary,
            ast.UnaryOp: _read_unary,
            ast.BoolOp: _read_logic,
            ast.Compare: _read_comparison,
            ast.IfExp: _read_choice,
            ast.Call: _read_call,
        }
    )
