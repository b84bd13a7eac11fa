"""What somebody may try, by kind: each a function that attacks and returns what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import grpc

from daq.wire.generated import daq as pb
from tests.benchmarks.denial.fallen import FALLEN, HOSTILE_FRAMES
from tests.benchmarks.denial.rude import FLOOD_S, Rude
from tests.benchmarks.denial.victim import LONG, Victim

__all__ = ["ATTACKS", "Attack"]

PATIENCE_S = 20.0
"""What an attack of a script may go on before it is stopped by force."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One of the table."""

    name: str
    perform: Callable[[Victim], str]
    """Returns what the offender got."""
    beside_script: bool = True
    """An innocent script runs meanwhile, and is stopped by force at the end."""


# ---------------------------------------------------------------------------------------- scripts

SCRIPTS: Mapping[str, str] = {
    "record of one device 20,000 times": "record(*['power_meter'] * 20000)",
    "record of 20,000 devices": "record(*[f'd{i}' for i in range(20000)])",
    "500 columns": "record('power_meter', **{f'c{i}': i for i in range(500)})",
    "2,000 columns": "record('power_meter', **{f'c{i}': i for i in range(2000)})",
    "20,000 columns": "record('power_meter', **{f'c{i}': i for i in range(20000)})",
    "10,000 columns, for ever": (
        "k = 0\nwhile True:\n    k = k + 1\n"
        "    record('power_meter', **{f'c{i}': i + k for i in range(10000)})"
    ),
    "a value of 240,000 items, for ever": (
        "y = [[]] * 80000\nwhile True:\n    try:\n        record('power_meter', x=[y, y, y])\n"
        "    except Exception as e:\n        error = e\n        print(repr(e)[:200])\n"
    ),
    "90,000 values in nested lists, for ever": (
        "y = [[0]] * 45000\nwhile True:\n    try:\n        record('power_meter', x=y)\n"
        "    except Exception as e:\n        error = e\n"
    ),
    "metadata of 240,000 items": (
        "y = [[]] * 80000\nwith open_run('x', a=[y, y, y]):\n    record('power_meter')"
    ),
    "metadata of 90,000 items": (
        "with open_run('x', a=[[i] for i in range(45000)]):\n    record('power_meter')"
    ),
    "metadata of 2,000 keys and 3 MB": (
        "m = {'k' + str(i): 'x' * 1500 for i in range(2000)}\n"
        "with open_run('x', **m):\n    record('power_meter')"
    ),
    "metadata of 15 MB": "with open_run('x', a='m' * 15000000):\n    record('power_meter')",
    "metadata 40 deep": (
        "x = 1\nfor i in range(40):\n    x = [x]\nwith open_run('x', a=x):\n    pass"
    ),
    "a call with 240,000 items": "y = [[]] * 80000\ndevice('stage').move_abs([y, y, y])",
    "a result of 240,000 items": "def main():\n    y = [[]] * 80000\n    return [y, y, y]",
    "a device's name of 1 MB": "device('x' * 1000000)",
    "main with 3,000 parameters": (
        "def main(" + ", ".join(f"p{i}=1" for i in range(3000)) + "):\n    pass"
    ),
    "a default 150 deep": "def main(a=" + "[" * 150 + "]" * 150 + "):\n    pass",
    "100 mistakes on a line of 100 KB": "; ".join(["import os"] * 9000),
}


def run_script(source: str, victim: Victim) -> str:
    """Run it for a while; a script that goes on is stopped by the harness."""
    try:
        execution = victim.start(source)
    except ValueError as error:
        return f"refused at upload ({len(str(error))} characters): {error}"
    status = victim.wait_ended(execution, 3.0)
    return f"{status.state}: {status.error_message}"


# --------------------------------------------------------------------------------------- requests


def called(victim: Victim, method: str, request: object, **options: object) -> str:
    """The status and words of a call."""
    began = time.monotonic()
    try:
        answer = victim.call(method, request, **options)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return f"answered in {time.monotonic() - began:.2f} s with {len(answer)} bytes"


def entries(count: int, number: int = 3) -> bytes:
    """`count` entries of a map of texts, as they travel."""
    content = b"".join(b"\x0a\x04%04x\x12\x01x" % (i & 0xFFFF) for i in range(256))
    one = b"".join(bytes([number << 3 | 2, 9]) + content[9 * i : 9 * i + 9] for i in range(256))
    return one * (count // 256)


JSON_BOMB = ("[" + ",".join(["[]"] * 400_000) + "]").encode()


def text_entry(number: int, key: bytes, value: bytes) -> bytes:
    """One entry of a map with a long text."""

    def varint(value: int) -> bytes:
        out = b""
        while value > 127:
            out += bytes([value & 127 | 128])
            value >>= 7
        return out + bytes([value])

    content = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(value)) + value
    return bytes([number << 3 | 2]) + varint(len(content)) + content


REQUESTS: Mapping[str, tuple[str, bytes]] = {
    "20 MB of metadata": ("UploadScript", b"\x0a\x01x" + entries(1_800_000)),
    "metadata in one text of 20 MB": (
        "UploadScript", b"\x0a\x01x" + text_entry(3, b"k", b"x" * 20_000_000),
    ),
    "a script of 20 MB": ("UploadScript", bytes(pb.UploadRequest("x = 1\n" * 3_500_000))),
    "parameters of 20 MB": ("StartScript", b"\x0a\x01x" + entries(1_800_000, 2)),
    "5,000,000 fields that nobody knows": ("GetDaemonInfo", b"\xf8\x3f\x01" * 5_000_000),
    "2,000,000 names of channels": ("GetScriptStatus", b"\x0a\x01x" * 2_000_000),
    "metadata of a run, 400,000 lists as JSON": (
        "daq.RunService/StartRun", b"\x0a\x01x" + text_entry(2, b"k", JSON_BOMB),
    ),
    "a point of 400,000 lists as JSON": (
        "daq.RunService/RecordPoint", text_entry(3, b"k", JSON_BOMB),
    ),
    "a list 100,000 deep as JSON": (
        "daq.RunService/StartRun", text_entry(2, b"k", b"[" * 100_000),
    ),
}  # fmt: skip


def request(method: str, data: bytes, victim: Victim, *, gzip: bool = False) -> str:
    """The same request a few times."""
    compression = grpc.Compression.Gzip if gzip else None
    return [called(victim, method, data, compression=compression) for _ in range(2)][-1]


def together(count: int, attack: Callable[[Victim], str], victim: Victim) -> str:
    """The same attack from several at once."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(attack, [victim] * count))[-1]


def many_executions(victim: Victim) -> str:
    """A long queue, then all of it in one list."""
    upload = victim.call("UploadScript", pb.UploadRequest(LONG, "long.py"), pb.UploadResponse)
    order = pb.StartRequest(upload.script_id, user="attacker")
    said = ""
    for _ in range(1200):
        try:
            victim.call("StartScript", order)
        except grpc.RpcError as error:
            said = f"{error.code().name}: {error.details()}; "
            break
    answer = victim.call(
        "ListExecutions", pb.ListExecutionsRequest(limit=10000), pb.ListExecutionsResponse
    )
    return f"{said}{len(answer.executions)} in one list"


SLOW_CHECK = "x = " + "+".join(["(1)"] * 40_000) + "\n"


def many_checks(victim: Victim) -> str:
    """Twenty who check at once, and an honest one among them."""
    with ThreadPoolExecutor(21) as pool:
        for n in range(20):
            pool.submit(
                called, victim, "ValidateScript", pb.UploadRequest(SLOW_CHECK + f"# {n}\n"),
                metadata=[("x-daq-user", "attacker")],
            )  # fmt: skip
        time.sleep(0.2)
        began = time.monotonic()
        honest = victim.call(
            "UploadScript", pb.UploadRequest("print(1)\n", "honest.py"), pb.UploadResponse,
            metadata=[("x-daq-user", "honest")],
        )  # fmt: skip
        waited = time.monotonic() - began
    return f"honest upload accepted: {honest.success}, after {waited:.2f} s"


# ------------------------------------------------------------------------------------ connections


def many_connections(victim: Victim) -> str:
    """Open until refused."""
    opened: list[Rude] = []
    said = ""
    try:
        for _ in range(1500):
            peer = Rude(victim.port)
            opened.append(peer)
            if said := peer.first_words():
                break
        return f"{len(opened)} opened; {said}"
    except OSError as error:
        return f"{len(opened)} opened; {error}"
    finally:
        for peer in opened:
            peer.close()


def with_one(deed: Callable[[Rude], str], victim: Victim) -> str:
    """One rude client."""
    peer = Rude(victim.port)
    try:
        return deed(peer)
    finally:
        peer.close()


CONNECTIONS: Mapping[str, Callable[[Victim], str]] = {
    "1,500 connections": many_connections,
    "5,000 streams on one": partial(with_one, Rude.open_streams),
    "half-finished requests": partial(with_one, Rude.half_requests),
    "a flood of settings": partial(with_one, Rude.flood_settings),
    "a flood of resets": partial(with_one, Rude.flood_resets),
    "a flood of pings": partial(with_one, Rude.flood_pings),
}

BOMB = pb.UploadRequest("x", metadata={str(i): "" for i in range(10)})


def nothing(_: Victim) -> str:
    """What the machine does by itself."""
    time.sleep(FLOOD_S)
    return "nothing: this is the machine's own"


ATTACKS: tuple[Attack, ...] = (
    Attack("nothing", nothing),
    *(Attack(n, partial(run_script, s), beside_script=False) for n, s in SCRIPTS.items()),
    *(
        Attack(f"a fallen script: {n}", partial(run_script, FALLEN + s), beside_script=False)
        for n, s in HOSTILE_FRAMES.items()
    ),
    *(Attack(n, partial(request, m, d)) for n, (m, d) in REQUESTS.items()),
    Attack(
        "20 MB of metadata in gzip, eight at once",
        partial(together, 8, partial(request, "UploadScript", entries(1_800_000), gzip=True)),
    ),
    Attack("a long queue and a long list", many_executions, beside_script=False),
    Attack("checks of scripts, twenty at once", many_checks),
    *(Attack(n, deed) for n, deed in CONNECTIONS.items()),
    *(
        Attack(f"{n}, from eight at once", partial(together, 8, deed))
        for n, deed in CONNECTIONS.items()
        if "flood" in n
    ),
)
