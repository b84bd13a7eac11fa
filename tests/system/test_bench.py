"""The bench of a real daemon: devices in and out of use, reload by signal and by call, presets."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

from tests.system.daemon_process import ROOT, DaemonProcess, cli

STAGE = '[devices.stage]\ndriver = "simulated.stage"\n'
RUNS = """
def main():
    for _ in range(2):
        with open_run("empty"):
            pass
"""
METER = '[devices.meter]\ndriver = "simulated.power_meter"\n'


def states(daemon):
    listing = daemon.json("devices")
    return {d["description"]["id"]: d["snapshot"]["state"] for d in listing["devices"]}


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_device_is_disabled_enabled_and_restarted(tmp_path):
    with DaemonProcess(tmp_path / "data") as daemon:
        assert daemon.json("disable", "stage", "--reason", "being aligned")["state"] == "disabled"
        refused = daemon.client("move", "stage", "1")
        assert refused.returncode == 1
        assert "disabled since" in refused.stderr
        assert "being aligned" in refused.stderr
        assert "enable stage" in refused.stderr
    with DaemonProcess(tmp_path / "data") as daemon:
        assert re.search("stage: disabled by .*: being aligned", daemon.log)
        assert "being aligned" in daemon.client("devices").stdout
        daemon.json("enable", "stage")
        wait_until(lambda: states(daemon)["stage"] == "ready")
        assert daemon.client("restart", "stage").returncode == 0
        wait_until(lambda: states(daemon)["stage"] == "ready")
        assert daemon.client("move", "stage", "1").returncode == 0


def test_the_configuration_is_read_again_by_call_and_by_signal(tmp_path, script):
    file = tmp_path / "bench.toml"
    file.write_text(STAGE)
    with DaemonProcess(tmp_path / "data", "--config", str(file)) as daemon:
        file.write_text(STAGE + METER)
        assert daemon.json("reload")["added"] == ["meter"]
        wait_until(lambda: states(daemon) == {"stage": "ready", "meter": "ready"})

        file.write_text(STAGE + METER + "averagin = 2\n")
        refused = daemon.client("reload")
        assert refused.returncode == 1
        assert "bench.toml:5: devices.meter.averagin: there is no such option" in refused.stderr
        assert states(daemon) == {"stage": "ready", "meter": "ready"}

        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "was not read again" in daemon.log)

        dark = '[interlocks.dark]\nchannel = "meter"\nbelow = 1.0\nread_every_s = 0.1\n'
        file.write_text(f"{STAGE}{METER}{dark}[scripts]\nmax_runs = 1\n[server]\nport = 1\n")
        report = daemon.json("reload")
        assert report["applied"] == ["interlocks.dark", "scripts.max_runs"]
        assert "server.port" in daemon.client("reload").stdout
        wait_until(lambda: "dark" in daemon.client("interlocks").stdout)
        wait_until(lambda: "interlock dark: meter" in daemon.log)
        refused = daemon.client("run", script(RUNS))
        assert "max_runs" in refused.stdout + refused.stderr

        file.write_text(STAGE + METER)
        assert "interlocks.dark has tripped" in daemon.client("reload").stderr
        assert daemon.json("reload", "--force")["applied"] == [
            "interlocks.dark",
            "scripts.max_runs",
        ]
        file.write_text(METER)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: states(daemon) == {"meter": "ready"})
        assert daemon.client("read", "meter").returncode == 0


def test_a_serial_instrument_is_added_while_the_daemon_runs(tmp_path):
    file, link = tmp_path / "bench.toml", tmp_path / "meter"
    file.write_text(STAGE)
    simulator = subprocess.Popen(
        [sys.executable, "-m", "daq", "simulate", "1830c", "--link", str(link)], cwd=ROOT
    )
    try:
        with DaemonProcess(tmp_path / "data", "--config", str(file)) as daemon:
            wait_until(link.exists)
            file.write_text(f'{STAGE}[devices.meter]\ndriver = "newport.1830c"\nport = "{link}"\n')
            assert daemon.json("reload")["added"] == ["meter"]
            wait_until(lambda: states(daemon) == {"stage": "ready", "meter": "ready"})
            found = json.loads(cli("discover", str(link), "--json").stdout)
            assert "another program has it open" in found[0]["problem"]
        found = json.loads(cli("discover", str(link), "--json").stdout)
        assert found[0]["options"] == [{"driver": "newport.1830c"}]
    finally:
        simulator.terminate()
        simulator.wait()


def test_presets_by_command(tmp_path):
    with DaemonProcess(tmp_path / "data") as daemon:
        assert daemon.client("presets", "save", "aligned", "stage", "laser").returncode == 0
        daemon.json("move", "stage", "3")
        shown = daemon.client("presets", "compare", "aligned").stdout
        assert "differs" in shown
        changes = daemon.json("presets", "load", "aligned")
        # Dark while it moves, since the light is on before and after.
        changed = [c["setting"] for c in changes if c["outcome"] == "changed"]
        assert changed == ["shutter", "position", "shutter"]
        assert [p["name"] for p in daemon.json("presets", "list")] == ["aligned"]
        daemon.json("presets", "delete", "aligned")
        missing = daemon.client("presets", "load", "aligned")
        assert missing.returncode == 1
        assert "there is no preset 'aligned'" in missing.stderr


def test_a_description_is_checked(tmp_path):
    file = tmp_path / "meter.toml"
    file.write_text('[instrument]\nname = "m"\n[values.v]\nunits = "V"\nread = "V?"\n')
    refused = cli("check", str(file))
    assert refused.returncode == 1
    assert "the instrument offers nothing" in refused.stderr
    file.write_text(file.read_text() + '[readable]\nvalue = "v"\n')
    accepted = cli("check", str(file), "--json")
    assert json.loads(accepted.stdout)["operations"] == ["read()", "stop()"]
