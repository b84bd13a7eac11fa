"""Instruments that speak their real protocol, at the other end of a pty, a TCP port or a loopback.

Not drivers: what drivers talk to. Protocol and mechanics have no I/O and follow a clock that they
are given; `outlet.py` plugs them in.
"""

from daq.simulators.ell14 import Ell14Bus
from daq.simulators.esp300 import Esp300Simulator
from daq.simulators.faults import FAULT_KINDS, Fault, Faults, parse_fault
from daq.simulators.instrument import SimulatedInstrument
from daq.simulators.maitai import MaiTaiSimulator
from daq.simulators.meter_1830c import Meter1830cSimulator
from daq.simulators.outlet import LoopbackOutlet, Outlet, PtyOutlet, TcpOutlet, run_schedule

__all__ = [
    "FAULT_KINDS",
    "Ell14Bus",
    "Esp300Simulator",
    "Fault",
    "Faults",
    "LoopbackOutlet",
    "MaiTaiSimulator",
    "Meter1830cSimulator",
    "Outlet",
    "PtyOutlet",
    "SimulatedInstrument",
    "TcpOutlet",
    "parse_fault",
    "run_schedule",
]
