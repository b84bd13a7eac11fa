"""`python -m daq.testing FILE [DEVICE]...`: drivers and their contracts, on the instruments."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import trio

from daq.config import DeviceConfig, load_config
from daq.core import ConfigurationError, DaqError
from daq.drivers import Driver, DriverContext, build_drivers
from daq.testing.driver_subject import Subject
from daq.testing.report import print_report
from daq.transport import open_serial_loop


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("devices", nargs=-1)
@click.option("--timeout", default=60.0, show_default=True, help="Of one check, s.")
@click.option("--yes", is_flag=True, help="Do not ask whether the instruments may move.")
def main(file: Path, devices: tuple[str, ...], timeout: float, yes: bool) -> None:
    """Try every contract of the drivers of DEVICES, or of all, in the configuration FILE.

    They are connected, read, moved to positions within their limits, opened, exposed, and stopped
    and cancelled half way. No daemon may have them open. Exit status 1 when a contract is broken.

    Raises:
        ClickException: A contract is broken.
        ConfigurationError: The file has mistakes.
    """
    try:
        known = load_config(file).devices
        if missing := set(devices) - known.keys():
            raise ConfigurationError(
                f"there is no device {', '.join(sorted(missing))}; there are {', '.join(known)}"
            )
        chosen = [known[device_id] for device_id in devices or known]
        if not yes:
            names = ", ".join(device.id for device in chosen)
            click.confirm(f"{names}: may they move and emit within their limits?", abort=True)
        passed = trio.run(_check_all, chosen, timeout)
    except DaqError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if passed else 1)


async def _check_all(devices: Sequence[DeviceConfig], timeout: float) -> bool:
    passed = True
    async with open_serial_loop():
        for device in devices:
            make = partial(_build, device)
            subject = Subject(make, device.options, device.id, device.driver)
            passed &= await print_report(subject, timeout)
    return passed


def _build(device: DeviceConfig, context: DriverContext) -> Driver:
    configured = {device.id: replace(device, options=context.options)}
    drivers, failures = build_drivers(configured, context.timebase, context.shared)
    if failures:
        raise ConfigurationError(failures[device.id])
    return drivers[device.id]


if __name__ == "__main__":
    main()
