"""Presets: what the bench is set to, saved under a name, compared and loaded again."""

from __future__ import annotations

import builtins
import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from daq.core import (
    DaqError,
    DeviceError,
    NotFoundError,
    ParameterError,
    Preset,
    Scalar,
    SettingChange,
    SettingOutcome,
    StateError,
    StorageError,
    did_you_mean,
)
from daq.drivers import Timebase
from daq.supervision.device.gate import Claim
from daq.supervision.json_file import read_json, write_json
from daq.supervision.settings.bench_settings import (
    BenchSetting,
    read_settings,
    settings_of,
    step_of,
)
from daq.supervision.settings.order import in_order
from daq.supervision.supervisor import Supervisor

__all__ = ["Presets"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_VERSION = 1
"""Of a preset's file; one without was written before there were versions, and says the same."""

Wanted = tuple[BenchSetting, Scalar]
Seen = tuple[Wanted, SettingChange]
"""A setting with its value, and how it is now."""


class Presets:
    """One file each, in a folder of their own.

    A file that cannot be read is listed with the reason as its note, and hides no other.

    Args:
        directory: Made when the first one is saved.
        supervisor: Of the devices that they set.
        timebase: The daemon's timestamps.
    """

    def __init__(self, directory: Path, supervisor: Supervisor, timebase: Timebase) -> None:
        self._directory = directory
        self._supervisor = supervisor
        self._timebase = timebase
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<Presets in {self._directory}>"

    async def save(
        self,
        name: str,
        device_ids: Sequence[str] = (),
        *,
        note: str = "",
        by: str = "",
        replace: bool = False,
    ) -> Preset:
        """Save what these devices, or all, are set to now.

        Raises:
            ParameterError: The name is none.
            StateError: There is a preset of that name, and it is not to be replaced.
            DeviceError: A device that was named, or all of them, cannot be asked.
        """
        path = self._path(name)
        if not replace and await trio.to_thread.run_sync(path.exists):
            raise StateError(f"there is a preset {name!r} already", advice="replace it, or delete")
        everything = tuple(device.id for device in self._supervisor.devices())
        settings, silent = await read_settings(self._supervisor, tuple(device_ids) or everything)
        if silent and (device_ids or not settings):
            raise DeviceError(f"nothing was saved: {'; '.join(silent.values())}")
        if silent:
            note = f"{note} (without {', '.join(silent)})".strip()
        preset = Preset(name, self._timebase.now_ns(), by, note, settings)
        await trio.to_thread.run_sync(
            write_json, path, {"version": _VERSION, **dataclasses.asdict(preset)}
        )
        return preset

    async def list(self) -> builtins.list[Preset]:
        """All presets, by name."""
        return await trio.to_thread.run_sync(self._read_all)

    async def get(self, name: str) -> Preset:
        """The preset of that name; raises NotFoundError listing those that exist."""
        path = self._path(name)
        try:
            return await trio.to_thread.run_sync(_read, path)
        except FileNotFoundError:
            known = [preset.name for preset in await self.list()]
            raise NotFoundError(
                f"there is no preset {name!r}; there are {', '.join(known) or 'none'}",
                advice=did_you_mean(name, known),
            ) from None

    async def delete(self, name: str) -> None:
        """Forget it; raises NotFoundError."""
        await self.get(name)
        await trio.to_thread.run_sync(lambda: self._path(name).unlink(missing_ok=True))

    async def compare(self, name: str) -> builtins.list[SettingChange]:
        """Each setting of the preset next to what it is now; changes nothing."""
        wanted, missing = self._find(await self.get(name))
        return [*missing, *[await _look(setting, value) for setting, value in wanted]]

    async def load(
        self, name: str, *, by: str = "", force: bool = False
    ) -> builtins.list[SettingChange]:
        """Set the bench to it, in the order of `bench_settings`; what is so already is left alone.

        Before anything is changed every setting is looked at: with one that is missing, refused,
        of the wrong type or outside of its limits, or on a device that cannot be reached or is
        somebody's, nothing is. What it changes is its own until it has ended. Light that is on
        before and after is off while other things change. The first that fails ends it, so that no
        shutter opens on a bench that is not as it should be.

        Raises:
            DeviceError, BusyError: Nothing was changed; the message lists why.
        """
        preset = await self.get(name)
        async with self._turn:
            wanted, missing = self._find(preset)
            if not force:
                ids = sorted({setting.device.id for setting, _ in wanted})
                what = "the preset was not loaded: devices are in use"
                self._supervisor.require_unclaimed(ids, what)
            claim = Claim(f"the preset {name!r}{f' (loaded by {by})' if by else ''}")
            with _holding(wanted, claim):
                seen = [(pair, await _look(*pair)) for pair in wanted]
                absent = [*missing, *[c for _, c in seen if c.outcome is SettingOutcome.MISSING]]
                if absent:
                    reasons = "; ".join(f"{c.device}.{c.setting}: {c.message}" for c in absent)
                    raise DeviceError(f"the preset {name!r} was not loaded: {reasons}")
                self._require_possible(name, seen)
                return await self._change(_dark_first(seen), _Loader(by, claim, force))

    def _require_possible(self, name: str, seen: Sequence[Seen]) -> None:
        """Raise DeviceError with all that would be refused, before anything is changed."""
        refused: builtins.list[str] = []
        for (setting, value), change in seen:
            if change.outcome is SettingOutcome.DIFFERS:
                try:
                    setting.require_possible(value)
                except DaqError as error:
                    refused.append(error.message)
        if refused:
            raise DeviceError(f"the preset {name!r} was not loaded: {'; '.join(refused)}")

    async def _change(self, seen: Sequence[Seen], loader: _Loader) -> builtins.list[SettingChange]:
        """Set what differs, in the order of the steps; says of each what became of it."""
        places = {id_: n for n, id_ in enumerate(in_order(_ids(seen), self._supervisor.after))}
        report: builtins.list[SettingChange] = []
        has_failed = False

        def turn(entry: Seen) -> tuple[int, int]:
            return step_of(*entry[0]), places[entry[0][0].device.id]

        for pair, change in sorted(seen, key=turn):
            done = change if has_failed else await loader.set(pair, change)
            if has_failed and change.outcome is SettingOutcome.DIFFERS:
                done = dataclasses.replace(change, outcome=SettingOutcome.NOT_TRIED)
            has_failed |= done.outcome is SettingOutcome.FAILED
            report.append(done)
        return report

    def _find(self, preset: Preset) -> tuple[builtins.list[Wanted], builtins.list[SettingChange]]:
        """Its settings on this bench, and those that the bench has not."""
        wanted: builtins.list[Wanted] = []
        missing: builtins.list[SettingChange] = []
        devices = {device.id: device for device in self._supervisor.devices()}
        for device_id, values in sorted(preset.settings.items()):
            device = devices.get(device_id)
            there = {} if device is None else {s.name: s for s in settings_of(device)}
            why = "there is no such device" if device is None else "it has no such setting"
            for name, value in values.items():
                if name in there and isinstance(value, bool | int | float | str):
                    wanted.append((there[name], value))
                elif name in there:
                    absent = SettingOutcome.MISSING
                    said = f"{value!r:.60} is no value" if value is not None else "it has no value"
                    missing.append(SettingChange(device_id, name, "", absent, message=said))
                else:
                    absent = SettingOutcome.MISSING
                    missing.append(SettingChange(device_id, name, value, absent, message=why))
        return wanted, missing

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ParameterError(
                f"{name!r} is no name for a preset: up to 64 letters, digits, '_', '-' and '.'"
            )
        return self._directory / f"{name}.json"

    def _read_all(self) -> builtins.list[Preset]:
        presets = []
        for path in sorted(self._directory.glob("*.json")):
            with suppress(FileNotFoundError):  # somebody deletes it meanwhile
                try:
                    presets.append(_read(path))
                except StorageError as error:
                    presets.append(Preset(path.stem, 0, note=error.message))
        return presets


async def _look(setting: BenchSetting, wanted: Scalar) -> SettingChange:
    device, name, units = setting.device.id, setting.name, setting.units
    try:
        now = await setting.ask()
    except DaqError as error:
        absent = SettingOutcome.MISSING
        return SettingChange(device, name, wanted, absent, units=units, message=error.message)
    is_same = setting.row.is_at(now, wanted)
    outcome = SettingOutcome.SAME if is_same else SettingOutcome.DIFFERS
    return SettingChange(device, name, wanted, outcome, before=now, units=units)


@dataclasses.dataclass(frozen=True, slots=True)
class _Loader:
    """Who loads a preset."""

    by: str
    claim: Claim
    force: bool

    async def set(self, pair: Wanted, change: SettingChange) -> SettingChange:
        """Set one setting, and say what it reads back."""
        setting, wanted = pair
        if change.outcome is not SettingOutcome.DIFFERS:
            return change
        try:
            after = await setting.apply(wanted, self.by, force=self.force, claim=self.claim)
        except DaqError as error:
            failed = SettingOutcome.FAILED
            return dataclasses.replace(change, outcome=failed, message=error.message)
        return dataclasses.replace(change, outcome=SettingOutcome.CHANGED, after=after)


@contextmanager
def _holding(wanted: Sequence[Wanted], claim: Claim) -> Iterator[None]:
    """What is looked at and changed is nobody else's meanwhile."""
    gates = {setting.device.gate for setting, _ in wanted if setting.device.gate.claim is None}
    for gate in gates:
        gate.take(claim)
    try:
        yield
    finally:
        for gate in gates:
            gate.release(claim)


def _dark_first(seen: Sequence[Seen]) -> builtins.list[Seen]:
    """Light that is on before and after is switched off first and on last.

    A shutter, of a device that has one, else the emission; and only when something else changes.
    """
    differs = SettingOutcome.DIFFERS
    if not any(c.outcome is differs and 1 < step_of(*pair) < 5 for pair, c in seen):
        return [*seen]
    with_shutter = {s.device.id for (s, _), _ in seen if s.is_light and s.name == "shutter"}
    dark: builtins.list[Seen] = []
    for (setting, wanted), change in seen:
        is_gate = setting.name == "shutter" or setting.device.id not in with_shutter
        if setting.is_light and is_gate and wanted is True and change.before is True:
            off = dataclasses.replace(change, wanted=False, outcome=differs)
            on = dataclasses.replace(change, outcome=differs, before=False)
            dark += [((setting, False), off), ((setting, True), on)]
        else:
            dark.append(((setting, wanted), change))
    return dark


def _ids(seen: Sequence[Seen]) -> set[str]:
    return {setting.device.id for (setting, _), _ in seen}


def _read(path: Path) -> Preset:
    document = read_json(path)
    try:
        version = document.get("version", 1)
        if version > _VERSION:
            raise StorageError(
                f"{path} is of version {version}, which a newer daq wrote; this one reads up to "
                f"version {_VERSION}",
                advice="start the newer version, or save the preset anew",
            )
        names = [each.name for each in dataclasses.fields(Preset)]
        preset = Preset(**{name: document[name] for name in names if name in document})
        if not all(isinstance(values, dict) for values in preset.settings.values()):
            raise TypeError("a device has no settings")
    except (TypeError, AttributeError) as error:
        raise StorageError(
            f"{path} is no preset: {error}", advice="repair the file, or delete it"
        ) from error
    return preset
