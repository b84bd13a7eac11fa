"""The built-in plans: scans as functions of the script language."""

from daq.scripting.child.plans.paths import linspace
from daq.scripting.child.plans.plans import Plans

__all__ = ["Plans", "linspace"]
