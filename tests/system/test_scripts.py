"""The scripts in `scripts/`, on the simulated bench, checked against its physics."""

import time

import h5py
import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import erf

from .daemon_process import ROOT

SCRIPTS = ROOT / "scripts"


def run_script(daemon, name, *parameters):
    """Run a script to its end; returns the run's file, opened, and what the script returned."""
    arguments = [part for parameter in parameters for part in ("--param", parameter)]
    done = daemon.client("run", SCRIPTS / f"{name}.py", *arguments, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    run = daemon.json("runs", "show")["summary"]
    assert run["outcome"] == "completed"
    return h5py.File(run["path"]), done.stdout


def test_knife_edge_gives_the_configured_waist(daemon):
    file, _ = run_script(daemon, "knife_edge")
    with file:
        x, power = file["entry/primary/stage"][:], file["entry/primary/power_meter"][:]
    waist = float(daemon.json("get", "laser", "beam_waist")["value"])

    def edge(x, p, x0, w, background):
        return p / 2 * (1 + sign * erf(np.sqrt(2) * (x - x0) / w)) + background

    sign = np.sign(power[-5:].mean() - power[:5].mean())
    fitted, _ = curve_fit(edge, x, power, [np.ptp(power), 0.0, 0.5, 0.0])
    assert abs(fitted[2]) == pytest.approx(waist, rel=0.02)


def test_polarisation_follows_malus(daemon):
    file, output = run_script(daemon, "polarisation")
    with file:
        angle, power = file["entry/primary/rotator"][:], file["entry/primary/power_meter"][:]
    malus = np.cos(np.radians(angle)) ** 2
    assert np.corrcoef(malus, power)[0, 1] > 0.999
    assert "transmission axis at" in output


def test_waveform_average_lowers_the_noise_by_the_square_root(daemon):
    file, _ = run_script(daemon, "waveform_average", "averages=64")
    with file:
        count, noise = file["entry/primary/count"][:], file["entry/primary/noise"][:]
        assert file["entry/primary/average"].ndim == 2
    assert count[0], count[-1] == (1, 64)
    assert noise[0] / noise[-1] == pytest.approx(8, rel=0.4)


def test_camera_grid_sees_the_blade_push_the_centroid(daemon):
    file, _ = run_script(daemon, "camera_grid", "edges=3", "angles=2")
    with file:
        frames = file["entry/primary/camera"]
        assert frames.shape == (6, 480, 640)
        assert frames.dtype == np.uint16
        light = file["entry/analysis/light"][:].reshape(2, 3)
    assert (np.diff(light, axis=1) > 0).all() or (np.diff(light, axis=1) < 0).all()
    assert light[1, 1] / light[0, 1] == pytest.approx(np.cos(np.radians(60)) ** 2, rel=0.15)


def test_the_long_scan_can_be_stopped_and_brings_the_stage_home(daemon):
    daemon.json("upload", SCRIPTS / "long_scan.py")
    daemon.json("start", "long_scan", "--param", "points_per_minute=600")
    time.sleep(1.0)
    report = daemon.json("stop")
    assert report["state"] == "STOPPED"
    assert abs(daemon.json("read", "stage")["value"]) < 0.05
    assert daemon.json("runs", "show")["summary"]["outcome"] == "stopped"
