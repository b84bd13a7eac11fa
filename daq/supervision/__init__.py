"""Devices as the daemon keeps them: one task each, polled once, stopped in bounded time."""

from daq.supervision.device import Device
from daq.supervision.gate import Claim, Gate
from daq.supervision.guard import Guard, GuardStatistics
from daq.supervision.hangup import reload_on_hangup
from daq.supervision.interlocks import Interlocks, Programs
from daq.supervision.out_of_use import OutOfUse
from daq.supervision.pausing import (
    Held,
    PauseAction,
    PauseRule,
    hold_devices,
    refuse_vetoed,
    restore_devices,
)
from daq.supervision.presets import Presets
from daq.supervision.reloading import Reloader, ReloadReport
from daq.supervision.restart_policy import RestartPolicy
from daq.supervision.safety_settings import InterlockSettings, SafetySettings, read_safety
from daq.supervision.supervisor import Supervisor
from daq.supervision.timing import Timing

__all__ = [
    "Claim",
    "Device",
    "Gate",
    "Guard",
    "GuardStatistics",
    "Held",
    "InterlockSettings",
    "Interlocks",
    "OutOfUse",
    "PauseAction",
    "PauseRule",
    "Presets",
    "Programs",
    "ReloadReport",
    "Reloader",
    "RestartPolicy",
    "SafetySettings",
    "Supervisor",
    "Timing",
    "hold_devices",
    "read_safety",
    "refuse_vetoed",
    "reload_on_hangup",
    "restore_devices",
]
