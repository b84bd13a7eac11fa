"""The other side of the shipped descriptions, each with what is awkward about it.

Like all simulators they know nothing of what talks to them.
"""

from daq.simulators.described.keithley_2400 import Keithley2400Simulator
from daq.simulators.described.lakeshore_335 import LakeShore335Simulator
from daq.simulators.described.linkam_t95 import LinkamT95Simulator
from daq.simulators.described.rigol_ds1000z import RigolScopeSimulator
from daq.simulators.described.serial_board import SerialBoardSimulator
from daq.simulators.described.stanford_sr830 import Sr830Simulator
from daq.simulators.described.thyracont_smartline import SmartlineSimulator

__all__ = [
    "Keithley2400Simulator",
    "LakeShore335Simulator",
    "LinkamT95Simulator",
    "RigolScopeSimulator",
    "SerialBoardSimulator",
    "SmartlineSimulator",
    "Sr830Simulator",
]
