"""A bench without hardware: six drivers over one physical model, and faults on request.

`bench.toml` beside this file is the bench that the daemon brings up without a configuration.
"""

from daq.drivers.simulated.bench import Beam, Bench, Focus, Light
from daq.drivers.simulated.camera import SimulatedCamera
from daq.drivers.simulated.digitizer import SimulatedDigitizer
from daq.drivers.simulated.laser import SimulatedLaser
from daq.drivers.simulated.link import Fault
from daq.drivers.simulated.power_meter import SimulatedPowerMeter
from daq.drivers.simulated.stage import SimulatedRotator, SimulatedStage

__all__ = [
    "Beam",
    "Bench",
    "Fault",
    "Focus",
    "Light",
    "SimulatedCamera",
    "SimulatedDigitizer",
    "SimulatedLaser",
    "SimulatedPowerMeter",
    "SimulatedRotator",
    "SimulatedStage",
]
