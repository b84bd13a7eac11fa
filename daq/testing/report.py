"""What the conformance kit says about a driver, for people."""

from __future__ import annotations

import textwrap
from contextlib import aclosing

import click

from daq.core import ConfigurationError
from daq.testing.driver_kit import run_checks
from daq.testing.driver_subject import Subject

__all__ = ["print_report"]


async def print_report(subject: Subject, timeout: float = 60.0) -> bool:
    """Run the checks, one line each as they end; whether all of them passed."""
    click.secho(f"{subject.device_id} ({subject.driver_name})", bold=True)
    try:
        subject.build()
    except ConfigurationError as error:
        click.echo(textwrap.indent(str(error), "  "))
        return False
    passed = True
    async with aclosing(run_checks(subject, timeout)) as running:
        async for result in running:
            verdict = ("FAILED", "red") if result.problems else ("ok", "green")
            click.secho(f"  {verdict[0]:<6} ", fg=verdict[1], nl=False)
            click.echo(f"{result.name} ({result.seconds:.1f} s): {result.promise}")
            for problem in result.problems:
                click.echo(textwrap.indent(problem, " " * 9))
            passed &= not result.problems
    return passed
