"""Scripts in real processes: what they can say, what they get, how they end."""

# ruff: noqa: E501 - short scripts on one line

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import trio

from daq.core import Call, CloseRun, Ending, Log, OpenRun, ParameterError, Point, Progress, Record


async def run(box, bench, source, **parameters):
    return await box.program(source, "scan.py", parameters, "e1").run(bench)


async def test_main_gets_its_parameters_and_its_result_comes_back(sandbox, bench) -> None:
    async with sandbox() as box:
        end = await run(
            box, bench(), "def main(a: float, *, n=3):\n    return {'a': a, 'n': [n]}", a=2.5
        )
    assert end.ending is Ending.COMPLETED
    assert end.result == {"a": 2.5, "n": [3]}


async def test_a_script_without_main_runs_top_to_bottom(sandbox, bench, script) -> None:
    b = bench()
    async with sandbox() as box:
        end = await run(
            box,
            b,
            script("""
            print("a", 1, sep="-")
            if __name__ == "__main__":
                print("b", end="")
            log("c", level="warning")
            print()
            """),
        )
    assert end.ending is Ending.COMPLETED
    assert [(r.text, r.level, r.line) for r in b.requests if isinstance(r, Log)] == [
        ("a-1", "output", 1),
        ("c", "warning", 4),
        ("b", "output", 5),
    ]


async def test_a_guarded_main_is_not_run_twice(sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:
        await run(box, b, "def main():\n    print('once')\nif __name__ == '__main__':\n    main()")
    assert b.output == ["once"]


async def test_a_device_talks_and_states_its_facts(sandbox, bench, script) -> None:
    b = bench()
    async with sandbox() as box:
        end = await run(
            box,
            b,
            script("""
            def main():
                stage, camera = device("stage"), device("camera")
                assert stage.move_abs(position=1.5) == 1.5
                assert device("meter").read() == 2.25
                frames = camera.frames(n=2)
                frames[0, 0, 0] = 7
                assert frames.shape == (2, 4, 6) and frames.sum() == 1135
                return [stage.limits, stage.units, camera.resolution, stage.id, devices()]
            """),
        )
    assert end.message == ""
    assert end.result == [
        [-10, 10],
        "mm",
        [6, 4],
        "stage",
        ["camera", "laser", "meter", "power_meter", "rotator", "stage"],
    ]
    assert Call("stage", "move_abs", [1.5]) in b.requests


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("device('stage').move_ab(1)", "did you mean 'move_abs'"),
        ("device('stage').move_abs(1, 2)", "move_abs(position)"),
        ("device('stage').position = 3", "call an operation"),
        ("if device('laser').is_open: pass", "call it: laser.is_open()"),
        ("device('stag')", "there are stage, rotator"),
        ("device('stage').move_abs(12)", "outside the limits [-10, 10] mm"),
        ("record(3)", "a device or its id belongs here"),
        ("open_run('x', when=object())", ""),
    ],
)
async def test_mistakes_with_devices_are_explained(sandbox, bench, line, message) -> None:
    async with sandbox() as box:
        end = await run(box, bench(), f"x = 1\n{line}")
    if message:
        assert end.ending is Ending.FAILED
        assert message in end.message + end.traceback
        assert end.line == 2
        assert "^" in end.traceback


async def test_errors_of_devices_can_be_caught_by_name(sandbox, bench, script) -> None:
    async with sandbox() as box:
        end = await run(
            box,
            bench(),
            script("""
            def main():
                found = []
                try:
                    device("stage").move_abs(11)
                except LimitError as error:
                    found.append(error.kind)
                try:
                    device("nothing")
                except DeviceError as error:
                    found.append(error.advice[:24])
                return found
            """),
        )
    assert end.result == ["limit", "there are stage, rotator"]


async def test_a_run_is_opened_recorded_and_closed(sandbox, bench, script) -> None:
    b = bench()
    async with sandbox() as box:
        end = await run(
            box,
            b,
            script("""
            def main():
                with open_run("edge", sample="none", angles=[1, 2]) as run:
                    row = record(device("stage"), "meter", gain=2.0)
                    return [run.id, row]
            """),
        )
    assert end.result == ["run-1", {"stage": 0.0, "meter": 0.0, "gain": 2.0}]
    assert b.requests[0] == OpenRun("edge", {"sample": "none", "angles": [1, 2]})
    assert Record(["stage", "meter"], {"gain": 2.0}) in b.requests
    assert b.requests[-1] == CloseRun(False, "")


async def test_an_error_closes_the_run_as_failed(sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:
        end = await run(box, b, "with open_run('x'):\n    1 / 0")
    assert b.requests[-1] == CloseRun(True, "ZeroDivisionError: division by zero")
    assert end.message == "ZeroDivisionError: division by zero"


async def test_plans_send_one_request_per_point_and_return_columns(sandbox, bench, script) -> None:
    b = bench()
    async with sandbox() as box:
        end = await run(
            box,
            b,
            script("""
            def main():
                meter, stage = device("meter"), device("stage")
                first = scan([meter], stage, 0, 2, 3)
                with open_run("both"):
                    grid = grid_scan(meter, stage, 0, 1, 2, "rotator", 0, 1, 2, snake=True)
                    count([meter], 2)
                return [first, len(grid["stage"])]
            """),
        )
    assert end.result == [{"stage": [0, 1, 2], "meter": [0, 1, 4]}, 4], end.traceback
    assert sum(isinstance(r, Point) for r in b.requests) == 7
    assert [r.name for r in b.requests if isinstance(r, OpenRun)] == ["scan", "both"]


async def test_a_fly_scan_records_while_the_motor_moves(sandbox, bench, script) -> None:
    b = bench(speed=10.0)
    async with sandbox() as box:
        end = await run(
            box,
            b,
            script("""
            def main():
                return fly_scan(["meter"], "stage", 0, 2, interval=0.05)
            """),
        )
    assert end.ending is Ending.COMPLETED, end.traceback
    assert 3 <= len(end.result["meter"]) <= 8
    assert end.result["stage"][-1] == 2.0


async def test_progress_follows_the_outer_loops_of_main(sandbox, bench, script) -> None:
    seen = []
    b = bench()

    class Watching(type(b)):  # type: ignore[misc]
        async def perform(self, request, *, stopping=False):
            if isinstance(request, Record):
                seen.append(program.progress)
            return await super().perform(request, stopping=stopping)

    source = script("""
        def helper():
            for i in range(3):
                pass
        def main():
            for i, name in enumerate(["a", "b"]):
                for j in range(2):
                    helper()
                    record("meter")
            for k in linspace(0, 1, 4):
                record("meter")
    """)
    async with sandbox() as box:
        program = box.program(source, "scan.py", {}, "e1")
        await program.run(Watching())
    assert seen == pytest.approx([0, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8], abs=0.01)
    assert program.progress == 1.0


async def test_progress_can_be_given_by_the_script(sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:
        program = box.program(
            "for i in range(9):\n    progress(0.25, 'warming up')", "s.py", {}, "e"
        )
        await program.run(b)
    assert program.progress == 0.25
    assert Progress("warming up") in b.requests


async def test_a_runtime_error_shows_the_scripts_own_frames(sandbox, bench, script) -> None:
    async with sandbox() as box:
        end = await run(
            box,
            bench(),
            script("""
            def gain(v, ref):
                return v / ref

            def main():
                µ = 3; x = gain(1.0, µ - 3)
            """),
        )
    assert end.ending is Ending.FAILED
    assert end.line == 2
    assert end.traceback == (
        "Traceback (most recent call last):\n"
        '  File "scan.py", line 5, in main\n'
        "    µ = 3; x = gain(1.0, µ - 3)\n"
        "               ^^^^^^^^^^^^^^^^\n"
        '  File "scan.py", line 2, in gain\n'
        "    return v / ref\n"
        "           ^^^^^^^\n"
        "ZeroDivisionError: float division by zero\n"
    )


async def test_causes_are_part_of_the_traceback(sandbox, bench, script) -> None:
    async with sandbox() as box:
        end = await run(
            box,
            bench(),
            script("""
            try:
                {}["key"]
            except KeyError as error:
                raise ValueError("no such thing") from error
            """),
        )
    assert "direct cause" in end.traceback
    assert end.traceback.index("KeyError: 'key'") < end.traceback.index("ValueError: no such")
    assert end.message == "ValueError: no such thing"


async def test_the_language_works_as_python_does(sandbox, bench, script) -> None:
    async with sandbox() as box:
        end = await run(
            box,
            bench(),
            script('''
            """Everything that the language promises."""
            from __future__ import annotations
            import math, random
            import numpy as np
            from statistics import mean as average

            class Base:
                def __init__(self, x: float = 1) -> None:
                    self.x = x
                    self.log = []
                def __len__(self):
                    return 3
                def plus(self, y):
                    return y
                def __call__(self, y):
                    return self.x + y

            class Child(Base):
                def __init__(self):
                    super().__init__(5)
                @property
                def double(self):
                    return 2 * self.x
                def twice(self):
                    return super().plus(self.double)

            class MyError(ValueError):
                pass

            def numbers(n):
                for i in range(n):
                    got = yield i
                    if got:
                        yield got

            def kind(x):
                match x:
                    case 0 | 1:
                        return "bit"
                    case [first, *rest]:
                        return f"list {first} {len(rest)}"
                    case {"a": value, **others}:
                        return ("map", value, others)
                    case int(n) if n > 5:
                        return "big"
                    case str():
                        return "text"
                    case _:
                        return None

            def counter():
                n = 0
                def up():
                    nonlocal n
                    n += 1
                    return n
                return up

            def main():
                c = Child()
                c.x += 1
                d = {"k": [1, 2, 3]}
                d["k"][0] += 10
                d["k"][1:] += [4]
                a = b = np.zeros((2, 2))
                a[0, 1:] += 2
                up = counter(); up()
                try:
                    raise MyError("x", 1)
                except (KeyError, ValueError) as error:
                    args = error.args
                finally:
                    done = True
                y: float = 3
                (p, q), *r = [(1, 2), 3, 4]
                walrus = [z for x in range(4) if (z := x * x) > 1]
                return [c.double, c.twice(), len(c), c(1), d["k"], float(b.sum()), up(), list(args),
                        list(numbers(3)), kind(1), kind([1, 2]), kind({"a": 1, "b": 2})[2], kind(7),
                        kind("s"), p + q, r, walrus, "{:.2f} {n}".format(math.pi, n=3), f"{y!r:>4}",
                        average([1, 2, 3]), sorted([3, 1], key=lambda v: -v), sum(x for x in range(4)),
                        {k: v for k, v in zip("ab", (1, 2))}, done, random.random() < 1,
                        np.random.default_rng(1).normal(size=3).shape[0], -7 // 2, 2 ** -1,
                        "%5.1f|%s" % (1.25, "x"), not None, [*range(2), *"ab"], max(*[1, 2])]
            '''),
        )
    assert end.traceback == ""
    assert end.result == [
        12, 12, 3, 7, [11, 2, 3, 4], 2.0, 2, ["x", 1], [0, 1, 2], "bit", "list 1 1", {"b": 2}, "big", "text",
        3, [3, 4], [4, 9], "3.14 3", "   3", 2, [3, 1], 6, {"a": 1, "b": 2}, True, True, 3, -4, 0.5,
        "  1.2|x", True, [0, 1, "a", "b"], 2,
    ]  # fmt: skip


async def test_random_numbers_differ_from_run_to_run(sandbox, bench) -> None:
    source = "import random\nimport numpy as np\ndef main():\n    return [random.random(), np.random.default_rng().random(), np.random.rand()]"
    async with sandbox() as box:
        ends = [await run(box, bench(), source) for _ in range(2)]
    assert len({value for end in ends for value in end.result}) == 6


async def test_values_and_arrays_survive_both_ways(sandbox, bench, script) -> None:
    async with sandbox() as box:
        end = await run(
            box,
            bench(),
            script("""
            import numpy as np
            def main(a):
                row = record("meter", wave=np.linspace(0, 1, 3), n=np.int64(3), bad=float("nan"), text="µ")
                return [row["wave"] * 2, row["n"], row["bad"], row["text"], a]
            """),
            a=np.eye(2),
        )
    wave, n, bad, text, a = end.result
    assert wave.tolist() == [0, 1, 2]
    assert (n, text) == (3, "µ")
    assert math.isnan(bad)
    assert (a == np.eye(2)).all()


async def test_numpy_can_be_withheld(sandbox, bench) -> None:
    async with sandbox(numpy=False) as box:
        check = await box.check("import numpy", "s.py")
        end = await run(box, bench(), "import math\nprint(math.pi)")
    assert [d.code for d in check.diagnostics] == ["IMPORT"]
    assert end.ending is Ending.COMPLETED


async def test_parameters_that_cannot_be_handed_over_are_refused(sandbox, bench) -> None:
    async with sandbox() as box:
        with pytest.raises(ParameterError, match="cannot be handed"):
            await run(box, bench(), "def main(a):\n    pass", a=object())


async def test_every_layer_of_confinement_is_reported(sandbox) -> None:
    async with sandbox() as box:
        layers = box.confinement()
        assert {"seccomp", "landlock", "memory_limit", "no_new_privileges"} <= set(layers)
        assert layers["seccomp"] == "active"


async def test_a_long_list_of_numbers_crosses_as_an_array(sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:
        listed = await run(box, b, "x = [1.5] * 200_000\nrecord('meter', x=x)")
        assert len(b.requests[-1].values["x"]) == 200_000
        array = await run(box, b, "import numpy as np\nrecord('meter', x=np.full(200_000, 1.5))")
    assert (listed.ending, array.ending) == (Ending.COMPLETED, Ending.COMPLETED)
    assert b.requests[-1].values["x"].shape == (200_000,)


async def test_many_programs_run_at_once_and_leave_nothing_behind(sandbox, bench) -> None:

    async with sandbox() as box:
        await run(box, bench(), "print(1)")
        before = len(list(Path("/proc/self/fd").iterdir()))
        async with trio.open_nursery() as nursery:
            for n in range(30):
                nursery.start_soon(
                    run,
                    box,
                    bench(),
                    f"for i in range(5):\n    print({n}, i)\n1/(i-4) if {n} % 2 else 0",
                )
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        zygote = box.statistics().zygote_pid
        children = Path(f"/proc/{zygote}/task/{zygote}/children")
        with trio.fail_after(5):
            while children.read_text():  # dead, but the zygote has yet to look
                await trio.sleep(0.001)
        assert len(list(Path(f"/proc/{zygote}/fd").iterdir())) <= 6
    assert not Path(f"/proc/{zygote}").exists()
