"""Stop, pause, force and limits, against scripts that do their worst."""

# ruff: noqa: E501 - short scripts on one line

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

from daq.core import Call, CloseRun, Ending, Log, Record
from daq.scripting import SandboxLimits
from daq.scripting.parent.program import SandboxedProgram

PATIENCE_S = 10


async def wait_for(condition) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.002)


async def run_and(box, bench, source, disturb, **parameters):
    """Run the script, and `disturb(program)` once it has printed `go`."""
    ends = []
    program = box.program(source, "s.py", parameters, "e1")

    async def follow() -> None:
        ends.append(await program.run(bench))

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await wait_for(lambda: "go" in bench.output or ends)
            await disturb(program)
    return ends[0], program


def stopping(bench):
    async def disturb(program) -> None:
        program.request_stop()
        bench.stop()

    return disturb


async def killing(program) -> None:
    program.kill("force")


STOPPABLE = {
    "while": "while True:\n    pass",
    "swallow": "while True:\n    try:\n        while True:\n            pass\n    except:\n        pass",
    "swallow_exception": "while True:\n    try:\n        for i in range(10**9):\n            pass\n    except Exception:\n        pass",
    "comprehension": "x = [i for i in range(10**9) if i < 0]",
    "recursion": "def f():\n    try:\n        f()\n    except RecursionError:\n        pass\nwhile True:\n    f()",
    "sleep": "sleep(1e6)",
    "time_sleep": "import time\ntime.sleep(1e6)",
    "flood": "while True:\n    print('x' * 100)",
    "line_ends": "while True:\n    print('\\n' * 10000)",
    "records": "while True:\n    record('meter')",
    "move": "device('stage').move_abs(5)",
    "lost_in_cleanup": "while True:\n    try:\n        try:\n            while True:\n                pass\n        finally:\n            1 / 0\n    except Exception:\n        pass",
    "generator": "def g():\n    try:\n        while True:\n            yield 1\n    finally:\n        pass\nfor x in g():\n    pass",
}


@pytest.mark.parametrize("name", STOPPABLE)
async def test_a_graceful_stop_ends_it(name, sandbox, bench) -> None:
    b = bench(speed=0.01)
    source = f"print('go')\n{STOPPABLE[name]}\nprint('survived')"
    async with sandbox() as box:
        end, _ = await run_and(box, b, source, stopping(b))
    assert end.ending is Ending.STOPPED
    assert "survived" not in b.output
    assert not b.moving


HOSTILE = {
    **{name: STOPPABLE[name] for name in ("while", "swallow", "sleep", "flood", "recursion")},
    "finally": "try:\n    while True:\n        pass\nfinally:\n    while True:\n        pass",
    "sum": "sum(range(10**12))",
    "max": "max(iter(int, 1))",
    "power": "x = 10 ** 10 ** 8",
    "swallowed_memory": "x = []\nwhile True:\n    try:\n        x += [0] * 10**6\n    except MemoryError:\n        pass",
    "lambda": "f = lambda: max(iter(lambda: 0, 1))\nf()",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_force_ends_it(name, sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:
        end, _ = await run_and(box, b, f"print('go')\n{HOSTILE[name]}\n", killing)
        after = await box.program("x = 1", "s.py", {}, "e2").run(bench())
    assert end.ending is Ending.KILLED
    assert end.message == "force"
    assert after.ending is Ending.COMPLETED


async def test_force_ends_a_cleanup_that_never_ends(sandbox, bench) -> None:
    b = bench()

    async def disturb(program) -> None:
        program.request_stop()
        await wait_for(lambda: "cleaning" in b.output)
        program.kill("grace period over")

    source = "print('go')\ntry:\n    while True:\n        pass\nfinally:\n    print('cleaning')\n    while True:\n        pass"
    async with sandbox() as box:
        end, _ = await run_and(box, b, source, disturb)
    assert (end.ending, end.message) == (Ending.KILLED, "grace period over")


async def test_cleanup_runs_with_hardware_and_the_run_is_closed(sandbox, bench, script) -> None:
    b = bench(speed=1000)
    source = script("""
        def main():
            stage = device("stage")
            with open_run("scan"):
                try:
                    print("go")
                    while True:
                        record(stage)
                except Exception:
                    print("not this one")
                finally:
                    for i in range(3):
                        stage.move_abs(i)
                    print("cleaned", stop_requested())
    """)
    async with sandbox() as box:
        end, _ = await run_and(box, b, source, stopping(b))
    assert end.ending is Ending.STOPPED
    assert b.output == ["go", "cleaned True"]
    assert Call("stage", "move_abs", [2]) in b.requests
    assert [r for r in b.requests if not isinstance(r, Log)][-1] == CloseRun(False, "")


async def test_a_failing_cleanup_is_told(sandbox, bench) -> None:
    b = bench()
    source = "try:\n    print('go')\n    while True:\n        pass\nfinally:\n    1 / 0"
    async with sandbox() as box:
        end, _ = await run_and(box, b, source, stopping(b))
    assert end.ending is Ending.STOPPED
    assert end.message == "its cleanup failed: ZeroDivisionError: division by zero"
    assert "line 6" in end.traceback


async def test_a_stop_ends_a_fly_scan_and_its_move(sandbox, bench) -> None:
    b = bench(speed=0.5)
    source = "print('go')\nfly_scan(['meter'], 'stage', 0, 9, interval=0.01)"

    async def disturb(program) -> None:
        # The move to the start is over: this one is the flight.
        await wait_for(lambda: any(isinstance(request, Record) for request in b.requests))
        await stopping(b)(program)

    async with sandbox() as box:
        end, _ = await run_and(box, b, source, disturb)
    assert end.ending is Ending.STOPPED
    assert b.stops == 1
    assert not b.moving


async def test_a_pause_holds_the_script_and_a_resume_lets_it_go_on(sandbox, bench) -> None:
    b = bench()

    async def disturb(program) -> None:
        program.request_pause()
        await b.paused.wait()
        assert program.line in (2, 3)
        seen = len(b.output)
        await trio.sleep(0.03)
        assert len(b.output) == seen
        program.request_resume()
        b.resumed.set()

    async with sandbox() as box:
        end, _ = await run_and(
            box, b, "print('go')\nfor i in range(100):\n    sleep(0.002)", disturb
        )
    assert end.ending is Ending.COMPLETED


@pytest.mark.parametrize("force", [False, True])
async def test_a_paused_script_can_be_stopped(force, sandbox, bench) -> None:
    b = bench()

    async def disturb(program) -> None:
        program.request_pause()
        await b.paused.wait()
        await (killing if force else stopping(b))(program)

    async with sandbox() as box:
        end, _ = await run_and(box, b, "print('go')\nwhile True:\n    pass", disturb)
    assert end.ending is (Ending.KILLED if force else Ending.STOPPED)


async def test_what_is_asked_before_the_start_holds(sandbox, bench) -> None:
    async with sandbox() as box:
        stopped = box.program("while True:\n    pass", "s.py", {}, "e1")
        stopped.request_stop()
        killed = box.program("while True:\n    pass", "s.py", {}, "e2")
        killed.kill("never mind")
        with trio.fail_after(PATIENCE_S):
            assert (await stopped.run(bench())).ending is Ending.STOPPED
            assert (await killed.run(bench())).message == "never mind"


async def test_a_cancelled_run_leaves_no_process(sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:
        program = box.program("print('go')\nwhile True:\n    pass", "s.py", {}, "e1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.run, b)
            await wait_for(lambda: b.output)
            process = program._process._spawned
            nursery.cancel_scope.cancel()
        assert process.status is not None or not Path(f"/proc/{process.pid}/fd/0").exists()


async def test_the_line_inside_of_a_c_call_is_located(sandbox, bench) -> None:
    b = bench()
    lines = []

    async def disturb(program) -> None:
        while not lines or lines[-1] != 5:
            lines.append(await program.locate())
        assert [await program.locate() for _ in range(30)] == [5] * 30
        program.kill("seen")

    source = "def main():\n    def inner():\n        x = 3\n        print('go')\n        return sum(range(10**12))\n    inner()"
    async with sandbox() as box:
        end, _ = await run_and(box, b, source, disturb)
    assert end.ending is Ending.KILLED


async def test_the_line_is_known_at_each_request_and_plain_statement(sandbox, bench) -> None:
    b = bench()

    async def disturb(program) -> None:
        await wait_for(lambda: program.line == 4)
        program.kill("seen")

    source = "def main():\n    print('go')\n    if True:\n        y = sum(range(10**12))"
    async with sandbox() as box:
        _, program = await run_and(box, b, source, disturb)
    assert program.line == 4


@pytest.mark.parametrize(
    ("source", "limits", "message"),
    [
        ("x = [0] * 10**10", {"memory_mb": 64}, "memory_mb"),
        (
            "x = []\nwhile True:\n    x.append('a' * 10**6)",
            {"memory_mb": 64},
            "64 MB of memory (memory_mb)",
        ),
        (
            "while True:\n    print('x' * 1000)",
            {"max_output_mb": 0.01},
            "0.01 MB of output was reached (max_output_mb)",
        ),
        (
            "while True:\n    print()",
            {"max_output_lines": 1000},
            "1000 lines of output was reached (max_output_lines)",
        ),
        (
            "while True:\n    record('meter')",
            {"max_records": 20},
            "limit of 20 events was reached (max_records)",
        ),
        (
            "count(['meter'], 100)",
            {"max_records": 20},
            "limit of 20 events was reached (max_records)",
        ),
        (
            "while True:\n    with open_run('x'): pass",
            {"max_runs": 5},
            "limit of 5 runs was reached (max_runs)",
        ),
        (
            "while True:\n    pass",
            {"max_duration_s": 0.05},
            "limit of 0.05 s of run time was reached (max_duration_s)",
        ),
        ("def f():\n    f()\nf()", {}, "RecursionError"),
    ],
)
async def test_reaching_a_limit_names_it(source, limits, message, sandbox, bench) -> None:
    async with sandbox(**limits) as box:
        with trio.fail_after(PATIENCE_S):
            end = await box.program(source, "s.py", {}, "e1").run(bench())
    assert message in end.message
    assert end.ending in (Ending.FAILED, Ending.KILLED)


async def test_time_spent_paused_does_not_count(sandbox, bench) -> None:
    b = bench()

    async def disturb(program) -> None:
        program.request_pause()
        await b.paused.wait()
        await trio.sleep(0.6)
        program.request_resume()
        b.resumed.set()

    async with sandbox(max_duration_s=0.5) as box:
        end, _ = await run_and(
            box, b, "print('go')\nfor i in range(10):\n    sleep(0.001)", disturb
        )
    assert end.ending is Ending.COMPLETED


async def test_a_print_flood_is_slowed_down_but_loses_nothing(sandbox, bench) -> None:
    b = bench()
    async with sandbox(output_lines_per_s=2000.0) as box:
        start = trio.current_time()
        end = await box.program("for i in range(5000):\n    print(i)", "s.py", {}, "e1").run(b)
        elapsed = trio.current_time() - start
    assert end.ending is Ending.COMPLETED
    assert b.output == [str(i) for i in range(5000)]
    assert elapsed > 0.2


async def test_a_long_line_is_cut(sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:
        await box.program("print('x' * 10**6)", "s.py", {}, "e1").run(b)
    assert len(b.output[0]) < 17_000
    assert b.output[0].endswith("more characters)")


async def test_a_crash_of_the_interpreter_ends_only_the_script(sandbox, bench) -> None:
    b = bench()
    source = "x = iter([1])\nfor i in range(10**6):\n    x = map(abs, x)\nfor y in x:\n    pass"
    async with sandbox() as box:
        with trio.fail_after(PATIENCE_S):
            end = await box.program(source, "s.py", {}, "e1").run(b)
            after = await box.program("x = 1", "s.py", {}, "e1").run(b)
    assert end.ending is Ending.KILLED
    assert "SIGSEGV" in end.message
    assert after.ending is Ending.COMPLETED


async def test_a_lost_zygote_ends_its_programs_and_comes_back(sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:

        async def disturb(_program) -> None:
            os.kill(box.statistics().zygote_pid, signal.SIGKILL)

        end, _ = await run_and(box, b, "print('go')\nwhile True:\n    pass", disturb)
        assert (end.ending, end.message) == (Ending.KILLED, "the sandbox was lost")
        with trio.fail_after(PATIENCE_S):
            assert (await box.check("x = 1", "s.py")).accepted
            assert (await box.program("x = 1", "s.py", {}, "e").run(b)).ending is Ending.COMPLETED
        assert box.statistics().restarts == 1


async def test_signals_for_the_service_are_left_to_the_daemon(sandbox, bench) -> None:
    b = bench()
    async with sandbox() as box:

        async def disturb(program) -> None:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(box.statistics().zygote_pid, number)
                os.kill(program._process._spawned.pid, number)
            await trio.sleep(0.02)
            await stopping(b)(program)

        end, _ = await run_and(box, b, "print('go')\nwhile True:\n    pass", disturb)
        assert box.statistics().restarts == 0
    assert end.ending is Ending.STOPPED


async def test_checks_are_bounded_in_time(sandbox) -> None:
    source = "x = " + "[" * 50 + "]" * 50 + "\n" + "y = 1\n" * 20_000
    async with sandbox(check_timeout_s=0.001) as box:
        check = await box.check(source, "s.py")
    assert [d.code for d in check.diagnostics] == ["SIZE"]
    assert "check_timeout_s" in check.diagnostics[0].message


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("x = 1\n\0", "SYNTAX", "NUL"),
        ("x = '\udcff'", "SYNTAX", "UTF-8"),
        ("#" * 300_000, "SIZE", "max_source_bytes"),
        ("x = " + "(" * 5000, "SYNTAX", ""),
        ("x = " + "-" * 100_000 + "1", "SYNTAX", ""),
        ("def main(*a): pass", "POLICY", "'a'"),
    ],
)
async def test_what_is_not_a_script_is_refused(source, code, message, sandbox) -> None:
    async with sandbox() as box:
        check = await box.check(source, "s.py")
    assert [d.code for d in check.diagnostics] == [code]
    assert message in check.diagnostics[0].message


@pytest.mark.slow
async def test_asking_for_the_line_never_harms_a_script(sandbox, bench) -> None:
    b = bench()
    questions = max(1000, round(100_000 * float(os.environ.get("DAQ_SLOW_FACTOR", "1"))))

    async def disturb(program) -> None:
        found = {await program.locate() for _ in range(questions)}
        assert found <= set(range(1, 14))
        assert len(found) > 3
        program.kill("asked enough")

    # What a dump of the stack at any moment did crash, about once in 40,000.
    source = "print('go')\nclass A:\n    @property\n    def x(self):\n        return 1\na = A()\ndef g():\n    yield a.x\nwhile True:\n    a.x\n    a.y = 1\n    for i in g():\n        sorted([3, 1, 2], key=lambda v: -v)"
    async with sandbox() as box:
        program = box.program(source, "s.py", {}, "e1")
        async with trio.open_nursery() as nursery:
            ends = []

            async def follow() -> None:
                ends.append(await program.run(b))

            nursery.start_soon(follow)
            await wait_for(lambda: "go" in b.output)
            await disturb(program)
    assert ends[0].message == "asked enough"


async def test_force_does_not_wait_for_a_sandbox_that_is_being_restarted(bench) -> None:
    class Restarting:
        async def zygote(self):
            await trio.sleep_forever()

    program = SandboxedProgram(Restarting(), SandboxLimits(), "x = 1", "s.py", {}, "e1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_kill_when_idle, program)
        with trio.fail_after(PATIENCE_S):
            end = await program.run(bench())
    assert (end.ending, end.message) == (Ending.KILLED, "force")


async def _kill_when_idle(program) -> None:
    await trio.testing.wait_all_tasks_blocked()
    program.kill("force")
