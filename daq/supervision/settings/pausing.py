"""What devices do while a program is paused: they may be told something, or refuse the pause.

A device that is told has all its settings noted before and after; what changed is put back before
the program goes on, whatever it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import trio

from daq.core import Capability, DaqError, DeviceError, Scalar, StateError, StopOutcome
from daq.supervision.device.device import Device
from daq.supervision.device.gate import Claim
from daq.supervision.settings.bench_settings import BenchSetting, settings_of, step_of

__all__ = [
    "PauseAction",
    "PauseRule",
    "PausedDevice",
    "hold_devices",
    "refuse_vetoed",
    "restore_devices",
]

logger = logging.getLogger(__name__)

HOLD_S = 5.0
"""What one device gets to do what it does for a pause, and again to be restored."""
ASK_S = 2.0
"""What it gets to tell its settings, before and after."""
_PAUSE, _RESUME = "the pause", "the resume"


class PauseAction(StrEnum):
    """The values are the words of the configuration, `on_pause = "..."`."""

    NOTHING = "nothing"
    STOP = "stop"
    SAFE = "safe"
    CLOSE_SHUTTER = "close_shutter"
    EMISSION_OFF = "emission_off"
    VETO = "veto"

    @property
    def needs(self) -> Capability | None:
        """What a device must offer for it."""
        return _NEEDS.get(self)


_NEEDS: Mapping[PauseAction, Capability] = MappingProxyType(
    {
        PauseAction.CLOSE_SHUTTER: Capability.SHUTTER_CONTROLLABLE,
        PauseAction.EMISSION_OFF: Capability.EMISSION_CONTROLLABLE,
    }
)
_SWITCHED: Mapping[PauseAction, str] = MappingProxyType(
    {PauseAction.CLOSE_SHUTTER: "shutter", PauseAction.EMISSION_OFF: "emission"}
)
"""The one setting that these actions switch off."""


@dataclass(frozen=True, slots=True)
class PauseRule:
    """What a pause means for one device."""

    action: PauseAction = PauseAction.NOTHING
    reason: str = ""
    """Why it refuses, for `veto`."""


Rules = Mapping[str, PauseRule]
Change = tuple[BenchSetting, Scalar]
"""A setting and its value before."""


@dataclass(slots=True)
class PausedDevice:
    """What a pause did to a device."""

    device: Device
    changed: list[Change] = field(default_factory=list)
    """What the pause has changed."""
    problem: str = ""
    """Why it did not do what it was told; empty when it did."""


def refuse_vetoed(devices: Iterable[Device], rules: Rules) -> None:
    """Raise StateError when a device does not allow a pause now, with the reasons of all."""
    reasons = [(device.id, _veto(device, rules)) for device in devices]
    vetoes = [f"by {device_id}: {reason}" for device_id, reason in reasons if reason]
    if vetoes:
        raise StateError(
            f"the pause was refused {'; '.join(vetoes)}",
            advice="stop the execution instead, or pause it later",
        )


def _veto(device: Device, rules: Rules) -> str:
    rule = rules.get(device.id, PauseRule())
    if rule.action is PauseAction.VETO:
        return rule.reason or 'the configuration says on_pause = "veto"'
    return device.pause_veto()


async def hold_devices(
    devices: Iterable[Device], rules: Rules, claim: Claim
) -> tuple[PausedDevice, ...]:
    """Tell each device what its rule says, all at once; what fails is told, not raised."""
    held: list[PausedDevice] = []
    async with trio.open_nursery() as nursery:
        for device in devices:
            action = rules.get(device.id, PauseRule()).action
            if action is not PauseAction.NOTHING:
                held.append(
                    PausedDevice(device, problem=f"{device.id} did not answer within {HOLD_S:g} s")
                )
                nursery.start_soon(_hold, held[-1], action, claim)
    return tuple(held)


async def restore_devices(held: Iterable[PausedDevice], claim: Claim) -> tuple[str, ...]:
    """Bring the devices back to how they were, the light last; says what was put back.

    Raises DaqError for the first setting that does not read back as it was; the caller holds the
    devices again then.
    """
    changed = [each for one in held for each in one.changed]
    said: list[str] = []
    for setting, value in sorted(changed, key=lambda each: step_of(*each)):
        what = f"{setting.device.id} {setting.name}"
        with trio.move_on_after(HOLD_S) as scope:
            now = await setting.apply(value, _RESUME, claim=claim)
        if scope.cancelled_caught:
            raise StateError(f"{what} was not restored within {HOLD_S:g} s")
        if not setting.is_at(now, value):
            was, found = setting.in_words(value), setting.in_words(now)
            raise DeviceError(f"{what} was not restored: it was {was}, and is {found}")
        said.append(f"{what} {setting.in_words(value)}")
    return tuple(said)


async def _hold(held: PausedDevice, action: PauseAction, claim: Claim) -> None:
    """Note, act, compare. It acts whatever becomes of the notes: safety comes before restoring."""
    device = held.device
    unknown: list[str] = []
    if action is not PauseAction.STOP:
        held.changed, unknown = await _note(device, action)
    with trio.move_on_after(HOLD_S):
        try:
            held.problem = await _act(device, action, claim, held.changed)
        except DaqError as error:
            held.problem = error.message
    if unknown and not held.problem:
        held.problem = f"what cannot be asked is not put back: {'; '.join(unknown)}"
    held.changed = await _changed(held.changed)
    if held.problem:
        logger.error("on_pause = %s: %s", action.value, held.problem)


async def _note(device: Device, action: PauseAction) -> tuple[list[Change], list[str]]:
    """What it is set to before anything is done, and why something could not be asked."""
    known: list[Change] = []
    unknown: list[str] = []
    with trio.move_on_after(ASK_S) as scope:
        for setting in _concerned(device, action):
            try:
                known.append((setting, await setting.ask()))
            except DaqError as error:
                unknown.append(error.message)
    if scope.cancelled_caught:
        unknown.append(f"{device.id} did not answer within {ASK_S:g} s")
    return known, unknown


async def _changed(before: list[Change]) -> list[Change]:
    """Without those that are still as they were; what cannot be asked counts as changed."""
    still: list[Change] = []
    with trio.move_on_after(ASK_S):
        for setting, value in before:
            with suppress(DaqError):
                if setting.is_at(await setting.ask(), value):
                    still.append((setting, value))
    return [change for change in before if change not in still]


def _concerned(device: Device, action: PauseAction) -> list[BenchSetting]:
    switched = _SWITCHED.get(action)
    return [setting for setting in settings_of(device) if switched in (None, setting.name)]


async def _act(device: Device, action: PauseAction, claim: Claim, before: Iterable[Change]) -> str:
    """Do it; returns what went wrong."""
    if action in _SWITCHED:
        off = [setting for setting, value in before if not value]
        for setting in _concerned(device, action):
            if setting not in off:
                await setting.apply(False, _PAUSE, claim=claim)
        return ""
    safe = action is PauseAction.SAFE
    stop = await device.stop(timeout=HOLD_S, safe=safe, by=_PAUSE)
    done = stop.outcome in (StopOutcome.STOPPED, StopOutcome.IDLE)
    return "" if done else f"{device.id}: {stop.outcome}: {stop.message}"
