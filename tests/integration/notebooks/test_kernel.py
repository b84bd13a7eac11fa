"""The extension in a real kernel: magics, errors, and an interrupt in the middle of a scan."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from daq.client import Bench, connect
from tests.system.daemon_process import ROOT, DaemonProcess

pytestmark = pytest.mark.filterwarnings("ignore")

CELL_S = 60
PREPARATION = """
%reload_ext daq.client.jupyter
from daq.client import connect
bench = connect()
"""


@dataclass
class Outcome:
    """What a cell gave."""

    status: str
    error: str = ""
    traceback: str = ""
    text: str = ""
    """What it printed, and the plain form of what it displayed."""
    markup: list[str] = field(default_factory=list)
    images: int = 0


class Kernel:
    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(kernel_name="python3")

    def run(self, code: str, meanwhile: Callable[[Outcome], object] = lambda _: None) -> Outcome:
        outcome = Outcome("")

        def collect(message: dict[str, Any]) -> None:
            content = message["content"]
            outcome.text += content.get("text", "")
            data = content.get("data", {})
            outcome.text += data.get("text/plain", "")
            outcome.markup += [data["text/html"]] if "text/html" in data else []
            outcome.images += "image/png" in data
            outcome.traceback += "\n".join(content.get("traceback", ()))
            meanwhile(outcome)

        reply = self.client.execute_interactive(code, timeout=CELL_S, output_hook=collect)
        outcome.status = reply["content"]["status"]
        outcome.error = reply["content"].get("evalue", "")
        return outcome

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def shared(daemon: DaemonProcess) -> Iterator[Kernel]:
    kernel = Kernel()
    try:
        yield kernel
    finally:
        kernel.close()


@pytest.fixture
def kernel(shared: Kernel) -> Kernel:
    """The shared kernel with the extension loaded and a connection called `bench`."""
    ready = shared.run(PREPARATION)
    assert ready.status == "ok", ready
    return shared


@pytest.fixture(scope="module")
def bench(daemon: DaemonProcess) -> Iterator[Bench]:
    with connect(daemon.address) as bench:
        yield bench


def test_the_magics_open_a_connection_by_themselves(kernel: Kernel, bench: Bench) -> None:
    kernel.run("bench.close()\ndel bench")
    assert kernel.run("%mov stage 1 rotator 2").text.count("\n") == 2
    assert bench.motor("stage").position == pytest.approx(1.0, abs=0.01)
    assert kernel.run("%movr rotator -0.5").text.startswith("rotator: 1.")
    assert bench.motor("rotator").position == pytest.approx(1.5, abs=0.01)
    where = kernel.run("%wa stage")
    assert "[-10, 10]" in where.text
    assert "<table>" in where.markup[0]
    assert "power_meter:" in kernel.run("%ct").text
    assert "stage: idle" in kernel.run("%stop stage").text


def test_an_error_is_read_without_the_inside_of_the_client(kernel: Kernel) -> None:
    outcome = kernel.run("x = 1\n%mov stage 1000\n")
    assert outcome.status == "error"
    assert "1000 mm is outside the limits" in outcome.error
    assert "LimitError" in outcome.markup[0]
    assert "%mov stage 1000" in outcome.traceback or "'mov'" in outcome.traceback
    assert "portal.py" not in outcome.traceback


@pytest.mark.parametrize(
    ("magic", "complaint"),
    [
        ("%mov stage", "pairs"),
        ("%mov stage one", "'one' is no number"),
        ("%mov power_meter 1", "Movable capability"),
        ("%ct nothing", "no device 'nothing'"),
        ("%%daq points\npass", "no parameter"),
        ("%%daq --loud\npass", "no option --loud"),
        ("%%daq depth=2\ndef main(points: int = 1):\n    pass", "depth"),
    ],
)
def test_what_cannot_be_meant_is_said(kernel: Kernel, magic: str, complaint: str) -> None:
    outcome = kernel.run(magic)
    assert outcome.status == "error"
    assert complaint in outcome.error


def test_a_cell_runs_as_a_script_with_line_progress_and_picture(kernel: Kernel) -> None:
    outcome = kernel.run(
        "%%daq points=4\n"
        "def main(points: int = 2):\n"
        '    columns = scan(["power_meter"], "stage", -1, 1, points)\n'
        '    print("measured")\n'
        '    return len(columns["stage"])\n'
    )
    assert outcome.status == "ok"
    assert "measured" in outcome.text
    assert outcome.text.endswith("4")
    assert outcome.images >= 1
    assert any("COMPLETED" in markup for markup in outcome.markup)
    assert any("line 3" in markup for markup in outcome.markup)


def test_an_error_of_a_script_names_the_line_of_the_cell(kernel: Kernel) -> None:
    outcome = kernel.run('%%daq\ndef main():\n    device("stage").move_abs(1e6)\n')
    assert outcome.status == "error"
    assert "outside the limits" in outcome.error
    assert "line 3" in outcome.traceback
    refused = kernel.run("%%daq\nimport os\n")
    assert refused.status == "error"
    assert "line 2" in refused.error


def test_an_interrupt_stops_the_scan_and_leaves_a_usable_kernel(
    kernel: Kernel, bench: Bench
) -> None:
    interrupted: list[bool] = []

    def interrupt_when_it_runs(outcome: Outcome) -> None:
        if outcome.images and not interrupted:
            interrupted.append(True)
            kernel.manager.interrupt_kernel()

    outcome = kernel.run(
        'bench.scan([bench["power_meter"]], bench["stage"], -5, 5, 2000, name="long")',
        interrupt_when_it_runs,
    )
    assert outcome.status == "error"
    assert "KeyboardInterrupt" in outcome.traceback
    assert any("STOPPED" in markup for markup in outcome.markup)
    run = bench.runs[-1]
    assert run.name == "long"
    assert str(run.summary.outcome) == "stopped"
    bench.motor("stage").wait_settled(30)
    assert not bench.motor("stage").is_moving
    assert kernel.run("%mov stage 0").status == "ok"
    assert bench.motor("stage").position == pytest.approx(0.0, abs=0.01)


def test_an_interrupt_of_a_move_stops_all_that_move(kernel: Kernel, bench: Bench) -> None:
    stage, rotator = bench.motor("stage"), bench.motor("rotator")
    before = stage.parameters.velocity, rotator.parameters.velocity
    stage.parameters.velocity, rotator.parameters.velocity = 0.1, 1.0

    def interrupt_when_they_move() -> None:
        for motor in (stage, rotator):
            while not motor.is_moving:
                time.sleep(0.01)
        kernel.manager.interrupt_kernel()

    watcher = threading.Thread(target=interrupt_when_they_move, daemon=True)
    watcher.start()
    try:
        outcome = kernel.run("%mov stage 9 rotator 300")
        assert "KeyboardInterrupt" in outcome.traceback
        assert stage.wait_settled(30) < 8
        assert rotator.wait_settled(30) < 290
        assert not stage.is_moving
        assert not rotator.is_moving
    finally:
        watcher.join(30)
        stage.parameters.velocity, rotator.parameters.velocity = before


def test_a_panel_moves_and_shows(kernel: Kernel, bench: Bench) -> None:
    outcome = kernel.run(
        "from daq.client.jupyter import jog, readout\n"
        "bench['stage'].position = 0\n"
        "with jog(bench['stage'], 0.5) as panel, readout(bench['power_meter']) as reading:\n"
        "    panel.forth.click()\n"
        "    import time\n"
        "    until = time.monotonic() + 30\n"
        "    while bench['stage'].position < 0.49 and time.monotonic() < until:\n"
        "        time.sleep(0.01)\n"
        "    panel.target.value = 99\n"
        "    panel.go.click()\n"
        "    while not panel.message.value and time.monotonic() < until:\n"
        "        time.sleep(0.01)\n"
        "    reading.read.click()\n"
        "print(panel.message.value, reading.value.value)\n"
    )
    assert outcome.status == "ok", outcome.error
    assert "outside the limits" in outcome.text
    assert "W</span>" in outcome.text
    assert bench.motor("stage").position == pytest.approx(0.5, abs=0.01)


def test_waveforms_and_images_are_drawn_as_they_come(kernel: Kernel) -> None:
    outcome = kernel.run(
        "%%daq\n"
        "def main():\n"
        '    with open_run("shots"):\n'
        "        for _ in range(12):\n"
        '            record("digitizer", "camera")\n'
        "            sleep(0.1)\n"
    )
    assert outcome.status == "ok", outcome.error
    assert outcome.images >= 2
    outcome = kernel.run(
        "from daq.client.jupyter import live_plot\n"
        'with live_plot(bench["digitizer"], bench["power_meter"]) as picture:\n'
        "    picture.wait_points(4)\n"
    )
    assert outcome.status == "ok", outcome.error
    assert outcome.images >= 1


def test_what_the_readme_shows_runs(kernel: Kernel) -> None:
    text = (ROOT / "daq" / "client" / "jupyter" / "README.md").read_text()
    cells = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(cells) > 5
    for cell in cells:
        outcome = kernel.run(cell)
        assert outcome.status == "ok", f"{cell}\n{outcome.error}"


def test_unloaded_errors_are_as_ipython_shows_them(kernel: Kernel) -> None:
    kernel.run("%unload_ext daq.client.jupyter\nfrom daq.core import DaqError")
    outcome = kernel.run("raise DaqError('as it is')")
    assert outcome.status == "error"
    assert outcome.markup == []
