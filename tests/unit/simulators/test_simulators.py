"""The simulators' protocols as data: bytes in, bytes out, on a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.simulators import (
    Ell14Bus,
    Esp300Simulator,
    Fault,
    Faults,
    MaiTaiSimulator,
    Meter1830cSimulator,
    parse_fault,
)


class Conversation:
    """A simulator and its clock."""

    def __init__(self, make):
        self.now = 100.0
        self.instrument = make(lambda: self.now)
        self.line = Faults(self.instrument)

    def ask(self, text, wait=0.01):
        self.line.receive(text.encode())
        return self.after(wait)

    def after(self, seconds):
        self.now += seconds
        return self.line.take_due().decode("latin-1")


@pytest.fixture
def esp():
    return Conversation(Esp300Simulator)


@pytest.fixture
def bus():
    return Conversation(Ell14Bus)


@pytest.fixture
def laser():
    return Conversation(lambda clock: MaiTaiSimulator(clock, warm_up_s=60.0))


@pytest.fixture
def meter():
    return Conversation(Meter1830cSimulator)


def test_motion_done_is_one_and_moving_is_zero(esp):
    assert esp.ask("1MO;1PA5\r") == ""
    assert esp.ask("1MD?\r") == "0\r\n"
    assert 0 < float(esp.ask("1TP\r", wait=0.3)) < 5
    esp.after(2.0)
    assert esp.ask("1MD?\r1TP?\r") == "1\r\n5\r\n"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("1PA5", "113, "),
        ("PA5", "37, "),
        ("4PA5", "9, "),
        ("1PA", "38, "),
        ("1MO;1PA99", "106, "),
        ("1MO;1PA-99", "107, "),
        ("2VA-1", "210, "),
        ("XX", "6, "),
        ("#!", "6, "),
        ("1PAfive", "107, "),
    ],
)
def test_the_controller_keeps_its_own_errors(esp, command, error):
    assert esp.ask(f"{command}\r") == ""
    assert esp.ask("TB?\r").startswith(error)
    assert esp.ask("TB?\r").startswith("0, ")
    assert "NO ERROR DETECTED" in esp.ask("TB?\r")


def test_axes_move_each_by_itself(esp):
    esp.ask("1MO;2MO;1PA5;2PA-5\r")
    esp.after(2.0)
    assert esp.ask("1TP;2TP;3TP\r") == "5\r\n-5\r\n0\r\n"
    esp.ask("1PR-1;2ST\r", wait=1.0)
    assert esp.ask("1TP;2MD?\r") == "4\r\n1\r\n"


def test_a_wait_holds_up_what_comes_after_it_but_no_emergency(esp):
    assert esp.ask("1MO;1PA5;1WS;1TP\r", wait=0.3) == ""
    assert esp.ask("VE\r") == ""
    assert esp.line.next_due() == pytest.approx(100.75, abs=0.1)
    assert esp.after(1.0) == ""
    assert esp.after(0.01).startswith("5\r\nESP300")
    assert esp.ask("1PA-5;1WP-5\r") == ""
    assert esp.ask("1MD?\r", wait=0.2) == ""
    assert esp.ask("ST\r", wait=0.5) + esp.after(0.01) == "1\r\n"
    assert -5 < float(esp.ask("1TP\r")) < 5
    assert esp.ask("WT500;1MD?\r", wait=0.4) == ""
    assert esp.after(0.2) + esp.after(0.01) == "1\r\n"


def test_homing_and_defining_home(esp):
    esp.ask("1MO;1DH10\r")
    assert esp.ask("1TP\r") == "10\r\n"
    esp.ask("1OR\r", wait=5.0)
    assert esp.ask("1TP;1MD?\r") == "0\r\n1\r\n"


def test_an_elliptec_answers_a_move_when_it_has_ended(bus):
    assert bus.ask("2ma00011800") == ""
    assert bus.ask("2gs") == "2GS09\r\n"
    assert bus.ask("2ma00000000") == "2GS09\r\n"
    assert bus.ask("3gs") == "3GS00\r\n"
    assert bus.after(1.0) == "2PO00011800\r\n"
    assert bus.ask("2gp") == "2PO00011800\r\n"


def test_an_elliptec_stops_and_says_nothing_of_the_move_any_more(bus):
    bus.ask("2ma00023000", wait=0.4)
    assert bus.ask("2st") == "2GS00\r\n"
    assert bus.after(5.0) == ""
    assert 0 < int(bus.ask("2gp")[3:11], 16) < 0x23000


def test_elliptec_replies_have_their_documented_shape(bus):
    assert bus.ask("8in") == "8IN0E1140005620231701016800023000\r\n"
    assert bus.ask("2mrFFFFFC18", wait=1.0) == "2POFFFFFC18\r\n"
    assert bus.ask("2sv32") == "2GS00\r\n"
    assert bus.ask("2gv") == "2GV32\r\n"
    assert bus.ask("2qq") == "2GS03\r\n"
    assert bus.ask("2ma7FFFFFFF") == "2GS04\r\n"
    assert bus.ask("5gs") == ""


def test_elliptec_addresses_can_be_changed(bus):
    assert bus.ask("2caB") == "BGS00\r\n"
    assert bus.ask("2gs") == ""
    assert bus.ask("Bgs") == "BGS00\r\n"
    assert bus.ask("Bca3") == "BGS04\r\n"


@given(st.lists(st.integers(1, 30), max_size=10))
def test_elliptec_commands_may_come_in_any_pieces(cuts):
    bus = Conversation(Ell14Bus)
    text, said = "2gs3gp\r\n2mr000000108gv\r\n", ""
    for cut in cuts:
        said += bus.ask(text[:cut])
        text = text[cut:]
    said += bus.ask(text, wait=1.0)
    assert sorted(said.split()) == ["2GS00", "2PO00000010", "3PO00000000", "8GV64"]


def test_the_laser_understands_short_and_long_words(laser):
    assert "MaiTai" in laser.ask("*idn?\n")
    assert laser.ask("WAVelength 820\n", wait=1.0) == ""
    assert laser.ask("read:wavelength?\nWAV?\n") == "820nm\n820nm\n"
    assert laser.ask("READ:PCTW?\n").endswith("%\n")
    assert laser.ask("nonsense 1\nSYST:ERR?\n") == '-113, "Undefined header"\n'
    assert laser.ask("WAV 2000\nSYST:ERR?\n") == '-222, "Data out of range"\n'
    assert laser.ask("SYST:ERR?\n") == '0, "No error"\n'


def test_the_laser_emits_when_it_is_warm_and_its_shutter_takes_time(laser):
    laser.ask("ON\n", wait=5.0)
    assert laser.ask("*STB?\n") == "0\n"
    laser.after(60.0)
    laser.ask("ON\n", wait=2.0)
    assert laser.ask("*STB?\nREAD:POW?\n") == "3\n3.000W\n"
    laser.ask("SHUT 1\n", wait=0.1)
    assert laser.ask("SHUT?\n") == "0\n"
    assert laser.ask("SHUT?\n", wait=0.3) == "0\n"
    assert laser.ask("SHUT?\n") == "1\n"
    laser.ask("WAV 1000\n", wait=5.0)
    assert laser.ask("READ:POW?\n").endswith("mW\n")


def test_the_meter_echoes_until_told_otherwise_and_keeps_silent_about_settings(meter):
    assert meter.ask("W?\n") == "W?\n0800\n"
    assert meter.ask("E0\n") == "E0\n"
    assert meter.ask("W0633\nW?\n") == "0633\n"
    assert meter.ask("W9999\nQ?\n") == "1\n"
    assert meter.ask("nonsense\nQ?\nW?\n") == "2\n0633\n"


def test_the_meter_has_units_and_knows_when_it_is_blinded(meter):
    meter.ask("E0\n")
    assert meter.ask("D?\n") == "1E-3\n"
    assert meter.ask("U2\nD?\n") == "0.00\n"
    meter.ask("U1\n")
    meter.instrument.power = 5.0
    meter.ask("D?\n")
    assert int(meter.ask("Q?\n")) & 4
    meter.instrument.power = 1e-3
    meter.ask("R2\nD?\n")
    assert int(meter.ask("Q?\n")) & 8


def test_faults_disturb_what_the_host_hears(meter):
    meter.ask("E0\n")
    heard = {}
    for kind in ("silence", "garbage", "partial", "delay"):
        meter.line.begin(Fault(kind, delay_s=2.0))
        heard[kind] = meter.ask("W?\n")
    assert heard["silence"] == heard["delay"] == ""
    assert heard["partial"] == "08"
    assert heard["garbage"].endswith("\n")
    assert "0" not in heard["garbage"]
    meter.line.begin(None)
    assert meter.after(2.0) == "0800\n"
    assert meter.ask("W?\n") == "0800\n"


def test_fault_schedules_are_read():
    assert parse_fault("unplug@10+3") == Fault("unplug", 10.0, 3.0)
    assert parse_fault("delay=0.5") == Fault("delay", delay_s=0.5)
    with pytest.raises(ValueError, match="KIND"):
        parse_fault("explode@3")
