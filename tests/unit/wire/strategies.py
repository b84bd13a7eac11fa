"""Hypothesis strategies for core values, within what the wire can carry."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from daq import core

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
# betterproto drops a map's entry whose name and value are both empty.
names = texts.filter(bool)
words = st.text("abcdefgh_", min_size=1, max_size=8)
numbers = st.integers(0, 2**31 - 1)
times = st.integers(0, 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
# Milliseconds on the wire: the last bit of a number of seconds may change on the way.
milli_floats = st.integers(-(10**9), 10**9).map(float)
scalars = st.booleans() | st.integers(-(2**53), 2**53) | floats | texts
jsons = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)


def bounds(values):
    return st.tuples(values, values).map(lambda pair: core.Limits(min(pair), max(pair)))


def maybe(strategy):
    return st.none() | strategy


transitions = st.builds(core.Transition, st.sampled_from(core.ExecutionState), times, texts)
records = st.builds(
    core.ExecutionRecord,
    id=words,
    script_id=words,
    script_name=texts,
    parameters=st.dictionaries(words, texts, max_size=3),
    user=texts,
    transitions=st.lists(transitions, min_size=1, max_size=4).map(tuple),
    message=texts,
    traceback=texts,
    line=numbers,
    progress=maybe(floats),
    run_ids=st.lists(words, max_size=2).map(tuple),
)
views = st.builds(
    core.ExecutionView,
    records,
    version=numbers,
    source_line=texts,
    progress_message=texts,
    elapsed_s=floats,
    remaining_s=maybe(floats),
    queue_position=numbers,
    result=jsons,
)
script_parameters = st.one_of(
    st.builds(core.ScriptParameter, words, texts, st.just(True)),
    st.builds(core.ScriptParameter, words, texts, st.just(False), jsons),
)
scripts = st.builds(
    core.Script,
    id=words,
    name=texts,
    source=texts,
    sha256=words,
    uploaded_ns=times,
    metadata=st.dictionaries(names, texts, max_size=3),
    parameters=st.lists(script_parameters, max_size=3).map(tuple),
    description=texts,
)
places = st.integers(0, 300)  # they are drawn as carets
diagnostics = st.builds(core.Diagnostic, places, places, places, places, words, texts, texts)
checks = st.builds(
    core.ScriptCheck,
    st.lists(diagnostics, max_size=3).map(tuple),
    st.lists(script_parameters, max_size=3).map(tuple),
    texts,
)
outputs = st.builds(core.OutputLine, times, words, texts, numbers)
stops = st.builds(
    core.StopReport,
    words,
    st.sampled_from(core.ExecutionState),
    texts,
    floats,
    st.lists(
        st.builds(core.DeviceStop, words, st.sampled_from(core.StopOutcome), floats, texts),
        max_size=3,
    ).map(tuple),
    numbers,
    st.booleans(),
)
device_parameters = st.builds(
    core.DeviceParameter,
    words,
    st.sampled_from(["bool", "int", "float", "str"]),
    texts,
    texts,
    st.booleans(),
    st.booleans(),
    maybe(bounds(floats)),
    st.lists(texts, max_size=3).map(tuple),
)
device_actions = st.builds(
    core.DeviceAction,
    words,
    texts,
    st.lists(device_parameters, max_size=2).map(tuple),
    st.booleans(),
)
by_themselves = {operation.capability for operation in core.OPERATIONS.values()}
dtypes = st.sampled_from(["f8", "u2"])


@st.composite
def standard_parameters(draw):
    """As a driver offers them: what differs is what the wire carries."""
    row = draw(st.sampled_from(list(core.STANDARD.values())))
    return replace(
        row,
        units=draw(texts),
        limits=draw(maybe(bounds(milli_floats))),
        tolerance=draw(maybe(floats)),
        setpoint=draw(st.sampled_from(["", row.setpoint])),
    )


@st.composite
def descriptions(draw):
    device_id = draw(words)
    shape = draw(st.lists(numbers, max_size=2).map(tuple))
    return core.DeviceDescription(
        id=device_id,
        driver=draw(words),
        category=draw(st.sampled_from(core.Category)),
        capabilities=draw(st.frozensets(st.sampled_from(sorted(by_themselves)))),
        channel=core.Channel(device_id, draw(texts), draw(dtypes), shape),
        label=draw(texts.filter(lambda text: text != device_id)),
        units=draw(texts),
        limits=draw(maybe(bounds(floats))),
        tolerance=draw(maybe(floats)),
        resolution=draw(maybe(st.tuples(numbers, numbers))),
        bits_per_pixel=draw(maybe(numbers)),
        reading=draw(maybe(st.builds(core.Channel, words, texts, dtypes, st.just(shape)))),
        parameters=draw(
            st.lists(
                device_parameters | standard_parameters(), max_size=3, unique_by=attrgetter("name")
            ).map(tuple)
        ),
        actions=draw(st.lists(device_actions, max_size=2, unique_by=attrgetter("name")).map(tuple)),
    )


snapshots = st.builds(
    core.DeviceSnapshot,
    words,
    st.sampled_from(core.DeviceState),
    numbers,
    times,
    texts,
    texts,
    st.dictionaries(words, scalars, max_size=4),
)
summaries = st.builds(
    core.RunSummary,
    words,
    texts,
    times,
    times,
    maybe(st.sampled_from(core.RunOutcome)),
    texts,
    texts,
    texts,
    words,
    texts,
    numbers,
    texts,
    st.dictionaries(names, jsons, max_size=3),
)
columns = st.builds(
    core.Column, texts, texts, words, st.lists(numbers, max_size=3).map(tuple), texts, words
)


@st.composite
def measurements(draw):
    samples = draw(st.integers(1, 3))
    shape = (samples, *draw(st.lists(st.integers(0, 3), max_size=2)))
    dtype = draw(st.sampled_from(["<f8", "<f4", "<u2", "|u1", "<i8", "|b1"]))
    elements = {"allow_nan": False} if "f" in dtype else None
    values = draw(
        npst.arrays(dtype, shape, elements=npst.from_dtype(np.dtype(dtype), **(elements or {})))
    )
    stamps = draw(st.lists(times, min_size=samples, max_size=samples))
    return core.Measurement(
        draw(words), np.array(stamps, dtype=np.int64), values, draw(texts), draw(numbers)
    )
