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
from daq.config.structure import (
    Number,
    Positive,
    Rule,
    Seconds,
    Texts,
    Words,
    expected_of,
    key,
    read_model,
)
from daq.config.toml_file import KeyPath, Mistakes, Table, located, parse_toml, read_text

__all__ = [
    "Config",
    "DeviceConfig",
    "GuardConfig",
    "InterlockConfig",
    "KeyPath",
    "Mistakes",
    "Number",
    "Positive",
    "RingConfig",
    "Rule",
    "ScriptsConfig",
    "Seconds",
    "ServerConfig",
    "StorageConfig",
    "Table",
    "Texts",
    "UserConfig",
    "Words",
    "expected_of",
    "key",
    "load_config",
    "load_users",
    "located",
    "parse_config",
    "parse_toml",
    "read_model",
    "read_text",
]
