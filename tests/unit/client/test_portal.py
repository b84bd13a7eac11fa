"""The synchronous layer against a daemon of canned answers."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest

from daq.client import AsyncClient, Credentials, Status, connect
from daq.client.blocking.call import Action
from daq.client.blocking.portal import Portal
from daq.client.blocking.status import MotionProgress
from daq.core import CommunicationError, ConfigurationError, DeviceError, StateError
from daq.wire.generated import daq as pb
from tests.unit.client.fake_daemon import FakeDaemon


@pytest.fixture
def daemon():
    async def never(_request: object) -> pb.MoveResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async def endless(_request: object):
        while True:
            for sequence in range(100):
                yield pb.DataPoint("stage", 1.0, sequence=sequence)
            await asyncio.sleep(0)

    answers = {
        "GetDaemonInfo": lambda r: pb.DaemonInfoResponse("0.1.0"),
        "MoveAbsolute": never,
        "StopMotion": lambda r: pb.StopMotionResponse(True, outcome="stopped"),
        "StreamMeasurements": endless,
    }
    with FakeDaemon(answers) as fake:
        yield fake


@pytest.fixture
def portal(daemon: FakeDaemon):
    portal = Portal(lambda: AsyncClient(daemon.address))
    yield portal
    portal.close()


def version(portal: Portal) -> str:
    return portal.call(lambda client: client.info()).version


def test_a_call_blocks_and_answers(portal: Portal) -> None:
    assert repr(portal) == "<Portal not used yet>"
    assert version(portal) == "0.1.0"
    assert repr(portal) == "<Portal open>"


def test_it_works_inside_of_a_running_loop(portal: Portal) -> None:
    async def notebook() -> str:
        return version(portal)

    assert asyncio.run(notebook()) == "0.1.0"


def test_a_client_that_cannot_be_opened_says_why_instead_of_waiting(tmp_path: Path) -> None:
    gone = Credentials(certificate_authority=tmp_path / "gone.pem")
    with pytest.raises(ConfigurationError, match=r"gone\.pem"):
        connect("127.0.0.1:1", credentials=gone)
    assert not [t for t in threading.enumerate() if t.name == "daq client"]


def test_its_own_thread_is_not_made_to_wait_for_itself(portal: Portal) -> None:
    async def nested(_client: AsyncClient) -> str:
        return version(portal)

    with pytest.raises(StateError, match="cannot wait for itself"):
        portal.call(nested)


def test_closing_ends_the_thread_and_what_is_under_way(portal: Portal) -> None:
    call = portal.start(lambda client: client.devices.move_abs("stage", 1.0))
    assert version(portal) == "0.1.0"
    portal.close()
    assert isinstance(call.future.exception(5), asyncio.CancelledError)
    assert not [t for t in threading.enumerate() if t.name == "daq client"]
    with pytest.raises(CommunicationError, match="was closed"):
        version(portal)


def test_a_portal_that_is_forgotten_closes_itself(daemon: FakeDaemon) -> None:
    portal = Portal(lambda: AsyncClient(daemon.address))
    version(portal)
    (thread,) = [t for t in threading.enumerate() if t.name == "daq client"]
    del portal
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_a_stream_that_nobody_reads_holds_a_bounded_number_of_items(portal: Portal) -> None:
    stream = portal.stream(lambda client: client.streams.measurements(), depth=10)
    with stream:
        first = next(stream)
        for _ in range(50):
            assert len(stream._pump._items) <= 10
            next(stream)
    assert first.channel == "stage"
    assert list(stream) == []


def test_callbacks_that_raise_are_logged_and_the_others_called(
    portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    status: Status[float] = Status(
        portal,
        portal.start(lambda client: client.devices.move_abs("stage", 1.0)),
        "stage: the move",
    )
    done = threading.Event()

    def fail(_status: object) -> None:
        raise ValueError("a callback's own fault")

    status.add_callback(fail)
    status.add_callback(lambda _status: done.set())
    with caplog.at_level(logging.ERROR, "daq.client.blocking.portal"):
        status.cancel()
        assert done.wait(5)
    assert "a callback's own fault" in caplog.text
    assert isinstance(status.exception(), DeviceError)
    assert repr(status).endswith("failed: " + str(status.exception()) + ")")


@pytest.fixture
def restarted_waits() -> Iterator[None]:
    """Signals as the handlers of some libraries have them: a wait goes on where it was."""
    signal.siginterrupt(signal.SIGINT, False)
    yield
    signal.siginterrupt(signal.SIGINT, True)


def wait_for_a_call(portal: Portal, action: Action[float]) -> None:
    portal.call(action)


def wait_for_a_status(portal: Portal, action: Action[float]) -> None:
    Status(portal, portal.start(action), "stage: the move").wait()


def wait_for_an_item(portal: Portal, action: Action[float]) -> None:
    async def items(client: AsyncClient) -> AsyncGenerator[float, None]:
        yield await action(client)

    with portal.stream(items) as stream:
        next(stream)


@pytest.mark.usefixtures("restarted_waits")
@pytest.mark.parametrize("wait", [wait_for_a_call, wait_for_a_status, wait_for_an_item])
def test_ctrl_c_is_heard_also_where_interrupted_waits_are_restarted(
    portal: Portal, wait: Callable[[Portal, Action[float]], None]
) -> None:
    begun = threading.Event()

    async def move(client: AsyncClient) -> float:
        begun.set()
        return await client.devices.move_abs("stage", 1.0)

    def press() -> None:
        assert begun.wait(10)
        time.sleep(0.1)  # so that it waits; what is late is heard in any case
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        wait(portal, move)
    presser.join()


def test_watching_a_motion_ends_quietly_when_the_device_is_lost(portal: Portal) -> None:
    def positions() -> Iterator[float]:
        yield 0.5
        raise DeviceError("stage: unplugged")

    call = portal.start(lambda client: client.devices.move_abs("stage", 1.0))
    progress = MotionProgress("stage", "mm", positions, target=1.0)
    status: Status[float] = Status(portal, call, "stage: the move", progress)
    states: queue.Queue[dict[str, object]] = queue.Queue()
    status.watch(lambda **state: states.put(state))
    assert states.get(timeout=5)["target"] == 1.0
    for watching in [t for t in threading.enumerate() if t.name == "daq watch"]:
        watching.join(5)
        assert not watching.is_alive()
    assert not status.done


def test_a_stream_that_is_forgotten_ends_at_the_daemon_too(
    portal: Portal, daemon: FakeDaemon
) -> None:
    stream = portal.stream(lambda client: client.streams.measurements(), depth=2)
    next(stream)
    del stream
    gc.collect()
    assert daemon.stream_ended.wait(5)
    assert daemon.cancelled == ["StreamMeasurements"]
