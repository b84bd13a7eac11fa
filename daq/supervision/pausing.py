"""What devices do while a program is paused: they may be told something, or refuse the pause."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import trio

from daq.core import Capability, DaqError, StateError, StopOutcome
from daq.supervision.device import Device
from daq.supervision.gate import Claim

__all__ = ["Held", "PauseAction", "PauseRule", "hold_devices", "refuse_vetoed", "restore_devices"]

logger = logging.getLogger(__name__)

HOLD_S = 5.0
"""What one device gets to do what it does for a pause, and again to be restored."""


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


@dataclass(frozen=True, slots=True)
class PauseRule:
    """What a pause means for one device."""

    action: PauseAction = PauseAction.NOTHING
    reason: str = ""
    """Why it refuses, for `veto`."""


Rules = Mapping[str, PauseRule]


@dataclass(frozen=True, slots=True)
class Held:
    """A device as it was when the pause came."""

    device: Device
    was_open: bool = False
    was_emitting: bool = False
    problem: str = ""
    """Why it did not do what it was told; empty when it did."""


def refuse_vetoed(devices: Iterable[Device], rules: Rules) -> None:
    """Raise StateError when a device does not allow a pause, with its reason."""
    for device in devices:
        rule = rules.get(device.id, PauseRule())
        if rule.action is PauseAction.VETO:
            raise StateError(
                f"{device.id} refuses to be paused: {rule.reason or 'it has a veto'}",
                advice="stop the execution instead; the veto is on_pause in the configuration",
            )


async def hold_devices(devices: Iterable[Device], rules: Rules, claim: Claim) -> tuple[Held, ...]:
    """Tell each device what its rule says, all at once; what fails is told, not raised."""
    held: list[Held] = []

    async def hold(device: Device, action: PauseAction) -> None:
        held.append(await _hold(device, action, claim))

    async with trio.open_nursery() as nursery:
        for device in devices:
            action = rules.get(device.id, PauseRule()).action
            if action is not PauseAction.NOTHING:
                nursery.start_soon(hold, device, action)
    return tuple(held)


async def restore_devices(held: Iterable[Held], claim: Claim) -> None:
    """Bring the devices back to how they were, verified by reading back.

    Raises DaqError for the first that cannot be; the caller holds them again then.
    """
    for each in held:
        with trio.move_on_after(HOLD_S) as scope:
            if each.was_emitting:
                await each.device.call("emission", True, by="the resume", claim=claim)
            if each.was_open:
                await each.device.call("open", by="the resume", claim=claim)
        if scope.cancelled_caught:
            raise StateError(f"{each.device.id} was not restored within {HOLD_S:g} s")


async def _hold(device: Device, action: PauseAction, claim: Claim) -> Held:
    was: dict[str, bool] = {}
    problem = f"did not answer within {HOLD_S:g} s"
    with trio.move_on_after(HOLD_S):
        try:
            await _note(device, action, was)
            problem = await _ACTIONS[action](device, claim, was)
        except DaqError as error:
            problem = error.message
    if problem:
        logger.error("%s: on_pause = %s failed: %s", device.id, action.value, problem)
    return Held(device, was.get("open", False), was.get("emitting", False), problem)


async def _note(device: Device, action: PauseAction, was: dict[str, bool]) -> None:
    """How it is before anything is done, so that it can be put back."""
    offered = device.description.capabilities
    if Capability.EMISSION_CONTROLLABLE in offered and action in _SWITCHES_EMISSION:
        was["emitting"] = bool(await device.call("emission"))
    if Capability.SHUTTER_CONTROLLABLE in offered and action in _MOVES_SHUTTER:
        was["open"] = bool(await device.call("is_open"))


_SWITCHES_EMISSION = frozenset({PauseAction.EMISSION_OFF, PauseAction.SAFE})
_MOVES_SHUTTER = frozenset({PauseAction.CLOSE_SHUTTER, PauseAction.SAFE})


async def _stop(device: Device, _claim: Claim, _was: dict[str, bool]) -> str:
    return await _stopped(device, safe=False)


async def _make_safe(device: Device, _claim: Claim, _was: dict[str, bool]) -> str:
    return await _stopped(device, safe=True)


async def _stopped(device: Device, *, safe: bool) -> str:
    stop = await device.stop(timeout=HOLD_S, safe=safe, by="the pause")
    done = stop.outcome in (StopOutcome.STOPPED, StopOutcome.IDLE)
    return "" if done else f"{stop.outcome}: {stop.message}"


async def _close_shutter(device: Device, claim: Claim, was: dict[str, bool]) -> str:
    if was["open"]:
        await device.call("close", by="the pause", claim=claim)
    return ""


async def _switch_off(device: Device, claim: Claim, was: dict[str, bool]) -> str:
    if was["emitting"]:
        await device.call("emission", False, by="the pause", claim=claim)
    return ""


_ACTIONS: Mapping[PauseAction, Callable[[Device, Claim, dict[str, bool]], Awaitable[str]]] = (
    MappingProxyType(
        {
            PauseAction.STOP: _stop,
            PauseAction.SAFE: _make_safe,
            PauseAction.CLOSE_SHUTTER: _close_shutter,
            PauseAction.EMISSION_OFF: _switch_off,
        }
    )
)
