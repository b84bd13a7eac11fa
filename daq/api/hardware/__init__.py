"""HardwareService: the devices over gRPC, a module for each group of capabilities."""

from daq.api.hardware.hardware_service import HardwareService

__all__ = ["HardwareService"]
