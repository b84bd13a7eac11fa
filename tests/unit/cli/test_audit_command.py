"""`daq client audit` and `daq client queue clear`: what is asked, and how it is shown."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner

from daq.cli.main import cli
from daq.core import PermissionDeniedError
from daq.wire.generated import daq as pb
from tests.unit.cli.asking import ask
from tests.unit.client.fake_daemon import FakeDaemon

NEWEST = pb.AuditInfo(
    timestamp_ns=1_700_000_060_000_000_000, user="maria", token="maria", peer="10.0.0.7:5000",
    method="MoveAbsolute", target="stage", details="value=2", outcome="limit",
    message="stage: position 2000 mm is outside", duration_s=0.01,
)  # fmt: skip
OLDEST = pb.AuditInfo(
    timestamp_ns=1_700_000_000_000_000_000, peer="127.0.0.1:4000 (ada)", method="StartScript",
    target="knife_edge", details="points=21", outcome="ok",
)  # fmt: skip


def test_the_audit_is_a_table_with_the_oldest_first() -> None:
    with FakeDaemon({"ReadAudit": lambda _: pb.AuditResponse([NEWEST, OLDEST])}) as daemon:
        result = ask(daemon, "audit")
        request = daemon.last("ReadAudit")
    assert result.exit_code == 0
    first, second = (line for line in result.output.splitlines() if "2023-11-14" in line)
    for words in ("127.0.0.1:4000 (ada)", "StartScript", "knife_edge", "ok", "points=21"):
        assert words in first
    for words in ("maria", "MoveAbsolute", "stage", "limit", "position 2000 mm is outside"):
        assert words in second
    assert (request.since_ns, request.limit) == (0, 100)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("1.5 h", 5400), ("7d", 604800)]
)
def test_since_counts_back_from_now(text: str, seconds: float) -> None:
    with FakeDaemon({"ReadAudit": lambda _: pb.AuditResponse()}) as daemon:
        result = ask(daemon, "audit", "--since", text, "--limit", "7")
        request = daemon.last("ReadAudit")
    assert result.output == "nothing was changed\n"
    assert request.since_ns / 1e9 == pytest.approx(time.time() - seconds, abs=60)
    assert request.limit == 7


@pytest.mark.parametrize("text", ["yesterday", "1", "h", "-1h", "1y"])
def test_a_time_that_is_none_is_refused_with_what_would_do(text: str) -> None:
    result = CliRunner().invoke(cli, ["client", "audit", f"--since={text}"])
    assert result.exit_code == 2
    assert "90s, 15m, 1h or 7d" in result.output


def test_the_audit_in_json_is_what_came() -> None:
    with FakeDaemon({"ReadAudit": lambda _: pb.AuditResponse([OLDEST])}) as daemon:
        result = ask(daemon, "--json", "audit")
    (entry,) = json.loads(result.output)
    assert (entry["method"], entry["target"]) == ("StartScript", "knife_edge")
    assert entry["timestamp_ns"] == OLDEST.timestamp_ns


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [((), ("", "")), (("--user", "bob", "--reason", "too many"), ("bob", "too many"))],
)
def test_the_queue_is_cleared_of_one_user_or_of_all(
    arguments: tuple[str, ...], asked: tuple[str, str]
) -> None:
    answer = pb.ClearQueueResponse(["e1", "e2"])
    with FakeDaemon({"ClearQueue": lambda _: answer}) as daemon:
        result = ask(daemon, "queue", "clear", *arguments)
        request = daemon.last("ClearQueue")
    assert result.output == "2 taken out of the queue\n"
    assert (request.user, request.reason) == asked


def test_who_may_not_clear_it_is_told() -> None:
    def refuse(_: object) -> object:
        raise PermissionDeniedError("wall may only read, and ClearQueue does more")

    with FakeDaemon({"ClearQueue": refuse}) as daemon:
        result = ask(daemon, "queue", "clear")
    assert result.exit_code == 1
    assert "wall may only read, and ClearQueue does more" in result.output
