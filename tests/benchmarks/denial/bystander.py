"""`python -m tests.benchmarks.denial.bystander ADDRESS`: asks every 20 ms, tells how late it was.

A process of its own: what an attack costs the one who attacks must not show here. A line on stdin
asks for the worst answer since the last one.
"""

from __future__ import annotations

import os
import select
import sys
import time

import grpc

PERIOD_S = 0.02
PATIENCE_S = 60.0
INFO = "/daq.ControlService/GetDaemonInfo"


def watch(address: str) -> None:
    """Until stdin is closed."""
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(INFO)
        ask(b"", timeout=PATIENCE_S)
        print("ready", flush=True)
        worst, asked, failed = 0.0, 0, ""
        due = time.monotonic()
        while True:
            if select.select([0], [], [], 0)[0]:
                if not os.read(0, 64):
                    return
                print(f"{worst:.6f}\t{asked}\t{failed}", flush=True)
                worst, asked, failed = 0.0, 0, ""
            due = max(due + PERIOD_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            try:
                ask(b"", timeout=PATIENCE_S)
            except grpc.RpcError as error:
                failed = f"{error.code().name}: {error.details()}"
            worst, asked = max(worst, time.monotonic() - began), asked + 1


if __name__ == "__main__":
    watch(sys.argv[1])
