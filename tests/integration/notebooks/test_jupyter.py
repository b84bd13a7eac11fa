"""The notebooks and the extension, in a process of their own.

Jupyter's client leaves a loop, threads and sockets behind in the process that uses it, and there a
Ctrl-C that another test presses does not reach the thread that waits.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.daemon_process import ROOT

LIMIT_S = 300


@pytest.mark.parametrize("checks", ["kernel_checks", "notebook_checks"])
def test_in_a_process_of_its_own(checks: str) -> None:
    path = Path(__file__).with_name(f"{checks}.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
