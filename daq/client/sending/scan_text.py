"""Makes the script of a scan: one call of the plan of the same name."""

from __future__ import annotations

from daq.client.sending.literals import literal
from daq.client.sending.program_text import ProgramText
from daq.core import PlanCall
from daq.core.values import plain_mapping

__all__ = ["scan_text"]


def scan_text(call: PlanCall) -> ProgramText:
    """The script that makes this call; functions of the caller's travel with it.

    What is as the plan has it by default is left out.

    Returns:
        The text, with where its lines come from.
    """
    arguments = [repr(call.detectors)]
    for motor, *rest in call.axes:
        arguments += [repr(motor), *map(literal, rest)]
    text = ProgramText(f"{call.plan.name}({', '.join(arguments)})")
    for parameter in call.plan.keywords:
        value = call.values.get(parameter.name, parameter.default)
        if parameter.name in call.values and (parameter.needed or value != parameter.default):
            source = text.add_function(value) if callable(value) else literal(value)
            arguments.append(f"{parameter.name}={source}")
    if call.metadata:
        arguments.append(f"metadata={literal(plain_mapping(call.metadata))}")
    text.add(f"def main():\n    {call.plan.name}({', '.join(arguments)})")
    return text
