"""What the chaos test throws at a daemon besides the hostile scripts."""

from __future__ import annotations

__all__ = ["NORMAL", "ODD_NUMBERS", "ODD_TEXTS"]

NORMAL = {
    "scan": "def main(points: int = 9):\n    scan(['meter'], 'slow_stage', 0, 1, points)\n",
    "grid": "grid_scan(['meter', 'camera'], 'rotator', 0, 2, 3, 'slow_stage', 0, 1, 3)\n",
    "count": "count(['meter', 'digitizer'], 20)\n",
    "fly": "fly_scan(['meter'], 'slow_stage', -1, 1, 0.01)\n",
    "serial": (
        "with open_run('serial', durability='disk'):\n    for x in linspace(0, 3, 20):\n"
        "        device('esp').move_abs(x)\n        record('esp', 'ell')\n"
    ),
    "turns": "for x in range(0, 90, 5):\n    device('ell').move_abs(x)\n    record('ell')\n",
    "bright": "device('laser').open()\ndevice('laser').emission(True)\nsleep(3)\n",
    "far": "device('slow_stage').move_abs(70)\n",
    "odd": (
        "nan, inf = float('nan'), float('inf')\nwith open_run('\\n/\\u03c0 ../x', a=[nan], b='b' * "
        "9999):\n    record('meter', x=nan, y=inf, z='\\n\\x00\\u20ac', w=[nan, -inf])\n"
    ),
    "empty": "with open_run(''):\n    pass\n",
    "sits": "device('esp')\nfor i in range(1000):\n    sleep(0.05)\n",
}
ODD_TEXTS = ("", "nothing", "../..", "\n", "\x00", "é€\U0001f600", "a" * 5000, "%", "stage/*", " ")
ODD_NUMBERS = (0.0, 1.0, -3.5, 45.0, 70.0, 1e6, 1e300, float("nan"), float("inf"), -float("inf"))
