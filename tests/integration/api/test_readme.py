"""The example and the table of proto/README.md, held to what they say."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import trio

from daq.wire.status import STATUS_OF_KIND
from tests.integration.api.harness import serving

README = Path(__file__).parents[3] / "proto" / "README.md"


async def test_the_example_works_as_it_is_printed(tmp_path, stubs):
    example = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL).group(1)
    (tmp_path / "example.py").write_text(example)
    async with serving(tmp_path / "data") as served:
        command = [sys.executable, str(tmp_path / "example.py"), served.address]
        done = await trio.run_process(
            command, capture_stdout=True, env={"PYTHONPATH": str(stubs.folder)}
        )
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("camera ready ")
    assert re.fullmatch(r"-?0\.\d{3} mm  .* W", lines[-4])
    assert lines[-1].startswith("OUT_OF_RANGE limit stage: position 1000 mm is outside the limits")


def test_the_table_of_errors_is_that_of_the_code():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([A-Z_]+) \|", README.read_text(), re.MULTILINE)
    table = {kind: status for kinds, status in rows for kind in re.findall(r"`(\w+)`", kinds)}
    assert table == {kind: status.name for kind, status in STATUS_OF_KIND.items()}
