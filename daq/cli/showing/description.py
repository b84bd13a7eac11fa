"""Shows what a described instrument offers, for `daq check`."""

from __future__ import annotations

from pathlib import Path

from daq.cli.showing.output import Cell, Output
from daq.cli.sources import read_source
from daq.core import operations_of
from daq.drivers.declarative import Description, Value, offered_rows, parse_description

__all__ = ["show_description"]


def show_description(output: Output, file: Path) -> int:
    """Check a description and show it; the exit status. Raises ConfigurationError."""
    description = parse_description(read_source(file), str(file))
    operations = [f"{o.name}{o.signature}" for o in operations_of(description.capabilities)]
    acts = offered_rows(description)
    operations += [f"{act.name}{act.signature}" for act in acts]
    values = description.values.values()
    document = {
        "file": file,
        "accepted": True,
        "name": description.name,
        "category": description.category,
        "capabilities": sorted(description.capabilities),
        "operations": [*operations, "stop()"],
        "options": {option.name: option.default for option in description.options},
        "values": {value.name: _as_document(value) for value in values},
    }
    output.show(document, lambda out: _render(out, file, description, operations))
    return 0


def _as_document(value: Value) -> dict[str, object]:
    return {
        "type": value.dtype,
        "units": value.units,
        "read": None if value.read is None else value.read.send.text,
        "write": _written(value) or None,
        "parameter": value.is_parameter,
    }


def _written(value: Value) -> str:
    return "; ".join(command.send.text for command in value.write)


def _render(output: Output, file: Path, description: Description, operations: list[str]) -> None:
    output.line(f"{file}: ", Cell("ok", "green"))
    output.fields(
        [
            ("describes", description.name),
            ("offers", " ".join([*operations, "stop()"])),
            ("options", ", ".join(option.name for option in description.options)),
        ]
    )
    output.table(
        ["value", "type", "units", "accepts", "read", "write"],
        [
            (
                value.name,
                value.dtype,
                value.units,
                ", ".join(value.choices) or str(value.limits or ""),
                "" if value.read is None else value.read.send.text,
                _written(value),
            )
            for value in description.values.values()
        ],
    )
