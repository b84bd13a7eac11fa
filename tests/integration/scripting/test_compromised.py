"""A script's process that has fallen entirely: unrestricted Python, with all of the harness in hand.

The zygote is started with a `sitecustomize` that runs each script's text as plain Python, after
the process was confined. Whatever it says or does, only its own execution ends.
"""

# ruff: noqa: E501 - short programs on one line

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from daq.core import Ending, StateError
from daq.scripting import Sandbox, SandboxLimits
from tests.benchmarks.hostile import Heartbeat
from tests.benchmarks.lab import Lab, open_lab

FALLEN = """
from daq.scripting.child import script_process
from daq.core import ScriptCheck

def run(self):
    source, filename, parameters = self._link.receive()
    import ctypes, mmap, os, signal, struct, time
    from daq.scripting.codec import pack
    from daq.scripting.protocol import frame
    sock = self._link._socket
    say = lambda *message: sock.sendall(frame(list(message)))
    hear = self._link.receive
    exec(source, {**globals(), **locals()})

def check(link, job):
    link.receive()
    link.send(script_process.encode_check(ScriptCheck()))

script_process._Runner.run = run
script_process._check = check
"""
HOLD = "\nwhile True: time.sleep(1)"
ENDS = {
    "nothing at all": "pass",
    "exits": "os._exit(7)",
    "claims success": "say('end', 'completed', '', '', 1, None)",
    "claims to be stopped": "say('end', 'stopped', '', '', 1, None)",
    "claims to be killed": "say('end', 'killed', '', '', 1, None)",
    "claims two ends": "say('end', 'failed', 'x', 'x', 1, None); say('end', 'completed', '', '', 1, None)",
    "claims an absurd line": "say('end', 'failed', 'x', 'x', 2**31 - 1, None)",
    "claims a line beyond": "say('end', 'failed', 'x', 'x', 2**40, None)" + HOLD,
    "claims to be unconfined": "say('confined', {'seccomp': 'no'})" + HOLD,
    "claims to be a check": "say('checked', [], [], '')" + HOLD,
    "a length of 4 GB": "sock.sendall(b'\\xff' * 4)" + HOLD,
    "a frame beyond the limit": "sock.sendall(struct.pack('<I', (16 << 20) + 1))" + HOLD,
    "garbage": "sock.sendall(os.urandom(100_000))" + HOLD,
    "zeros": "sock.sendall(bytes(1 << 20))" + HOLD,
    "garbage in a frame": "sock.sendall(struct.pack('<I', 1000) + os.urandom(1000))" + HOLD,
    "an empty frame": "sock.sendall(struct.pack('<I', 0))" + HOLD,
    "a frame that breaks off": "sock.sendall(struct.pack('<I', 1000) + b'x')\nos._exit(0)",
    "deep nesting": "sock.sendall(struct.pack('<I', 1 << 20) + b'\\x91' * (1 << 20))" + HOLD,
    "a list of a billion": "sock.sendall(struct.pack('<I', 5) + b'\\xdd\\x3b\\x9a\\xca\\x00')" + HOLD,
    "an unknown word": "say('launch', 1, False)" + HOLD,
    "a word that is no text": "say(1, 2, 3)" + HOLD,
    "no list": "sock.sendall(frame({'op': 'call'}))" + HOLD,
    "fields missing": "say('call', 1, False)" + HOLD,
    "fields of other types": "say('record', 1, False, 'meter', [], 1)" + HOLD,
    "a sequence below zero": "say('list_devices', -1, False)" + HOLD,
    "a sequence without end": "say('list_devices', 2**60, False)" + HOLD,
    "output of a level of its own": "say('log', 0, False, 'x', 'root', 1)" + HOLD,
    "a forged array": "import msgpack\nsay('record', 1, False, [], {'x': msgpack.ExtType(1, b'\\x03<f8\\x01' + b'\\xff' * 8)}, 'primary', False, {})" + HOLD,
    "an unknown extension": "import msgpack\nsay('record', 1, False, [], {'x': msgpack.ExtType(5, b'')}, 'primary', False, {})" + HOLD,
    "a text of 15 MB as a name": "say('open_run', 1, False, 'x' * (15 << 20), {}, 'process')" + HOLD,
    "output without end": "while True: say('log', 0, False, 'x' * 10**6, 'output', 1)",
    "runs a system call": "ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)",
    "executes": "os.execv('/bin/sh', ['sh'])",
    "executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "kills its parent": "os.kill(os.getppid(), 9)",
    "crashes": "ctypes.string_at(0)",
    "a bus error": "ctypes.memset(1, 0, 1 << 30)",
}  # fmt: skip
"""These end without anybody's help."""
HOLDS = {
    "a frame that never ends": "sock.sendall(struct.pack('<I', 1000) + b'x')" + HOLD,
    "ignores all signals": "for n in (10, 12, 15, 2, 1): signal.signal(n, signal.SIG_IGN)" + HOLD,
    "blocks all signals": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))" + HOLD,
    "never reads": "while True: say('list_devices', 1, False)",
    "asks out of order": "for n in (9, 3, 3, 2**52, 0): say('list_devices', n, False)" + HOLD,
    "claims that it stops": "say('call', 1, True, 'slow_stage', 'move_abs', [1e5])" + HOLD,
    "pauses by itself": "for n in range(100): say('pause', n, False, 3); hear()" + HOLD,
    "hidden operations": "for op in ('__class__', '_touched', 'connect', 'disconnect', '', 'move_abs\\n'):\n    say('call', 1, False, 'slow_stage', op, []); assert hear()[1] != 'ok'" + HOLD,
    "devices that are paths": "for d in ('../x', '', 'stage\\0', '*'):\n    say('describe', 1, False, d); assert hear()[1] != 'ok'" + HOLD,
    "numbers that are none": "nan, inf = float('nan'), float('inf')\nfor v in (nan, inf, -inf, 1e308):\n    say('point', 1, False, {'stage': v}, ['meter'], nan, {}, 'primary', {}); assert hear()[1] != 'ok'\n    say('call', 2, False, 'slow_stage', 'move_abs', [v]); assert hear()[1] != 'ok'" + HOLD,
    "values that are none": "for v in ([], {}, None, [None], [[1], [1, 2]], {'a': {}}):\n    say('record', 1, False, ['meter'], {'x': v}, 'primary', False, {}); hear()" + HOLD,
    "names that are paths": "for n in ('../../x', '/etc/x', '', '.', 'a/b', 'x' * 5000, '\\0', 'µ'):\n    say('open_run', 1, False, n, {}, 'process'); hear()\n    say('record', 2, False, ['meter'], {n: 1}, n, False, {}); hear()\n    say('close_run', 3, False, True, n); hear()" + HOLD,
    "a stream for each event": "for n in range(500): say('record', n, False, ['meter'], {f'c{n}': n}, 'primary', False, {}); hear()" + HOLD,
    "waits without end": "say('join', 1, False, float('inf')); say('join', 2, False, float('nan'))" + HOLD,
    "two calls beside": "say('start', 1, False, 'slow_stage', 'move_abs', [1e5]); hear(); say('start', 2, False, 'slow_stage', 'move_abs', [1]); assert hear()[1] != 'ok' or self._page.control" + HOLD,
    "the page full of ones": "for i in range(len(self._page.words)): self._page.words[i] = 0xFFFFFFFF" + HOLD,
    "takes the stop back": "while True: self._page.control = 0",
    "shrinks the page": "assert ctypes.CDLL(None).ftruncate(self._page._map.fileno() if hasattr(self._page._map, 'fileno') else 5, 0) == -1" + HOLD,
    "forged stacks": "while True:\n    for fd in set(range(3, 12)) - {sock.fileno()}:\n        try: os.write(fd, b'most recent call first\\n  File \"<script>\", line 4000000000 in x\\n')\n        except OSError: pass",
    "all the memory": "x = []\nwhile True:\n    try: x.append(bytearray(1 << 20))\n    except MemoryError: time.sleep(0.01)",
    "all it can open": "for call in (os.pipe, lambda: os.open('/etc/passwd', 0), os.fork, lambda: os.memfd_create('x'), lambda: os.dup(0)):\n    try: call()\n    except OSError: pass\n    else: say('log', 0, False, 'ESCAPED', 'output', 1)" + HOLD,
}  # fmt: skip
"""These have to be ended, and obey nothing but force."""


@pytest.fixture
def fallen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(FALLEN)
    monkeypatch.syspath_prepend(tmp_path)


async def ended(lab: Lab, execution_id: str, name: str) -> str:
    with trio.move_on_after(20):
        return await lab.finish(execution_id)
    return f"{name} did not end"


async def test_whatever_a_fallen_process_says_only_its_own_execution_ends(fallen) -> None:
    problems: list[str] = []
    async with open_lab() as lab, trio.open_nursery() as nursery:
        heartbeat = Heartbeat()
        nursery.start_soon(heartbeat.run)
        for name, source in (ENDS | HOLDS).items():
            execution_id = await lab.submit(source)
            if name in HOLDS:
                await trio.sleep(0.03)
                with trio.fail_after(5):
                    await lab.queue.stop(execution_id, grace_s=0.05)
            state = await ended(lab, execution_id, name)
            record = lab.queue.view(execution_id).record
            expected = {"KILLED"} if name in HOLDS else {"KILLED", "ERROR", "COMPLETED"}
            if state not in expected or not (record.message or state == "COMPLETED"):
                problems.append(f"{name}: {state} {record.message}")
            if name in HOLDS and not record.message.startswith("stop; it had not ended"):
                problems.append(f"{name}: {record.message}")
            if record.line > source.count("\n") + 1:
                problems.append(f"{name}: line {record.line}")
            lines, _ = await lab.queue.output(execution_id)
            if any(line.text == "ESCAPED" for line in lines):
                problems.append(f"{name}: escaped")
        assert lab.sandbox.statistics().restarts == 0
        runs, _ = await lab.storage.list_runs(limit=10_000)
        assert [run.name for run in runs if run.outcome is None] == []
        assert heartbeat.worst_s < 1.0
        nursery.cancel_scope.cancel()
    assert problems == []


# Where the kernel offers less


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A kernel that lacks something, as far as the processes of scripts can tell."""

    def lacking(change: str) -> None:
        text = f"from daq.scripting.child import confinement\n{change}\n"
        (tmp_path / "sitecustomize.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)

    return lacking


NO_LANDLOCK = "confinement._LANDLOCK_CREATE = 1_000_000"
NO_SECCOMP = "confinement.MACHINES.clear()"


async def test_without_landlock_scripts_run_and_it_is_told(kernel, sandbox, bench) -> None:
    kernel(NO_LANDLOCK)
    b = bench()
    async with sandbox() as box:
        layers = box.confinement()
        end = await box.program("print('runs')", "s.py", {}, "e").run(b)
    assert layers["landlock"] == "the kernel has no Landlock"
    assert {layers[name] for name in layers if name != "landlock"} == {"active"}
    assert (end.ending, b.output) == (Ending.COMPLETED, ["runs"])


async def test_without_seccomp_no_script_runs_and_the_reason_is_told(
    kernel, sandbox, bench
) -> None:
    kernel(NO_SECCOMP)
    b = bench()
    async with sandbox() as box:
        assert "no table of system calls" in box.confinement()["seccomp"]
        end = await box.program("print('runs')", "s.py", {}, "e").run(b)
        with pytest.raises(StateError, match=r"seccomp: no table.*allow_unconfined"):
            await box.check("x = 1", "s.py")
    assert (end.ending, b.output) == (Ending.KILLED, [])
    assert "the kernel does not confine scripts here (seccomp: no table" in end.message
    assert "scripts.allow_unconfined" in end.message


async def test_without_seccomp_scripts_run_where_that_was_asked_for(kernel, bench) -> None:
    kernel(f"{NO_SECCOMP}\n{NO_LANDLOCK}")
    b = bench()
    box = Sandbox(SandboxLimits(allow_unconfined=True))
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda *, task_status: box.run(task_status=task_status))
        assert (await box.check("x = 1", "s.py")).accepted
        end = await box.program("print('runs')", "s.py", {}, "e").run(b)
        nursery.cancel_scope.cancel()
    assert (end.ending, b.output) == (Ending.COMPLETED, ["runs"])
