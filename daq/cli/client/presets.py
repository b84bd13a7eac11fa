"""Presets: save, list, load, compare, delete."""

from __future__ import annotations

import click

from daq.cli.client import completing
from daq.cli.client.session import client, client_command, force_option
from daq.cli.showing.errors import ExitStatus, ReportingGroup
from daq.cli.showing.output import Cell, Output
from daq.client import AsyncClient
from daq.core import Preset, SettingChange, SettingOutcome, format_time

_name = click.argument("name", shell_complete=completing.presets)
_STYLES = {
    SettingOutcome.SAME: "dim",
    SettingOutcome.DIFFERS: "yellow",
    SettingOutcome.CHANGED: "green",
    SettingOutcome.FAILED: "bold red",
    SettingOutcome.NOT_TRIED: "red",
    SettingOutcome.MISSING: "red",
}


@client.group(cls=ReportingGroup)
def presets() -> None:
    """What the bench is set to, saved under a name and loaded again."""


@client_command(presets)
@_name
@click.argument("devices", nargs=-1, shell_complete=completing.devices())
@click.option("--note", default="", help="What it is good for.")
@click.option("--replace", is_flag=True, help="Replace the preset of that name.")
async def save(
    daemon: AsyncClient,
    output: Output,
    name: str,
    devices: tuple[str, ...],
    note: str,
    replace: bool,
) -> None:
    """Save what DEVICES, or all, are set to now as NAME."""
    preset = await daemon.presets.save(name, devices, note=note, replace=replace)
    count = sum(len(values) for values in preset.settings.values())
    output.show(
        preset,
        lambda out: out.line(
            f"{name}: {count} settings of {', '.join(preset.settings)} saved {preset.note}".rstrip()
        ),
    )


@client_command(presets, "list")
async def list_presets(daemon: AsyncClient, output: Output) -> None:
    """List the presets."""
    found = await daemon.presets.list()
    output.show(found, lambda out: _render_list(out, found))


@client_command(presets)
@_name
async def compare(daemon: AsyncClient, output: Output, name: str) -> None:
    """Show where the bench differs from NAME; changes nothing."""
    changes = await daemon.presets.compare(name)
    output.show(changes, lambda out: _render_changes(out, changes))


@client_command(presets)
@_name
@force_option
async def load(daemon: AsyncClient, output: Output, name: str, force: bool) -> int:
    """Set the bench to NAME, and show what that changed.

    Dark comes first: shutters close, emission ends; then parameters, wavelengths, positions; what
    emits and opens comes last. The first setting that fails ends it.
    """
    changes = await daemon.presets.load(name, force=force)
    output.show(changes, lambda out: _render_changes(out, changes))
    failed = any(change.outcome is SettingOutcome.FAILED for change in changes)
    return ExitStatus.ERROR if failed else ExitStatus.COMPLETED


@client_command(presets)
@_name
async def delete(daemon: AsyncClient, output: Output, name: str) -> None:
    """Forget NAME."""
    await daemon.presets.delete(name)
    output.show({"deleted": name}, lambda out: out.line(f"{name} is deleted"))


def _render_list(output: Output, found: list[Preset]) -> None:
    if not found:
        output.line("there are no presets")
        return
    rows = [(p.name, format_time(p.created_ns), p.by, ", ".join(p.settings), p.note) for p in found]
    output.table(["preset", "saved", "by", "devices", "note"], rows)


def _render_changes(output: Output, changes: list[SettingChange]) -> None:
    news = [change for change in changes if change.outcome is not SettingOutcome.SAME]
    same = len(changes) - len(news)
    if news:
        output.table(
            ["device", "setting", "preset>", "before>", "after>", "units", "outcome", "reason"],
            [
                (
                    change.device,
                    change.setting,
                    _text(change.wanted),
                    _text(change.before),
                    _text(change.after),
                    change.units,
                    Cell(change.outcome.value.replace("_", " "), _STYLES[change.outcome]),
                    change.message,
                )
                for change in news
            ],
        )
    output.line(f"{same} settings are as in the preset")


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
