"""One real daemon on the simulated bench for all of these tests, and a connection to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from daq.client import Bench, connect
from daq.client.bench.progress import display_for_terminal
from tests.system.daemon_process import DaemonProcess


@pytest.fixture(autouse=True)
def plain_asyncio() -> Iterator[None]:
    """The client runs on asyncio itself, not on the loop that trio-asyncio installs."""
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    yield
    asyncio.set_event_loop_policy(None)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("client") / "data") as process:
        yield process


@pytest.fixture(scope="module")
def shared(daemon: DaemonProcess) -> Iterator[Bench]:
    with connect(daemon.address, user="ada") as bench:
        yield bench


@pytest.fixture
def bench(shared: Bench) -> Bench:
    """The shared connection, with the stage and the display as they were at first."""
    shared.display = display_for_terminal
    shared.motor("stage").position = 0.0
    return shared


@pytest.fixture
def free_address() -> Iterator[str]:
    """An address on which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"
