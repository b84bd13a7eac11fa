from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from daq.cli import local_daemon as module
from daq.cli.local_daemon import ended_by_signals, local_daemon
from daq.core import CommunicationError


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make the command that starts a daemon run this Python text instead."""

    def install(body: str) -> None:
        path = tmp_path / "python"
        path.write_text(
            f"#!{sys.executable}\nimport os, signal, sys, time\n{body}\n", encoding="utf-8"
        )
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return install


SERVING = """
open(sys.argv[sys.argv.index('--data-dir') + 1] + '/pid', 'w').write(str(os.getpid()))
print('daq is serving on 127.0.0.1:4711', flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_daemon_lives_as_long_as_the_block(tmp_path: Path, pretend) -> None:
    pretend(SERVING + "time.sleep(60)")

    async def use() -> int:
        async with local_daemon(tmp_path / "data") as address:
            assert address == "127.0.0.1:4711"
            pid = int((tmp_path / "data" / "pid").read_text())
            assert is_alive(pid)
        return pid

    assert not is_alive(asyncio.run(use()))


def test_the_daemon_ends_when_the_block_fails(tmp_path: Path, pretend) -> None:
    pretend(SERVING + "time.sleep(60)")

    async def use() -> None:
        async with local_daemon(tmp_path):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(use())
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_daemon_that_ignores_sigterm_is_killed(
    tmp_path: Path, pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend("signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SERVING + "time.sleep(60)")
    monkeypatch.setattr(module, "STOP_TIMEOUT", 0.2)

    async def use() -> None:
        async with local_daemon(tmp_path):
            pass

    asyncio.run(use())
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_sigterm_ends_the_daemon_too(tmp_path: Path, pretend) -> None:
    pretend(SERVING + "time.sleep(60)")

    async def use() -> None:
        with ended_by_signals():
            async with local_daemon(tmp_path):
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(use())
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_daemon_that_does_not_come_up_shows_the_end_of_its_log(tmp_path: Path, pretend) -> None:
    pretend("print('stage: no such port', file=sys.stderr); sys.exit(1)")

    async def use() -> None:
        async with local_daemon(tmp_path):
            raise AssertionError

    with pytest.raises(CommunicationError) as caught:
        asyncio.run(use())
    assert caught.value.message == (
        "the daemon ended with exit status 1 before it was ready; its log ends with\n"
        "  stage: no such port"
    )
    assert caught.value.advice == f"the whole log is in {tmp_path / 'daemon.log'}"


def test_a_daemon_that_is_never_ready_is_ended(
    tmp_path: Path, pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(SERVING.replace("print", "pass; (lambda *a, **k: None)") + "time.sleep(60)")
    monkeypatch.setattr(module, "START_TIMEOUT", 1.0)

    async def use() -> None:
        async with local_daemon(tmp_path):
            raise AssertionError

    with pytest.raises(CommunicationError, match="was not ready within 1 s"):
        asyncio.run(use())
    assert not is_alive(int((tmp_path / "pid").read_text()))
