"""Conformance kits: what every implementer of a contract runs in its tests."""

from daq.testing.driver_kit import ConformanceError, check_driver

__all__ = ["ConformanceError", "check_driver"]
