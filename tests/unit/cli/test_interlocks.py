"""`client interlocks`: the list, the reset, and what `info` warns of."""

from daq.core import InterlockStatus, StateError
from daq.wire.convert import interlock_from_wire, interlock_to_wire
from daq.wire.generated import daq as pb
from tests.unit.cli.asking import ask
from tests.unit.client.fake_daemon import FakeDaemon

HOT = InterlockStatus(
    "hot",
    "power_meter",
    "above 0.5 W",
    "pause",
    tripped=True,
    reason="interlock hot: power_meter 0.6 W, above 0.5 W",
    value=0.6,
    units="W",
    changed_ns=1_700_000_000_000_000_000,
    trips=2,
    refuses=("stage",),
)
CALM = InterlockStatus("calm", "stage", "below -1 mm", "none", tripped=False)


def test_an_interlock_survives_the_wire():
    for status in (HOT, CALM):
        assert interlock_from_wire(interlock_to_wire(status)) == status


def test_interlocks_are_listed_with_the_reason_of_what_tripped():
    answer = pb.ListInterlocksResponse([interlock_to_wire(HOT), interlock_to_wire(CALM)])
    with FakeDaemon({"ListInterlocks": lambda _: answer}) as daemon:
        shown = ask(daemon, "interlocks")
    assert shown.exit_code == 0
    hot, calm = (line for line in shown.output.splitlines() if "interlock" not in line.lower())
    assert hot.split()[:5] == ["hot", "TRIPPED", "power_meter", "600", "mW"]
    assert calm.split()[:3] == ["calm", "ok", "stage"]
    assert HOT.reason in shown.output


def test_without_any_it_says_so():
    with FakeDaemon({"ListInterlocks": lambda _: pb.ListInterlocksResponse()}) as daemon:
        assert ask(daemon, "interlocks").output == "no interlocks are configured\n"


def test_a_reset_names_the_interlock_and_a_refusal_is_an_error():
    def refuse(_request):
        raise StateError("interlock hot: power_meter 0.6 W, above 0.5 W: that is still so")

    with FakeDaemon({"ResetInterlock": lambda _: interlock_to_wire(CALM)}) as daemon:
        assert ask(daemon, "interlocks", "--reset", "calm").output == "calm: ok\n"
        assert daemon.last("ResetInterlock").name == "calm"
        daemon.answers["ResetInterlock"] = refuse
        refused = ask(daemon, "interlocks", "--reset", "hot")
    assert refused.exit_code == 1
    assert "still so" in refused.output


def test_info_shows_what_the_guard_did():
    answer = pb.DaemonInfoResponse("0.1.0", warnings=["the guard acted on 2026-01-01"])
    with FakeDaemon({"GetDaemonInfo": lambda _: answer}) as daemon:
        assert "the guard acted on 2026-01-01" in ask(daemon, "info").output
