"""What daq/client/README.md shows is run, in its order, as one program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.system.daemon_process import ROOT, DaemonProcess

README = ROOT / "daq" / "client" / "README.md"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_readme_runs_as_one_program(
    daemon: DaemonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAQ_ADDRESS", daemon.address)
    monkeypatch.chdir(tmp_path)
    text = README.read_text()
    names: dict[str, Any] = {"__name__": "readme"}
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        # Blank lines before it, so that `inspect` finds a function's source in the file itself.
        above = text[: match.start(1)].count("\n")
        exec(compile("\n" * above + match[1], str(README), "exec"), names)
    engine = names["RE"]
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join(5)
    engine.loop.close()
    assert (tmp_path / "by_hand.png").exists()
    assert len(names["found"]) == 1
