"""The real daemon, and gRPC stubs that a stranger would generate from `proto/`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from .daemon_process import ROOT, DaemonProcess


@pytest.fixture
def daemon(tmp_path):
    with DaemonProcess(tmp_path / "data") as process:
        yield process


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory):
    """One daemon for a whole file of tests that leave nothing running."""
    with DaemonProcess(tmp_path_factory.mktemp("shared") / "data") as process:
        yield process


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """What `grpc_tools.protoc` makes of our protos: nothing of ours is imported."""
    from grpc_tools import protoc

    out = tmp_path_factory.mktemp("stubs")
    protos = sorted(str(path) for path in (ROOT / "proto").glob("*.proto"))
    arguments = ["", f"-I{ROOT / 'proto'}", f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main([*arguments, *protos]) == 0
    sys.path.insert(0, str(out))
    try:
        names = [f"{Path(p).stem}_{kind}" for p in protos for kind in ("pb2", "pb2_grpc")]
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(out))


@pytest.fixture
def grpc_client(daemon, stubs):
    """Stubs of a stranger's client, connected to the daemon."""
    with grpc.insecure_channel(daemon.address) as channel:
        yield SimpleNamespace(
            control=stubs.daq_pb2_grpc.ControlServiceStub(channel),
            hardware=stubs.daq_pb2_grpc.HardwareServiceStub(channel),
            runs=stubs.runs_pb2_grpc.RunServiceStub(channel),
            pb=stubs.daq_pb2,
            runs_pb=stubs.runs_pb2,
        )


@pytest.fixture
def script(tmp_path):
    """Write a script to a file; returns its path."""

    def write(text: str, name: str = "script.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
