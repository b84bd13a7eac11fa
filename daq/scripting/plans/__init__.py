"""The built-in plans: scans as functions of the script language."""

from daq.scripting.plans.host import Columns, PlanHost
from daq.scripting.plans.paths import linspace
from daq.scripting.plans.plans import Plans

__all__ = ["Columns", "PlanHost", "Plans", "linspace"]
