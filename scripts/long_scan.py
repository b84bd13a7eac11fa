"""A long, slow scan to practise on: watch it, pause it, resume it, stop it.

    python -m daq client run scripts/long_scan.py --param minutes=5
    python -m daq client stop

Whatever ends it, the stage is brought back to where it stood.
"""


def main(minutes: float = 10.0, points_per_minute: int = 60):
    stage, meter = device("stage"), device("power_meter")
    points = max(2, round(minutes * points_per_minute))
    home = stage.position()
    try:
        with open_run("long_scan", minutes=minutes):
            for number, x in enumerate(linspace(-2.0, 2.0, points)):
                stage.move_abs(x)
                row = record(stage, meter)
                log(f"{number + 1}/{points}: {row['power_meter'] * 1e3:.4f} mW at {x:.3f} mm")
                sleep(60.0 / points_per_minute)
    finally:
        stage.move_abs(home)
