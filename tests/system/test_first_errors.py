"""What a newcomer does wrongly, in scripts and at the prompt: what it was, where, what to do."""

import pytest

from daq.client import connect
from daq.core import DaqError, ExecutionState


@pytest.fixture(scope="module")
def bench(shared_daemon):
    with connect(shared_daemon.address) as bench:
        yield bench


SCRIPTS = [
    ("stage.move_abs(position=3, sped=1)", "stage.move_abs(position)", "no argument 'sped'"),
    ("stage.move_abs()", "stage.move_abs(position)", "'position' is missing"),
    ("stage.move_abs(1, 2)", "stage.move_abs(position)", "it takes one argument, not 2"),
    ("stage.move_abs('3 mm')", "position takes a number in mm", "nothing was changed"),
    ("stage.move_abs(33)", "33 mm is outside the limits [-10, 10] mm", "nothing was changed"),
    ("stage.mov_abs(3)", "no 'mov_abs'", "did you mean 'move_abs'?"),
    ("stage.position = 3", "'position' cannot be set", "move_abs(...)"),
    ("device('stge')", "no device 'stge'", "did you mean 'stage'?"),
    ("device(3)", "the id of a device as text", "not int"),
    ("laser.wavelength(532)", "532 nm is outside the limits [690, 1040] nm", "nothing was"),
    ("laser.wavelength('red')", "takes a number in nm", "not 'red'"),
    ("laser.set('wavelenght', 700)", "no parameter 'wavelenght'", "did you mean 'wavelength'?"),
    ("laser.set('wavelength')", "set(name, value)", "'value' is missing"),
    ("laser.emission('maybe')", "takes True or False", "not 'maybe'"),
    ("device('camera').frames('two')", "n takes a whole number from 1", "not 'two'"),
    ("record()", "nothing to record", "name devices, or give values"),
    ("record('stge')", "no device 'stge'", "did you mean 'stage'?"),
    ("record('stage', v=stage)", "record(v=...)", "can"),
    ("sleep('long')", "sleep() takes a number of seconds", "not 'long'"),
    ("linspace(0, 1, 2.5)", "linspace() takes a whole number of points", "not 2.5"),
    ("progress('half')", "progress() takes a fraction from 0 to 1", "not 'half'"),
    ("open_run()", "open_run() missing", "'name'"),
    ("log('x', level='loud')", "level is one of debug, info", "not 'loud'"),
    ("scan(['power_meter'], stage, -1, 1)", "scan: after the detectors", "num"),
    ("scan(['power_meter'], stage, -1, 99, 5)", "99 mm is outside the limits", "nothing was"),
    ("scan(['power_meter'], 'stage', -1, 1, 5, dwel=1)", "no 'dwel'", "did you mean 'dwell'?"),
    ("scan(['stage'], 'power_meter', -1, 1, 5)", "power_meter: cannot be moved", "read()"),
    ("count(['power_meter'], -1)", "num is a whole number from 1", "not -1"),
    ("list_scan(['power_meter'], stage, [])", "positions is empty", "no position to go to"),
    ("fly_scan(['power_meter'], stage, -1, 1, interval=0)", "interval", "above 0, not 0"),
]


@pytest.mark.parametrize(("line", "what", "remedy"), SCRIPTS)
def test_a_script_is_told_what_where_and_what_to_do(bench, line, what, remedy):
    source = f"def main():\n    stage, laser = device('stage'), device('laser')\n    {line}\n"
    execution = bench.start(source)
    view = execution.wait()
    assert view.record.state is ExecutionState.ERROR
    text = view.record.traceback
    assert what in text
    assert remedy in text
    assert "line 3, in main" in text
    assert "^" in text
    assert "\\n" not in text


def test_a_mistake_at_the_prompt_names_the_device(bench):
    for mistake, what in [
        (lambda: bench["stge"], "did you mean 'stage'?"),
        (lambda: bench["stage"].move("3 mm"), "stage"),
        (lambda: setattr(bench["stage"], "positon", 3), "did you mean 'position'?"),
        (lambda: bench["power_meter"].move(3), "power_meter does not have the Movable"),
        (lambda: bench["laser"].parameters.wavelenght, "did you mean 'wavelength'?"),
        (lambda: bench.scan([bench["power_meter"]], bench["stage"], -1, 99, 5), "99 mm"),
    ]:
        with pytest.raises((DaqError, AttributeError, TypeError)) as caught:
            mistake()
        assert what in str(caught.value)
