"""The names that the prompt knows."""

from __future__ import annotations

from types import SimpleNamespace

from daq.cli.commands.shell import names_of


def test_every_device_gets_a_name_and_none_hides_another() -> None:
    ids = ("stage", "2nd-stage", "bench", "print", "class", "a.b", "a-b")
    bench = SimpleNamespace(runs="the runs", devices={name: name.upper() for name in ids})
    names = names_of(bench)
    assert names["bench"] is bench
    assert names["runs"] == "the runs"
    assert {key: value for key, value in names.items() if key not in ("bench", "runs")} == {
        "stage": "STAGE",
        "_2nd_stage": "2ND-STAGE",
        "bench_": "BENCH",
        "print_": "PRINT",
        "class_": "CLASS",
        "a_b": "A.B",
        "a_b_": "A-B",
    }
