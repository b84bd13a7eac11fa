"""The daemon as a process: how it comes up, how it ends, what survives."""

import contextlib
import json
import resource
import signal
import socket
import time
from pathlib import Path

import h5py
import pytest
import trustme

from .daemon_process import DaemonProcess, cli

SLOW_SCAN = """
def main(points: int = 2000):
    stage, meter = device("stage"), device("power_meter")
    try:
        with open_run("slow"):
            for x in linspace(-1.0, 1.0, points):
                stage.move_abs(x)
                record(stage, meter)
                sleep(0.02)
    finally:
        stage.move_abs(0.0)
"""


def start_and_wait_for_points(daemon, path, at_least=3):
    """Start a script; returns the execution's id once its run has some points."""
    daemon.json("upload", path)
    execution = daemon.json("start", path.stem)["execution_id"]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        runs = daemon.json("runs", "list")["runs"]
        if runs and runs[0]["points"] >= at_least:
            return execution
    raise AssertionError("no points came")


def the_file(directory):
    (path,) = (directory / "runs").rglob("*.h5")
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_daemon_with_status_zero(tmp_path, number):
    with DaemonProcess(tmp_path) as daemon:
        assert daemon.end(number) == 0
        assert "ended cleanly" in daemon.log
        assert "Traceback" not in daemon.log


def test_sigterm_in_the_middle_of_a_scan_stops_it_gracefully_and_closes_its_file(tmp_path, script):
    with DaemonProcess(tmp_path / "data") as daemon:
        execution = start_and_wait_for_points(daemon, script(SLOW_SCAN, "slow.py"))
        assert daemon.end(signal.SIGTERM) == 0
    with h5py.File(the_file(daemon.directory)) as file:
        assert file["entry"].attrs["outcome"] == "stopped"
        assert "SIGTERM" in file["entry"].attrs["reason"]
        assert len(file["entry/primary/stage"]) >= 3
    with DaemonProcess(tmp_path / "data") as again:
        assert again.json("status", execution)["state"] == "STOPPED"


def test_kill_9_in_the_middle_of_a_scan_loses_no_acknowledged_point(tmp_path, script):
    with DaemonProcess(tmp_path / "data") as daemon:
        execution = start_and_wait_for_points(daemon, script(SLOW_SCAN, "slow.py"), at_least=5)
        acknowledged = daemon.json("runs", "list")["runs"][0]["points"]
        daemon.kill()
    with DaemonProcess(tmp_path / "data") as again:
        (run,) = again.json("runs", "list")["runs"]
        assert run["outcome"] == "interrupted"
        assert run["points"] >= acknowledged >= 5
        status = again.json("status", execution)
        assert status["state"] == "KILLED"
        assert [script["name"] for script in again.json("scripts")] == ["slow"]
        with h5py.File(the_file(again.directory)) as file:
            assert len(file["entry/primary/stage"]) == run["points"]


def test_a_port_that_is_in_use_is_found_before_the_instruments(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cli("serve", "--port", str(port), "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n" in done.stderr
    assert "stop it, or give another --port" in done.stderr
    assert ": ready" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_daemon_on_the_same_data_is_refused(tmp_path):
    with DaemonProcess(tmp_path):
        done = cli("serve", "--port", "0", "--data-dir", tmp_path)
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_configuration_says_where_and_what(tmp_path):
    config = tmp_path / "lab.toml"
    config.write_text("[server]\nprot = 1\n")
    done = cli("serve", "--config", config, "--data-dir", tmp_path)
    assert done.returncode == 1
    assert f"{config}:2: server.prot: there is no such key" in done.stderr
    assert "did you mean 'port'?" in done.stderr


def test_a_device_that_cannot_be_built_does_not_keep_the_others_down(tmp_path):
    config = tmp_path / "lab.toml"
    config.write_text(
        '[devices.stage]\ndriver = "simulated.stage"\n[devices.ghost]\ndriver = "nobody.knows"\n'
    )
    with DaemonProcess(tmp_path / "data", "--config", str(config)) as daemon:
        assert daemon.client("read", "ghost").returncode == 1
        assert daemon.client("move", "stage", "0.1").returncode == 0
        assert "nobody.knows" in daemon.log


def test_a_daemon_behind_tls_and_tokens_is_reached_with_the_options_of_the_command_line(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = authority.issue_cert("127.0.0.1")
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "daemon.pem"))
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[maria]\ntoken = "0123456789abcdef-maria"\n')
    tokens.chmod(0o600)
    (tmp_path / "maria.token").write_text("0123456789abcdef-maria\n")
    config = tmp_path / "lab.toml"
    config.write_text(
        '[server]\ntls_certificate = "daemon.pem"\ntls_key = "daemon.pem"\n'
        'token_file = "tokens.toml"\n[devices.stage]\ndriver = "simulated.stage"\n'
    )
    given = ("--tls-ca", tmp_path / "ca.pem", "--token-file", tmp_path / "maria.token")
    script = tmp_path / "one.py"
    script.write_text("def main():\n    record('stage')\n")
    with DaemonProcess(tmp_path / "data", "--config", str(config)) as daemon:
        where = ("client", "--address", daemon.address)
        moved = cli(*where, *given, "move", "stage", "0.5")
        assert moved.returncode == 0, moved.stderr
        assert cli(*where, *given, "run", script).returncode == 0
        status = json.loads(cli(*where, *given, "--json", "status").stdout)
        assert status["user"] == "maria"
        plain = cli(*where, "devices")
        assert plain.returncode == 1
        assert "may want TLS" in plain.stderr
        environment = {"DAQ_TLS_CA": str(tmp_path / "ca.pem"), "DAQ_TOKEN": "not-a-token-of-theirs"}
        stranger = cli(*where, "devices", **environment)
        assert "does not know this token" in stranger.stderr
        tokens.write_text('[jo]\ntoken = "0123456789abcdef-of-jo"\n')
        assert "server.token_file" in cli(*where, *given, "reload").stdout
        revoked = cli(*where, *given, "devices")
        assert "does not know this token" in revoked.stderr


def test_a_private_daemon_ignores_what_is_meant_for_others(tmp_path, script):
    config = tmp_path / "lab.toml"
    config.write_text('[server]\nhost = "0.0.0.0"\ntls_key = "nowhere.pem"\n')
    path = script("def main():\n    print('done')\n")
    arguments = ("run", path, "--config", config, "--data-dir", tmp_path / "data")
    done = cli(*arguments, DAQ_TLS="1", DAQ_TOKEN="whatever-it-may-be")
    assert done.returncode == 0, done.stderr


def test_without_a_daemon_the_client_says_where_it_looked_and_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = cli("client", "--address", address, "status")
    assert done.returncode == 1
    assert address in done.stderr
    assert "python -m daq serve" in done.stderr


def test_json_errors_are_json_too():
    done = cli("client", "--address", "127.0.0.1:1", "--json", "status")
    assert done.returncode == 1
    assert json.loads(done.stdout or done.stderr)["error"]["kind"] == "communication"


def test_without_descriptors_it_says_so_once_a_second_and_lets_clients_in_again(daemon):
    host, port = daemon.address.rsplit(":", 1)
    in_use = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
    _, most = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (in_use + 4, most))
    complaint = "a client was not let in: Too many open files"
    with contextlib.ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(socket.create_connection((host, int(port))))
        deadline = time.monotonic() + 20
        while complaint not in daemon.log:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.5)  # in which asyncio alone would have tried a thousand times
        assert daemon.log.count(complaint) < 30
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (most, most))
    assert daemon.client("info").returncode == 0
    assert "Traceback" not in daemon.log
