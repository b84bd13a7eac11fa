"""Devices as the daemon keeps them: one task each, polled once, stopped in bounded time."""

from daq.supervision.device import Device
from daq.supervision.restart_policy import RestartPolicy
from daq.supervision.supervisor import Supervisor
from daq.supervision.timing import Timing

__all__ = ["Device", "RestartPolicy", "Supervisor", "Timing"]
