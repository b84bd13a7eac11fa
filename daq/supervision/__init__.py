"""Devices as the daemon keeps them: one task each, polled once, stopped in bounded time."""

from daq.supervision.device.debts import Debts
from daq.supervision.device.device import Device
from daq.supervision.device.gate import Claim, Gate
from daq.supervision.device.out_of_use import OutOfUse
from daq.supervision.device.reference import ReferencePolicy, References
from daq.supervision.device.restart_policy import RestartPolicy
from daq.supervision.device.timing import Timing
from daq.supervision.guard.aftermath import carry_out_what_is_left
from daq.supervision.guard.guard import Guard, GuardStatistics
from daq.supervision.hangup import reload_on_hangup
from daq.supervision.interlocks.interlocks import Interlocks, InterlockTarget
from daq.supervision.interlocks.memory import InterlockMemory
from daq.supervision.json_file import set_aside_in
from daq.supervision.reloading import Reloader, ReloadReport
from daq.supervision.settings.pausing import (
    PauseAction,
    PausedDevice,
    PausedDevices,
    PauseRule,
    refuse_vetoed,
)
from daq.supervision.settings.presets import Presets
from daq.supervision.settings.safety_settings import InterlockSettings, SafetySettings, read_safety
from daq.supervision.supervisor import Supervisor

__all__ = [
    "Claim",
    "Debts",
    "Device",
    "Gate",
    "Guard",
    "GuardStatistics",
    "InterlockMemory",
    "InterlockSettings",
    "InterlockTarget",
    "Interlocks",
    "OutOfUse",
    "PauseAction",
    "PauseRule",
    "PausedDevice",
    "PausedDevices",
    "Presets",
    "ReferencePolicy",
    "References",
    "ReloadReport",
    "Reloader",
    "RestartPolicy",
    "SafetySettings",
    "Supervisor",
    "Timing",
    "carry_out_what_is_left",
    "read_safety",
    "refuse_vetoed",
    "reload_on_hangup",
    "set_aside_in",
]
