"""Knife-edge scan: the stage cuts the beam step by step, the meter sees what is left.

The power falls as an error function of the position; its width is the beam's waist.
"""


def main(start: float = -1.0, stop: float = 1.0, points: int = 41, dwell: float = 0.0):
    stage, meter = device("stage"), device("power_meter")
    home = stage.position()
    try:
        with open_run("knife_edge", sample="razor blade"):
            for x in linspace(start, stop, points):
                stage.move_abs(x)
                sleep(dwell)
                record(stage, meter)
    finally:
        stage.move_abs(home)
