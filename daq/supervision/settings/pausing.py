"""What devices do while a program is paused: they may be told something, or refuse the pause.

How a device was is noted before anything is done to it, from what the daemon knows already, so that
nothing waits for the note. Before the program goes on, whatever differs is put back and read back.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import trio

from daq.core import (
    BusyError,
    DaqError,
    DeviceError,
    Scalar,
    StateError,
    StopOutcome,
)
from daq.supervision.device.device import Device
from daq.supervision.device.gate import Claim
from daq.supervision.settings.bench_settings import BenchSetting, settings_of, step_of

__all__ = [
    "PauseAction",
    "PauseRule",
    "PausedDevice",
    "PausedDevices",
    "refuse_vetoed",
]

logger = logging.getLogger(__name__)

HOLD_S = 5.0
"""What one device gets to do what it does for a pause, and again to be restored."""
ASK_S = 0.2
"""What it gets to tell a setting that the daemon does not know, before it is made safe."""
RETRY_S = 0.05
"""How soon a device that was busy is told again."""
_PAUSE, _RESUME = "the pause", "the resume"


class PauseAction(StrEnum):
    """What a device may do; the values are words of the configuration, `on_pause = "..."`."""

    NOTHING = "nothing"
    STOP = "stop"
    SAFE = "safe"
    OFF = "off"
    """One parameter is switched off; the configuration has the word of its row."""
    VETO = "veto"


@dataclass(frozen=True, slots=True)
class PauseRule:
    """What a pause means for one device."""

    action: PauseAction = PauseAction.NOTHING
    reason: str = ""
    """Why it refuses, for `veto`."""
    parameter: str = ""
    """The one that is switched off, for `OFF`."""

    def __str__(self) -> str:
        return f"{self.parameter} off" if self.parameter else self.action.value


Rules = Mapping[str, PauseRule]
_PROTECTING = (PauseAction.STOP, PauseAction.OFF, PauseAction.SAFE)
"""From the least to the most that is done."""


@dataclass(slots=True)
class PausedDevice:
    """What a pause, or an interlock that pauses, does to a device, and how it was before."""

    device: Device
    rule: PauseRule
    before: dict[BenchSetting, Scalar] = field(default_factory=dict)
    """As noted; what is not in it is not known."""
    unknown: list[BenchSetting] = field(default_factory=list)
    """To be asked before anything is done, if that is quick."""
    is_off: set[BenchSetting] = field(default_factory=set)
    """What was asked just now and need not be switched off."""
    is_told: bool = False
    problem: str = ""
    """Why it did not do what it was told; empty when it did."""

    def note(self, rule: PauseRule) -> None:
        """Write down what `rule` may change, as far as the daemon knows it; asks nobody."""
        if _PROTECTING.index(rule.action) > _PROTECTING.index(self.rule.action):
            self.rule, self.is_told = rule, False
        known = self.device.known_settings()
        for setting in _concerned(self.device, self.rule):
            if setting in self.before or setting in self.unknown:
                continue
            if (value := setting.known(known)) is not None:
                self.before[setting] = value
            elif setting.name != "position":  # that of a stage that moves is not worth keeping
                self.unknown.append(setting)


class PausedDevices:
    """The devices that one pause has told something, from the pause to the resume.

    Args:
        claim: Of the program that is paused.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._paused: dict[str, PausedDevice] = {}

    def __bool__(self) -> bool:
        return bool(self._paused)

    def note(self, device: Device, rule: PauseRule) -> None:
        """Write down how a device is, before it is told as `rule` says; the first note counts."""
        if rule.action in _PROTECTING:
            paused = self._paused.setdefault(device.id, PausedDevice(device, rule))
            paused.note(rule)

    async def tell(self) -> tuple[PausedDevice, ...]:
        """Tell those that were not yet told, all at once; what fails is told, not raised."""
        news = [paused for paused in self._paused.values() if not paused.is_told]
        async with trio.open_nursery() as nursery:
            for paused in news:
                paused.is_told = True
                paused.problem = f"{paused.device.id} did not answer within {HOLD_S:g} s"
                nursery.start_soon(self._tell, paused)
        return tuple(news)

    async def tell_again(self) -> None:
        """A resume was broken off: what it has put back must not stay so."""
        for paused in self._paused.values():
            paused.is_told = False
            paused.is_off.clear()
        await self.tell()

    async def restore(self) -> tuple[str, ...]:
        """Bring the devices back to how they were, the light last; says what was put back.

        Raises DaqError for the first setting that is not, or cannot be known to be, as it was; the
        caller tells the devices again then.
        """
        wanted = [pair for paused in self._paused.values() for pair in paused.before.items()]
        wanted.sort(key=lambda pair: step_of(*pair))
        said: list[str] = []
        for setting, value in wanted:
            if await _in_time(setting, setting.ask, value):
                continue
            await _in_time(setting, partial(self._put_back, setting, value), value)
            said.append(f"{setting} {setting.row.in_words(value)}")
        # What came later may have changed what was put back before it.
        for setting, value in wanted if said else ():
            await _require_as_it_was(setting, value)
        return tuple(said)

    def forget(self) -> None:
        """All are as they were."""
        self._paused.clear()

    async def _put_back(self, setting: BenchSetting, value: Scalar) -> Scalar:
        now = await setting.apply(value, _RESUME, claim=self._claim)
        if not setting.row.is_at(now, value):
            raise _not_restored(setting, value, now)
        return now

    async def _tell(self, paused: PausedDevice) -> None:
        """It acts whatever becomes of the notes: safety comes before restoring."""
        device = paused.device
        unknown = await _ask(paused)
        with trio.move_on_after(HOLD_S):
            try:
                paused.problem = await self._act(paused)
            except DaqError as error:
                paused.problem = error.message
        if unknown and not paused.problem:
            paused.problem = f"what cannot be asked is not put back: {'; '.join(unknown)}"
        if paused.problem:
            logger.error("%s: on_pause = %s: %s", device.id, paused.rule, paused.problem)

    async def _act(self, paused: PausedDevice) -> str:
        """Do it; returns what went wrong."""
        if paused.rule.action is PauseAction.OFF:
            for setting in _concerned(paused.device, paused.rule):
                if setting not in paused.is_off:  # what is only remembered is not trusted here
                    await self._switch_off(setting)
            return ""
        safe = paused.rule.action is PauseAction.SAFE
        stop = await paused.device.stop(timeout=HOLD_S, safe=safe, by=_PAUSE)
        done = stop.outcome in (StopOutcome.STOPPED, StopOutcome.IDLE)
        return "" if done else f"{paused.device.id}: {stop.outcome}: {stop.message}"

    async def _switch_off(self, setting: BenchSetting) -> None:
        """As soon as the command that is in progress lets it."""
        off = setting.row.off
        while off is not None:
            try:
                await setting.apply(off, _PAUSE, claim=self._claim)
            except BusyError:
                await trio.sleep(RETRY_S)
            else:
                return


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


async def _ask(paused: PausedDevice) -> list[str]:
    """Note what was not known, where it is quick; says why something could not be asked."""
    failed: list[str] = []
    asked, paused.unknown = paused.unknown, []
    with trio.move_on_after(ASK_S) as scope:
        for setting in asked:
            try:
                paused.before[setting] = value = await setting.ask()
                if value == setting.row.off:
                    paused.is_off.add(setting)
            except DaqError as error:
                failed.append(error.message)
    if scope.cancelled_caught:
        late = ", ".join(s.name for s in asked if s not in paused.before)
        failed.append(f"{paused.device.id} did not tell its {late} within {ASK_S:g} s")
    return failed


async def _in_time(
    setting: BenchSetting, step: Callable[[], Awaitable[Scalar]], wanted: Scalar
) -> bool:
    """Whether a setting is as wanted after a step that ends in bounded time."""
    with trio.move_on_after(HOLD_S):
        return setting.row.is_at(await step(), wanted)
    raise StateError(f"{setting} was not restored within {HOLD_S:g} s")


async def _require_as_it_was(setting: BenchSetting, value: Scalar) -> None:
    now = await setting.ask()
    if not setting.row.is_at(now, value):
        raise _not_restored(setting, value, now)


def _not_restored(setting: BenchSetting, value: Scalar, now: Scalar) -> DeviceError:
    was, found = setting.row.in_words(value), setting.row.in_words(now)
    return DeviceError(f"{setting} was not restored: it was {was}, and is {found}")


def _concerned(device: Device, rule: PauseRule) -> list[BenchSetting]:
    if rule.action is PauseAction.STOP:
        return []
    return [each for each in settings_of(device) if rule.parameter in ("", each.name)]
