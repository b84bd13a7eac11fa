# ruff: noqa: I001 - one import for each module
from .limits import SandboxLimits as SandboxLimits
from .parent.sandbox import Sandbox as Sandbox, SandboxStatistics as SandboxStatistics
