"""Polarisation scan: a polariser turns in the beam, the power follows Malus's law.

Fits I = I0 cos^2(angle - axis) + background by linear least squares and prints the axis.
"""

import math

import numpy as np


def fit_malus(angles, powers):
    # cos^2(a - b) = 1/2 + 1/2 cos(2b) cos(2a) + 1/2 sin(2b) sin(2a): linear in three unknowns.
    a = np.radians(np.array(angles))
    basis = np.column_stack([np.ones(len(a)), np.cos(2 * a), np.sin(2 * a)])
    mean, c, s = np.linalg.lstsq(basis, np.array(powers), rcond=None)[0]
    amplitude = math.hypot(c, s)
    axis = math.degrees(0.5 * math.atan2(s, c))
    return axis, (mean + amplitude) / max(mean - amplitude, 1e-12)


def main(start: float = 0.0, stop: float = 180.0, points: int = 37):
    rotator, meter = device("rotator"), device("power_meter")
    with open_run("polarisation"):
        result = scan([meter], rotator, start, stop, points)
    axis, extinction = fit_malus(result["rotator"], result["power_meter"])
    print(f"transmission axis at {axis:.2f} deg, extinction ratio {extinction:.0f}")
    return {"axis_deg": axis, "extinction": extinction}
