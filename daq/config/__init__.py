"""Configuration: TOML in, frozen models out. Nobody else reads files or environment settings.

A mistake is reported with the file, the line, what stands there and what was expected.
"""

from daq.config.loading import load_config, load_users, parse_config
from daq.config.models import (
    Config,
    DeviceConfig,
    GuardConfig,
    InterlockConfig,
    RingConfig,
    ScriptsConfig,
    ServerConfig,
    StorageConfig,
    UserConfig,
)

__all__ = [
    "Config",
    "DeviceConfig",
    "GuardConfig",
    "InterlockConfig",
    "RingConfig",
    "ScriptsConfig",
    "ServerConfig",
    "StorageConfig",
    "UserConfig",
    "load_config",
    "load_users",
    "parse_config",
]
