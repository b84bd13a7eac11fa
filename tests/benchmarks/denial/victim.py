"""The daemon that is attacked, seen from outside: its memory, its guard, its scripts."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from daq.wire.generated import daq as pb
from tests.benchmarks.denial.fallen import write_fall
from tests.system.daemon_process import ROOT, DaemonProcess

__all__ = ["Bystander", "Victim", "attacked"]

LONG = "while True:\n    device('stage').move_abs(5.0)\n    device('stage').move_abs(-5.0)\n"
MIB = 1 << 20


class Victim:
    """A real daemon, and the calls of somebody who is not the attacker."""

    def __init__(self, process: DaemonProcess, channel: grpc.Channel) -> None:
        self.process = process
        self.address = process.address
        self.host, _, port = process.address.rpartition(":")
        self.port = int(port)
        self._channel = channel

    def call(
        self,
        method: str,
        request: Any,
        answer: Any = bytes,
        *,
        timeout: float = 60.0,
        **options: Any,
    ) -> Any:
        """One call; raises grpc.RpcError."""
        data = request if isinstance(request, bytes) else bytes(request)
        service = "" if "." in method else "ControlService/"
        route = f"/daq.{service}{method}".replace("/daq.daq.", "/daq.")
        reply = self._channel.unary_unary(route)(data, timeout=timeout, **options)
        return reply if answer is bytes else answer().parse(reply)

    def start(self, source: str, name: str = "attack.py") -> str:
        """Upload and start; the execution's id. Raises ValueError for a refused script."""
        upload = self.call("UploadScript", pb.UploadRequest(source, name), pb.UploadResponse)
        if not upload.success:
            raise ValueError(upload.error_message)
        started = self.call("StartScript", pb.StartRequest(upload.script_id), pb.StartResponse)
        return str(started.execution_id)

    def status(self, execution_id: str) -> pb.ScriptStatus:
        """How it stands."""
        return self.call("GetScriptStatus", pb.StatusRequest(execution_id), pb.ScriptStatus)

    def wait_ended(self, execution_id: str, timeout: float) -> pb.ScriptStatus:
        """Its last status, or the one after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status(execution_id)
            if status.end_time_ns or time.monotonic() > deadline:
                return status
            time.sleep(0.05)

    def force_stop(self) -> float:
        """Seconds until whatever runs has been stopped by force; 0 when nothing runs."""
        began = time.monotonic()
        try:
            self.call("StopScript", pb.StopRequest(force=True, reason="measured"))
        except grpc.RpcError as error:
            return 0.0 if error.code() is grpc.StatusCode.NOT_FOUND else math.inf
        return time.monotonic() - began

    def memory_mb(self) -> float:
        """Resident, of the daemon's own process."""
        status = Path(f"/proc/{self.process.process.pid}/statm").read_text().split()
        return int(status[1]) * 4096 / MIB

    def guard_acted(self) -> bool:
        """Whether the guard carried out last wills, or the daemon is gone."""
        if self.process.process.poll() is not None:
            return True
        return "last will" in self.process.log or "guard acted" in self.process.log


class Bystander:
    """Another client, in a process of its own."""

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.denial.bystander", address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def take(self) -> tuple[float, int, str]:
        """The worst answer since the last look in seconds, how many there were, what failed."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        worst, asked, failed = self._line().split("\t")
        return float(worst), int(asked), failed

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(90)
        self._process.stdout.close()


@contextmanager
def attacked(directory: Path, *arguments: str) -> Iterator[tuple[Victim, Bystander]]:
    """A daemon on the simulated bench, and the bystander that watches it."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    write_fall(directory / "fall")
    with (
        DaemonProcess(directory, *arguments, python_path=directory / "fall") as process,
        grpc.insecure_channel(process.address, options) as channel,
    ):
        bystander = Bystander(process.address)
        try:
            yield Victim(process, channel), bystander
        finally:
            bystander.end()
