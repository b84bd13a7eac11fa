"""Scripts' processes that have fallen entirely: unrestricted Python with the harness in hand.

The daemon under attack starts its scripts' processes with a `sitecustomize` by which a script that
begins with `FALLEN` runs as plain Python, after the process was confined.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["FALLEN", "HOSTILE_FRAMES", "write_fall"]

FALLEN = "# fallen\n"

_FALL = f"""
import sys

class Heard:
    def __init__(self, message, link):
        self._message, self._link = message, link
    def receive(self):
        self.receive = self._link.receive
        return self._message
    def __getattr__(self, name):
        return getattr(self._link, name)

def fall():
    from daq.core import ScriptCheck
    from daq.scripting.child import script_process
    honest_run, honest_check = script_process._Runner.run, script_process._check

    def run(self):
        import os, struct, time
        message = self._link.receive()
        if not message[0].startswith({FALLEN!r}):
            self._link = Heard(message, self._link)
            return honest_run(self)
        from daq.scripting.protocol import frame
        sock = self._link._socket
        send = lambda data: sock.sendall(struct.pack("<I", len(data)) + data)
        say = lambda *words: sock.sendall(frame(list(words)))
        exec(message[0], {{**globals(), **locals()}})
        while True:
            time.sleep(1)

    def check(link, job):
        message = link.receive()
        if not message.startswith({FALLEN!r}):
            return honest_check(Heard(message, link), job)
        link.send(script_process.encode_check(ScriptCheck()))

    script_process._Runner.run, script_process._check = run, check

if "daq.scripting.child" in sys.orig_argv:
    fall()
"""

HOSTILE_FRAMES: Mapping[str, str] = {
    "15 million empty lists": "send(b'\\xdd\\x00\\xe4\\xe1\\xc0' + b'\\x90' * 15_000_000)",
    "15 million empty lists, by 65,000": (
        "send(b'\\xdc\\x00\\xe6' + (b'\\xdc\\xff\\x00' + b'\\x90' * 0xff00) * 230)"
    ),
    "15 million empty maps in a record": (
        "send(b'\\x96\\xa6record\\x01\\xc2\\x90\\x81\\xa1x\\xdd\\x00\\xe4\\xe1\\xc0'"
        " + b'\\x80' * 15_000_000)"
    ),
    "lists 16 million deep": "send(b'\\x91' * 16_000_000)",
    "90,000 items in each message, for ever": (
        "while True:\n    say('record', 1, False, ['power_meter'], {'x': [[0]] * 45_000},"
        " 'primary', False, {})"
    ),
    "questions for ever, answers unread": "while True:\n    say('list_devices', 1, False)",
    "15 MB of zeros for ever": "while True:\n    sock.sendall(bytes(15_000_000))",
}


def write_fall(directory: Path) -> None:
    """Put what makes scripts fall into a directory for PYTHONPATH."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sitecustomize.py").write_text(_FALL)
