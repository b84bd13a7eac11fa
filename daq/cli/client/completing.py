"""What the shell offers after Tab where only the daemon knows: devices, parameters, scripts, runs.

A daemon that does not answer at once offers nothing, without a word: a person who types waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from daq.client import AsyncClient
from daq.core import Capability, DaqError

__all__ = [
    "Completion",
    "channels",
    "devices",
    "executions",
    "operations",
    "parameters",
    "presets",
    "runs",
    "script_parameters",
    "scripts",
    "stoppable",
    "values",
]

PATIENCE_S = 1.5
NEWEST = 30
"""How many executions or runs are offered."""

Offers = Iterable[tuple[str, str]]
"""What may stand there, and what it is."""
Question = Callable[[AsyncClient, dict[str, Any]], Coroutine[Any, Any, Offers]]
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _asks(question: Question) -> Completion:
    """A click completion of a question to the daemon, which sees the arguments typed so far."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from daq.cli.client.session import Session

        session = ctx.find_object(Session) or Session()

        async def ask() -> Offers:
            async with (
                asyncio.timeout(PATIENCE_S),
                AsyncClient(session.address, credentials=session.shown()) as daemon,
            ):
                return await question(daemon, ctx.params)

        try:
            offers = asyncio.run(ask())
        except (DaqError, TimeoutError, OSError):
            return []
        return [
            CompletionItem(name, help=help_text or None)
            for name, help_text in offers
            if name.startswith(incomplete)
        ]

    return complete


def devices(*capabilities: Capability) -> Completion:
    """Device ids; only those with one of these capabilities, where there are any."""

    @_asks
    async def complete(daemon: AsyncClient, _: dict[str, Any]) -> Offers:
        return [
            (device.id, device.description.label)
            for device in (await daemon.devices.list()).devices
            if not capabilities or device.description.capabilities & set(capabilities)
        ]

    return complete


@_asks
async def parameters(daemon: AsyncClient, given: dict[str, Any]) -> Offers:
    """Names of the parameters of the device that was typed."""
    rows = await daemon.devices.parameters(given["device"])
    return [(row.name, row.description) for row in rows]


@_asks
async def values(daemon: AsyncClient, given: dict[str, Any]) -> Offers:
    """What the parameter that was typed may be set to, where that is a choice."""
    for row in await daemon.devices.parameters(given["device"]):
        if row.name == given["name"]:
            return [(w, "") for w in (row.words if row.dtype == "bool" else row.choices)]
    return []


@_asks
async def operations(daemon: AsyncClient, given: dict[str, Any]) -> Offers:
    """What the device that was typed can be told."""
    return [
        (operation.name, f"{operation.signature} {operation.summary}")
        for device in (await daemon.devices.list()).devices
        if device.id == given["device"]
        for operation in device.description.operations
    ]


@_asks
async def channels(daemon: AsyncClient, _: dict[str, Any]) -> Offers:
    """Channels: each device, and its parameters."""
    listed = [device.description for device in (await daemon.devices.list()).devices]
    rows = [(f"{d.id}.{row.name}", row.description) for d in listed for row in d.parameters]
    return [*((d.id, d.label) for d in listed), *rows]


@_asks
async def scripts(daemon: AsyncClient, _: dict[str, Any]) -> Offers:
    """Names of the uploaded scripts."""
    return {s.name: s.description.partition("\n")[0] for s in await daemon.scripts.list()}.items()


@_asks
async def script_parameters(daemon: AsyncClient, given: dict[str, Any]) -> Offers:
    """`points=` for each parameter of the script that was typed."""
    script = await daemon.scripts.get(given["script"])
    return [(f"{parameter.name}=", str(parameter)) for parameter in script.parameters]


@_asks
async def executions(daemon: AsyncClient, _: dict[str, Any]) -> Offers:
    """The newest executions."""
    views = await daemon.scripts.executions(limit=NEWEST)
    return [(v.record.id, f"{v.record.script_name} {v.record.state.value}") for v in views]


@_asks
async def stoppable(daemon: AsyncClient, _: dict[str, Any]) -> Offers:
    """What can be stopped: executions that have not ended, and devices."""
    views = await daemon.scripts.executions(limit=NEWEST)
    active = [
        (view.record.id, f"{view.record.script_name} {view.record.state.value}")
        for view in views
        if not view.record.state.is_final
    ]
    listing = await daemon.devices.list()
    return [*active, *((device.id, device.description.label) for device in listing.devices)]


@_asks
async def runs(daemon: AsyncClient, _: dict[str, Any]) -> Offers:
    """The newest runs."""
    page = await daemon.runs.list(limit=NEWEST)
    return [(r.run_id, f"{r.name} {r.outcome.value if r.outcome else 'open'}") for r in page.runs]


@_asks
async def presets(daemon: AsyncClient, _: dict[str, Any]) -> Offers:
    """Names of the presets."""
    return [(preset.name, preset.note) for preset in await daemon.presets.list()]
