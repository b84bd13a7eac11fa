"""Camera grid: the blade and the polariser scan a grid, the camera sees what is left of the beam.

For every point the frame is stored whole, together with the beam's centroid and its size in pixels.
"""

import numpy as np


def moments(frame):
    # The background would pull the centroid to the middle of the chip, so only the beam counts.
    light = frame.astype(float) - np.median(frame)
    light = np.where(light > 0.05 * light.max(), light, 0.0)
    total = max(light.sum(), 1e-12)
    x = np.arange(light.shape[1])
    columns = light.sum(axis=0)
    centre = (columns * x).sum() / total
    width = np.sqrt((columns * (x - centre) ** 2).sum() / total)
    return float(centre), float(width), float(light.sum())


def main(edges: int = 5, angles: int = 3):
    stage, rotator, camera = device("stage"), device("rotator"), device("camera")
    with open_run("camera_grid"):
        for angle in linspace(0.0, 60.0, angles):
            rotator.move_abs(angle)
            for x in linspace(-0.5, 0.5, edges):
                stage.move_abs(x)
                frame = record(stage, rotator, camera)["camera"]
                centre, width, light = moments(frame)
                record(centroid=centre, sigma=width, light=light, stream="analysis")
    stage.move_abs(0.0)
    rotator.move_abs(0.0)
