"""Stubs that Google's own tools make of proto/: a second gRPC stack, independent of ours."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

PROTO = Path(__file__).parents[3] / "proto"


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """`daq`, `daq_grpc`, `runs` and `runs_grpc`, as a client of the API would generate them."""
    folder = tmp_path_factory.mktemp("stubs")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}"]
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    subprocess.run([*command, *outputs, "daq.proto", "runs.proto"], check=True)
    sys.path.insert(0, str(folder))
    yield SimpleNamespace(
        folder=folder,
        daq=importlib.import_module("daq_pb2"),
        daq_grpc=importlib.import_module("daq_pb2_grpc"),
        runs=importlib.import_module("runs_pb2"),
        runs_grpc=importlib.import_module("runs_pb2_grpc"),
    )
    sys.path.remove(str(folder))
