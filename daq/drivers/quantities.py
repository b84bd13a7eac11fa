"""Quantities as instruments write them: `3.000W`, `100 mW`, `820nm`, `+.75E-9`."""

from __future__ import annotations

import re

__all__ = ["NUMBER", "parse_quantity"]

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d+)?"
"""A pattern for numbers, to be matched whatever the case."""

_PREFIXES = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3,
             "k": 1e3, "M": 1e6, "G": 1e9}  # fmt: skip
_QUANTITY = re.compile(rf"\s*({NUMBER})\s*([fpnuµmkMG]?)", re.IGNORECASE)


def parse_quantity(text: str, units: str) -> float:
    """The value in `units`: `100mW` is 0.1 W. Raises ValueError.

    A number without units is one in `units`; other units, or a prefix that is none, are refused.
    """
    for suffix in (units, ""):
        if not text.rstrip().endswith(suffix):
            continue
        match = _QUANTITY.fullmatch(text.rstrip().removesuffix(suffix))
        # A prefix without units, as in `100m`, could be anything.
        if match is not None and match[2] in _PREFIXES and (suffix or not match[2]):
            return float(match[1]) * _PREFIXES[match[2]]
    raise ValueError(f"{text!r} is not a quantity in {units}")
