"""Instruments that are described in TOML alone."""

from daq.drivers.declarative.acts import offered_rows
from daq.drivers.declarative.driver import DeclarativeDriver, declarative
from daq.drivers.declarative.loader import (
    is_description,
    load_description,
    parse_description,
    shipped_descriptions,
)
from daq.drivers.declarative.model import Description, Value

__all__ = [
    "DeclarativeDriver",
    "Description",
    "Value",
    "declarative",
    "is_description",
    "load_description",
    "offered_rows",
    "parse_description",
    "shipped_descriptions",
]
