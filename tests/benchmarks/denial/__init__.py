"""Attacks on a real daemon, and what another client feels of each; damage, and what comes back."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

from tests.benchmarks.denial.attacks import ATTACKS, Attack
from tests.benchmarks.denial.damage import NAME, measure_damage
from tests.benchmarks.denial.victim import LONG, Bystander, Victim, attacked
from tests.benchmarks.table import Row

__all__ = ["measure"]

BYSTANDER_S = 0.25
FORCE_S = 2.0
SETTLE_S = 1.0
SHOWN = 160
QUICK = 5


def measure(*, quick: bool, only: str = "") -> list[Row]:
    """A row for each attack and one for damage.

    A daemon that did not survive an attack is replaced for the next.
    """
    chosen = [a for a in ATTACKS if only in a.name][:: QUICK if quick else 1]
    rows = [measure_damage(quick=quick)] if only in NAME else []
    while chosen:
        with (
            tempfile.TemporaryDirectory() as name,
            attacked(Path(name) / "data") as (victim, bystander),
        ):
            while chosen and victim.process.process.poll() is None:
                rows.append(_row(victim, bystander, chosen.pop(0)))
                print(rows[-1].what, "|", rows[-1].ours, flush=True)
    return rows


def _row(victim: Victim, bystander: Bystander, attack: Attack) -> Row:
    log_before = len(victim.process.log)
    before = victim.memory_mb()
    if attack.beside_script:
        victim.start(LONG, "innocent.py")
    bystander.take()
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(_tried(victim, attack)))
    thread.start()
    thread.join(120)
    forced = victim.force_stop()
    time.sleep(SETTLE_S)
    worst, asked, failed = bystander.take()
    after = victim.memory_mb()
    acted = victim.guard_acted()
    said = victim.process.log[log_before:]
    kept = "" if worst <= BYSTANDER_S and forced <= FORCE_S and not acted and not failed else "NOT "
    defect = ", defect in the log" if "Traceback" in said else ""
    return Row(
        f"denial: {attack.name}",
        f"bystander {worst * 1e3:.0f} ms at worst of {asked}{f' ({failed})' if failed else ''}, "
        f"force stop {forced:.2f} s, guard {'ACTED' if acted else 'silent'}, "
        f"memory {before:.0f} -> {after:.0f} MB{defect}; "
        f"offender: {(got or ['still at it'])[0][:SHOWN]}",
        goal=f"{kept}kept: 250 ms, 2 s, silent",
    )


def _tried(victim: Victim, attack: Attack) -> str:
    try:
        return attack.perform(victim)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
