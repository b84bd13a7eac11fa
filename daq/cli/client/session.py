"""The group `daq client`, and what all of its commands share: options, connection, exit status."""

from __future__ import annotations

import asyncio
import functools
import os
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import click

from daq.cli.client import completing
from daq.cli.client.completing import Completion
from daq.cli.showing.documents import error_document
from daq.cli.showing.errors import INTERRUPTED, ExitStatus, ReportingGroup
from daq.cli.showing.output import Output
from daq.client import AsyncClient, Credentials
from daq.core import Capability, DaqError

__all__ = [
    "Session",
    "client",
    "client_command",
    "credential_options",
    "device_argument",
    "force_option",
    "identifier_argument",
    "key_numbers",
    "key_values",
    "parameters_option",
]

force_option = click.option("--force", is_flag=True, help="Also while an execution uses it.")


def device_argument(
    *capabilities: Capability,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A device; the shell offers those with one of these capabilities."""
    return click.argument("device", shell_complete=completing.devices(*capabilities))


def identifier_argument(
    shell_complete: Completion,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An ID that may be left out."""
    return click.argument(
        "identifier", metavar="[ID]", default="", required=False, shell_complete=shell_complete
    )


Handler = Callable[..., Coroutine[Any, Any, int | None]]


@dataclass(slots=True)
class Session:
    """Where the daemon is and how answers are printed."""

    address: str | None = None
    as_json: bool = False
    credentials: dict[str, str] = field(default_factory=dict)
    """As they would stand in the environment."""

    def shown(self) -> Credentials:
        """What is shown to the daemon: of the options, else of the environment."""
        environment = {**os.environ, **self.credentials}
        if "DAQ_TOKEN_FILE" in self.credentials:
            environment.pop("DAQ_TOKEN", None)  # the option is nearer
        return Credentials.from_environment(environment)


def _remember_address(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).address = value


_CREDENTIALS = {
    "--token-file": ("DAQ_TOKEN_FILE", "FILE", "What the daemon asks for; or DAQ_TOKEN."),
    "--tls-ca": ("DAQ_TLS_CA", "FILE", "Who made the daemon's certificate, PEM."),
    "--tls-certificate": ("DAQ_TLS_CERTIFICATE", "FILE", "One of your own, PEM."),
    "--tls-key": ("DAQ_TLS_KEY", "FILE", "The key to it, PEM."),
    "--tls": ("DAQ_TLS", "", "Use TLS with the system's authorities."),
}
"""Option to its name in the environment, what it takes, and what it is."""


def credential_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is shown to a daemon that does not talk to everybody."""
    for option, (variable, metavar, text) in reversed(_CREDENTIALS.items()):
        function = click.option(
            option,
            metavar=metavar or None,
            is_flag=not metavar,
            expose_value=False,
            callback=functools.partial(_remember_credential, variable),
            help=f"{text} [{variable}]",
        )(function)
    return function


def _remember_credential(
    variable: str, ctx: click.Context, _: click.Parameter, value: str | bool | None
) -> None:
    if value:
        ctx.ensure_object(Session).credentials[variable] = str(value)


def _remember_json(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if value:
        ctx.ensure_object(Session).as_json = True


def _connection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    address = click.option(
        "--address",
        metavar="HOST:PORT",
        expose_value=False,
        callback=_remember_address,
        help="Where the daemon is. [default: DAQ_ADDRESS or 127.0.0.1:50051]",
    )
    as_json = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_remember_json,
        help="Print JSON: one document, or a line each for streams.",
    )
    return address(as_json(function))


@click.group(cls=ReportingGroup)
@_connection_options
@credential_options
@click.pass_context
def client(ctx: click.Context) -> None:
    """Talk to a running daemon.

    An ID may be left out where only one fits; a unique prefix of it or a script's name serves too.
    Exit status: 0 completed, 1 error, 2 usage, 3 stopped or killed.
    """
    ctx.ensure_object(Session)


_NEGATIVE = re.compile(r"-[.0-9]")


class _Command(click.Command):
    """A command whose arguments may be negative numbers: no option of ours begins with a digit."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # What begins with a space is no option for click, and the same number; a text is another.
        rest = super().parse_args(ctx, [f" {a}" if _NEGATIVE.match(a) else a for a in args])
        ctx.params = {name: _as_typed(value) for name, value in ctx.params.items()}
        return rest


def _as_typed(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_as_typed, value))
    is_marked = isinstance(value, str) and value.startswith(" ") and _NEGATIVE.match(value, 1)
    return value[1:] if is_marked else value


def client_command(
    group: click.Group, name: str | None = None
) -> Callable[[Handler], click.Command]:
    """Make a command of an `async def` that takes the client, the output, and its parameters.

    What it returns is the exit status; None is 0.
    """

    def decorate(handler: Handler) -> click.Command:
        @functools.wraps(handler)
        def run(**arguments: Any) -> None:
            ctx = click.get_current_context()
            session = ctx.ensure_object(Session)
            try:
                status = asyncio.run(_connected(handler, session, arguments))
            except (KeyboardInterrupt, asyncio.CancelledError):
                status = INTERRUPTED
            except DaqError as error:
                if not session.as_json:
                    raise
                Output(as_json=True).document({"error": error_document(error)})
                status = ExitStatus.ERROR
            ctx.exit(status or 0)

        decorated = _connection_options(run)
        return group.command(name or handler.__name__, cls=_Command)(decorated)

    return decorate


async def _connected(handler: Handler, session: Session, arguments: dict[str, Any]) -> int | None:
    async with AsyncClient(session.address, credentials=session.shown()) as connection:
        return await handler(connection, Output(as_json=session.as_json), **arguments)


def parameters_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--param`, several times, as the dict `parameters`."""
    return click.option(
        "--param",
        "parameters",
        metavar="KEY=VALUE",
        multiple=True,
        callback=key_values,
        shell_complete=completing.script_parameters,
        help="A parameter of the script's main(); may be given several times.",
    )(function)


def key_values(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Callback of an option that is given as `key=value`, several times."""
    pairs = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or not key:
            raise click.BadParameter(f"{value!r} is not KEY=VALUE", ctx, parameter)
        pairs[key] = text
    return pairs


def key_numbers(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, float]:
    """Callback of an option that is given as `key=number`, several times."""
    numbers = {}
    for key, text in key_values(ctx, parameter, values).items():
        try:
            numbers[key] = float(text)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not a number", ctx, parameter) from None
    return numbers
