"""Executions and runs: the queue, the run engine and the record that they leave."""

from daq.experiment.control import ExecutionControl, StopOrder
from daq.experiment.execution import Execution
from daq.experiment.execution_state import TRANSITIONS, Lifecycle
from daq.experiment.interlocked import InterlockedPrograms
from daq.experiment.live_run import LiveRun
from daq.experiment.manual_run import ManualRuns
from daq.experiment.provenance import Provenance, software_versions
from daq.experiment.queue import ExecutionQueue
from daq.experiment.run_engine import RunEngine

__all__ = [
    "TRANSITIONS",
    "Execution",
    "ExecutionControl",
    "ExecutionQueue",
    "InterlockedPrograms",
    "Lifecycle",
    "LiveRun",
    "ManualRuns",
    "Provenance",
    "RunEngine",
    "StopOrder",
    "software_versions",
]
