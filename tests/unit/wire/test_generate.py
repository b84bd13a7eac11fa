from __future__ import annotations

from importlib.util import find_spec

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from daq.wire import generate
from daq.wire.generated import daq as pb

needs_the_compiler = pytest.mark.skipif(
    find_spec("black") is None, reason="the compiler comes with the extra `dev`"
)


@needs_the_compiler
def test_what_is_generated_has_not_drifted_from_the_protos(capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


@needs_the_compiler
def test_a_drift_is_named_and_mended(tmp_path, tmp_path_factory, monkeypatch, capsys):
    protos = tmp_path_factory.mktemp("protos")
    (protos / "small.proto").write_text(
        'syntax = "proto3";\npackage daq;\nmessage Small { int32 a = 1; }'
    )
    monkeypatch.setattr(generate, "PROTO", protos)
    monkeypatch.setattr(generate, "GENERATED", tmp_path)
    (tmp_path / "stale.py").write_text("")
    assert generate.main(["--check"]) == 1
    assert "drifted" in capsys.readouterr().out
    assert not (tmp_path / "daq.desc").exists()
    assert generate.main([]) == 0
    assert (tmp_path / "daq" / "__init__.py").exists()
    assert not (tmp_path / "stale.py").exists()
    assert generate.main(["--check"]) == 0


@needs_the_compiler
def test_a_proto_that_does_not_parse_is_reported(tmp_path, monkeypatch):
    (tmp_path / "bad.proto").write_text("message {")
    monkeypatch.setattr(generate, "PROTO", tmp_path)
    with pytest.raises(SystemExit, match=r"bad\.proto"):
        generate.main(["--check"])


def test_numbers_and_names_of_the_field_are_kept():
    """Clients of the same API rely on them: a change here breaks them without a word."""
    files = FileDescriptorSet.FromString((generate.GENERATED / "daq.desc").read_bytes())
    messages = {m.name: m for file in files.file for m in file.message_type}
    fields = {
        name: {field.name: field.number for field in messages[name].field}
        for name in ("ScriptStatus", "DataPoint", "MoveResponse", "FrameData", "StopRequest")
    }
    assert (
        fields["DataPoint"] | {"channel": 1, "value": 2, "timestamp_ns": 3} == fields["DataPoint"]
    )
    assert fields["ScriptStatus"]["current_line"] == 8
    assert fields["StopRequest"]["force"] == 2
    assert fields["MoveResponse"]["settled"] == 4
    assert fields["FrameData"]["uncompressed_size"] == 51
    own = {n for numbers in fields.values() for n in numbers.values() if n >= 50}
    assert own


def test_services_are_those_of_the_proto():
    assert len(pb.ControlServiceBase().__mapping__()) == 15
    assert len(pb.HardwareServiceBase().__mapping__()) == 33
    assert len(pb.RunServiceBase().__mapping__()) == 9
