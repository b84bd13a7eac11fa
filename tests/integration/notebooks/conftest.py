"""A daemon on the simulated bench, and Jupyter kernels that find it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from daq.client import connect
from tests.system.daemon_process import ROOT, DaemonProcess


@pytest.fixture(scope="module", autouse=True)
def plain_asyncio() -> Iterator[None]:
    """Jupyter's client runs on asyncio itself, not on the loop that trio-asyncio installs.

    For the whole module, as kernels live that long: a loop of trio-asyncio that Jupyter made in the
    main thread would keep Trio's handler of SIGINT in place, and Ctrl-C would reach nobody there.
    """
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    yield
    asyncio.set_event_loop_policy(None)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """On a bench that somebody used: dark, crossed, at the end of its way."""
    with DaemonProcess(tmp_path_factory.mktemp("notebooks") / "data") as process:
        with connect(process.address) as bench:
            bench.laser("laser").close()
            bench.motor("rotator").position = 90
            bench.motor("stage").position = -9
        yield process


@pytest.fixture(scope="module", autouse=True)
def kernel_environment(
    daemon: DaemonProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """What a kernel inherits: where the daemon is, and nobody's own settings of IPython."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAQ_ADDRESS", daemon.address)
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setenv("PYTHONPATH", str(ROOT))
        yield
