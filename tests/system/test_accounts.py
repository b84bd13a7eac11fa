"""Who calls: the daemon's user, another account of this machine, and one with a token."""

from __future__ import annotations

import os
import pwd
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daq.wire.generated import daq as pb
from tests.benchmarks.denial.rude import HEADERS, Rude

from .daemon_process import DaemonProcess

OTHER = "nobody"
TOKEN = "0123456789abcdef-nobody"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="another account is only for root to become"
)


@contextmanager
def another_account() -> Iterator[None]:
    """What is opened inside of this belongs to another user of the machine."""
    os.seteuid(pwd.getpwnam(OTHER).pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


def called(daemon: DaemonProcess, path: str, request: bytes = b"", token: str = "") -> str:
    """What a call is refused with; empty when it is answered."""
    with Rude(int(daemon.address.rpartition(":")[2])) as peer:
        headers = [(name, path if name == ":path" else value) for name, value in HEADERS]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        peer.h2.send_headers(1, headers)
        peer.h2.send_data(1, struct.pack(">?I", False, len(request)) + request, end_stream=True)
        peer.flush()
        return peer.words(20.0)


LIST, MOVE = "/daq.HardwareService/ListDevices", "/daq.HardwareService/MoveAbsolute"
STOP = "/daq.HardwareService/StopMotion"
TO_ONE, THE_STAGE = bytes(pb.MoveRequest("stage", 1.0)), bytes(pb.StopMotionRequest("stage"))


def test_another_account_is_told_how_to_get_in_and_can_read_nothing(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        assert called(daemon, LIST) == ""  # its own user, without a token
        with another_account():
            words = called(daemon, LIST)
        assert words == (
            "the daemon belongs to root, and the call comes from nobody, "
            "another user of this machine"
        )
        ours = [daemon.directory, *daemon.directory.rglob("*")]
        open_to_others = [
            path
            for path in ours
            if path != daemon.log_path and stat.S_IMODE(path.stat().st_mode) & 0o077
        ]
        assert open_to_others == []


def test_with_a_token_another_account_may_what_its_role_allows(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[wall]\ntoken = "{TOKEN}"\nrole = "read-only"\n')
    tokens.chmod(0o600)
    (tmp_path / "lab.toml").write_text(
        '[server]\ntoken_file = "tokens.toml"\n[devices.stage]\ndriver = "simulated.stage"\n'
    )
    with DaemonProcess(tmp_path / "data", "--config", str(tmp_path / "lab.toml")) as daemon:
        assert called(daemon, MOVE, TO_ONE) == ""  # its own user still needs none
        with another_account():
            assert "asks for a token" in called(daemon, LIST)
            assert called(daemon, LIST, token=TOKEN) == ""
            refused = called(daemon, MOVE, TO_ONE, TOKEN)
            assert refused == "wall may only read, and MoveAbsolute does more"
            assert called(daemon, STOP, THE_STAGE, TOKEN) == ""
