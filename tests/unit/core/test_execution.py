from daq.core import (
    OPERATIONS,
    STANDARD,
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceSnapshot,
    DeviceState,
    DeviceStop,
    Diagnostic,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    ScriptCheck,
    StopOutcome,
    StopReport,
    Transition,
    operations_of,
)


def record(*transitions):
    return ExecutionRecord(
        "e1", "s1", "scan", {}, "alice", tuple(Transition(state, at) for state, at in transitions)
    )


def test_a_record_tells_its_state_and_times_from_its_transitions():
    s = ExecutionState
    done = record((s.PENDING, 1), (s.RUNNING, 5), (s.PAUSED, 6), (s.RUNNING, 8), (s.COMPLETED, 9))
    assert (done.state, done.started_ns, done.ended_ns) == (s.COMPLETED, 5, 9)


def test_what_has_not_begun_or_ended_has_no_time():
    s = ExecutionState
    assert (record((s.PENDING, 1)).started_ns, record((s.PENDING, 1)).ended_ns) == (0, 0)
    assert record((s.PENDING, 1), (s.RUNNING, 2)).ended_ns == 0
    assert record((s.PENDING, 1), (s.KILLED, 2)).started_ns == 0


def test_exactly_four_states_are_final():
    assert {state.value for state in ExecutionState if state.is_final} == {
        "COMPLETED",
        "ERROR",
        "STOPPED",
        "KILLED",
    }


def test_a_diagnostic_points_at_its_place():
    diagnostic = Diagnostic(3, 9, 3, 13, "POLICY", "no eval", "    x = eval('1')")
    assert diagnostic.render("scan.py") == (
        "  File \"scan.py\", line 3, column 9\n    x = eval('1')\n        ^^^^\nPOLICY: no eval"
    )


def test_a_diagnostic_over_several_lines_points_to_the_end_of_its_first():
    diagnostic = Diagnostic(1, 5, 3, 2, "SYNTAX", "unclosed", "x = [1,  ")
    assert "    x = [1,\n        ^^^\n" in diagnostic.render("scan.py")


def test_a_check_without_diagnostics_is_an_acceptance():
    assert ScriptCheck().accepted
    assert not ScriptCheck((Diagnostic(1, 1, 1, 2, "SYNTAX", "x"),)).accepted


def test_operations_follow_from_capabilities():
    names = [op.name for op in operations_of(frozenset({Capability.MOVABLE}))]
    assert names == ["move_abs", "move_rel", "home", "position", "wait_settled"]
    assert operations_of(frozenset()) == ()
    of_parameters = {row.capability for row in STANDARD.values()} - {None}
    assert {op.capability for op in OPERATIONS.values()} == set(Capability) - {
        Capability.SAMPLE_PRODUCER,
        Capability.COMMANDABLE,
        *of_parameters,
    }


def test_views_are_short_at_a_prompt():
    s = ExecutionState
    running = ExecutionView(record((s.PENDING, 1), (s.RUNNING, 5)), 3)
    assert repr(running) == "<execution e1 of scan: RUNNING>"
    stop = DeviceStop("stage", StopOutcome.STOPPED, 0.01, position=1.5, units="mm")
    assert repr(stop) == "<stage: stopped, at 1.5 mm>"
    report = StopReport("e1", s.STOPPED, "", 0.25, (stop,))
    assert repr(report) == "<stop of e1: STOPPED after 250 ms, stage stopped>"
    state = DeviceSnapshot("stage", DeviceState.READY, 1, 1, fields={"position": 1.5})
    assert repr(state) == "<stage: ready, position 1.5>"
    what = DeviceDescription(
        "stage",
        "simulated.stage",
        Category.STAGE,
        frozenset({Capability.MOVABLE}),
        Channel("stage", "mm"),
    )
    assert repr(what) == "<stage (simulated.stage): movable>"
