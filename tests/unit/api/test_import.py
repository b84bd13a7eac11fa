"""What the import of the API does to the process that imports it: nothing."""

from __future__ import annotations

import subprocess
import sys

IMPORTS = """
import asyncio, sys
from asyncio import events
policy = asyncio.get_event_loop_policy()
names = [name for name in dir(events) if name.endswith(("_loop", "_policy"))]
before = {name: getattr(events, name) for name in names}
import daq.api, daq.api.flight.flight, daq.storage.memory, daq.cli.main, daq.daemon
assert asyncio.get_event_loop_policy() is policy
assert {name: getattr(events, name) for name in names} == before
assert "trio_asyncio" not in sys.modules
async def main():
    return type(asyncio.get_running_loop()).__module__
print(asyncio.run(main()))
"""


def test_asyncio_is_as_it_was_for_whoever_shares_the_process():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "asyncio.unix_events"
