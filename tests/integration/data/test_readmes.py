"""What the READMEs of the data plane show works as it stands there."""

from __future__ import annotations

import re
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest
import trio

import daq
from daq.bus import ring_layout
from daq.bus.ring import RingWriter
from daq.config import parse_config
from daq.core import Column, Event, Measurement, RunOutcome, RunStart, RunStop
from daq.storage.files.compression import compression_filters
from tests.integration.data.test_flight import in_thread, serving

HOUSE = Path(daq.__file__).parent
BUS = (HOUSE / "bus" / "README.md").read_text(encoding="utf-8")
STORAGE = (HOUSE / "storage" / "README.md").read_text(encoding="utf-8")


def snippets(text: str, beginning: str) -> list[str]:
    """The indented blocks that begin so."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    plain = [textwrap.dedent(block).strip() for block in blocks]
    return [block for block in plain if block.startswith(beginning)]


def test_the_readers_example_prints_what_was_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = snippets(BUS, "from daq.bus.ring")
    with RingWriter(Path("daq-data/ring"), 1 << 16) as ring:
        ring.write(Measurement("stage", np.arange(1), np.array([1.5]), "mm", 4))
        exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("stage 4 [1.5] mm\nRingStatistics(delivered=1")


@pytest.mark.parametrize("text", [*snippets(BUS, "["), *snippets(STORAGE, "[")])
def test_configurations_are_read(text):
    assert tomllib.loads(text)
    config = parse_config(text, None)
    compression_filters(config.storage.compression)


def test_the_layout_is_the_one_that_is_written():
    assert "2101248  data" in BUS
    assert ring_layout.DATA_OFFSET == 2101248
    offsets = {
        "tail": ring_layout.TAIL, "head": ring_layout.HEAD, "slots": ring_layout.CHANNELS,
        "capacity of": ring_layout.CAPACITY,
    }  # fmt: skip
    for word, index in offsets.items():
        assert re.search(rf"^\| {index * 8} \| \**{word}", BUS, re.MULTILINE), word


async def test_the_file_and_flight_examples_read_a_run(tmp_path, capsys):
    (h5py_code,) = snippets(STORAGE, "import h5py")
    (flight_code,) = snippets(STORAGE, "import pyarrow.flight")
    stage = Column("stage", "mm", "<f8", (), "stage", "positioner")
    async with serving(tmp_path) as served:
        run = await served.storage.open_run(RunStart("abc", "knife_edge", 1))
        await run.append(Event("primary", 0, 1, (stage,), {"stage": 0.5}, {}))
        summary = await run.close(RunStop(RunOutcome.COMPLETED, 2))
        exec(h5py_code, {"path": summary.path})
        names = {"address": served.address}
        await in_thread(lambda: exec(flight_code, names))
        await trio.lowlevel.checkpoint()
    assert capsys.readouterr().out == "[0.5] mm\n"
    assert names["frame"]["stage"].tolist() == [0.5]
