"""Where a run comes from: who and what is behind it, and everything that is noted when it opens."""

from __future__ import annotations

import platform
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

import trio

import daq
from daq.core import DeviceDescription, RunStart, Scalar, require_small
from daq.core.values import plain_mapping
from daq.supervision import Device, Supervisor

__all__ = ["Provenance", "software_versions"]

SETTINGS_TIMEOUT_S = 2.0
METADATA_ITEMS = 10_000
METADATA_CHARACTERS = 4 << 20
METADATA_DEPTH = 32
METADATA_NUMBERS = 100_000
"""Metadata are read whole wherever a run is shown: in lists, in its file, in its documents."""
NAME_CHARACTERS = 1000


@cache
def software_versions() -> dict[str, str]:
    """What a run's record says about the software that made it.

    Looked up once: it reads files, and the event loop waits for them.
    """
    names = ("numpy", "h5py", "trio", "grpclib", "RestrictedPython")
    return {
        "daq": daq.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a run comes from: the execution and the script behind it, or a person alone."""

    user: str = ""
    execution_id: str = ""
    script_id: str = ""
    script_name: str = ""
    script_source: str = ""
    script_sha256: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    async def start_of_run(
        self,
        supervisor: Supervisor,
        *,
        name: str,
        metadata: Mapping[str, Any],
        now_ns: int,
        durability: str,
    ) -> RunStart:
        """Everything that is known of a run that opens now, all devices' settings included.

        Raises OverloadError for a name or metadata that are too large, ParameterError for what
        cannot be kept.
        """
        require_small(
            metadata,
            "the metadata of a run",
            items=METADATA_ITEMS,
            characters=METADATA_CHARACTERS,
            depth=METADATA_DEPTH,
            numbers=METADATA_NUMBERS,
        )
        known = plain_mapping(metadata)
        require_small(name, "the name of a run", items=0, characters=NAME_CHARACTERS, depth=0)
        return RunStart(
            run_id=uuid.uuid4().hex,
            name=name,
            started_ns=now_ns,
            user=self.user,
            metadata=known,
            execution_id=self.execution_id,
            script_id=self.script_id,
            script_name=self.script_name,
            script_source=self.script_source,
            script_sha256=self.script_sha256,
            parameters=self.parameters,
            devices=(settings := await _settings(supervisor)),
            units={
                device.id: units
                for device in supervisor.devices()
                if (units := _units(device.description, settings.get(device.id, {})))
            },
            versions=software_versions(),
            host=socket.gethostname(),
            durability=durability,
        )


async def _settings(supervisor: Supervisor) -> dict[str, Mapping[str, Scalar]]:
    """Every device's settings; one that does not answer in time is left out, not waited for."""
    settings: dict[str, Mapping[str, Scalar]] = {}

    async def ask(device: Device) -> None:
        with trio.move_on_after(SETTINGS_TIMEOUT_S):
            settings[device.id] = await device.settings()

    async with trio.open_nursery() as nursery:
        for device in supervisor.devices():
            nursery.start_soon(ask, device)
    return dict(sorted(settings.items()))


def _units(description: DeviceDescription, settings: Mapping[str, Scalar]) -> dict[str, str]:
    """The units of those settings that have some."""
    known = {row.setpoint: row.units for row in description.parameters}
    known |= {row.name: row.units for row in description.parameters}
    known |= {"position": description.units, "reading": description.reading_channel.units}
    return {name: known[name] for name in settings if known.get(name)}
