"""The real daemon as a process, and the real command line as another."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
ANNOUNCEMENT = re.compile(r"daq is serving on (\S+)")


class DaemonProcess:
    """`python -m daq serve` on a free port; ends with the `with` block, at the latest."""

    def __init__(self, directory: Path, *arguments: str, python_path: Path | None = None) -> None:
        self.directory = directory
        self.log_path = directory / "daemon.log"
        directory.mkdir(parents=True, exist_ok=True)
        self._log = self.log_path.open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "daq",
                "serve",
                "--port",
                "0",
                "--data-dir",
                directory,
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            text=True,
            env=os.environ | ({"PYTHONPATH": str(python_path)} if python_path else {}),
        )
        line = self.process.stdout.readline()
        match = ANNOUNCEMENT.match(line)
        if match is None:
            self.kill()
            raise AssertionError(f"the daemon did not come up: {line!r}\n{self.log}")
        self.address = match[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"SIGTERM did not end the daemon\n{self.log}") from None
        self._close()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def end(self, number: int = signal.SIGTERM, timeout: float = 20) -> int:
        """Send a signal, wait for the end, return the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(timeout)
        self._close()
        return status

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        self.process.stdout.close()
        self._log.close()

    def client(
        self, *arguments: str | Path, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m daq client ...` against this daemon."""
        return cli("client", "--address", self.address, *arguments, timeout=timeout)

    def json(self, *arguments: str | Path):
        """The same with --json; the answer, parsed. Fails unless the command succeeded."""
        done = cli("client", "--address", self.address, "--json", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def client_process(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """A client command that goes on in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "daq", "client", "--address", self.address, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )


def cli(*arguments: str | Path, timeout: float = 60, **environment: str):
    """Run `python -m daq ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "daq", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
    )
