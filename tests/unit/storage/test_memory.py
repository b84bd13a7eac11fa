"""The daemon gives memory back when it has grown, and only then."""

from __future__ import annotations

import ctypes

import h5py
import pytest
import trio

from daq.storage import memory
from daq.storage.memory import GROWN_MB, LOOK_S, give_back_memory, keep_memory_low, resident_mb


def test_hdf5_can_be_asked_for_what_it_keeps():
    assert ctypes.CDLL(h5py.h5.__file__).H5garbage_collect is not None, "h5py is built differently"


def test_the_memory_of_a_file_with_many_datasets_comes_back(tmp_path):
    def write(name: str) -> None:
        with h5py.File(tmp_path / name, "w") as file:
            for n in range(300):
                file.create_dataset(f"c{n}", (0,), dtype="f8", maxshape=(None,), chunks=(1024,))

    write("first")
    give_back_memory()
    before = resident_mb()
    for n in range(5):
        write(f"{n}")
    give_back_memory()
    assert resident_mb() < before + 20


@pytest.mark.parametrize(("sizes", "times"), [
    ([100, 110, 120, 131], 0),
    ([100, 100 + GROWN_MB + 1, 100, 100], 1),
    ([100, 150, 150, 150], 1),  # what is needed is not looked for again and again
    ([300, 100, 140, 139], 1),
])  # fmt: skip
async def test_it_looks_only_after_it_has_grown(autojump_clock, monkeypatch, sizes, times):
    given: list[float] = []
    left = iter(sizes)
    now = [0.0]

    def size() -> float:
        now[0] = next(left, now[0])
        return now[0]

    monkeypatch.setattr(memory, "resident_mb", size)
    monkeypatch.setattr(memory, "give_back_memory", lambda: given.append(now[0]))
    with trio.move_on_after(5.5 * LOOK_S):
        await keep_memory_low()
    assert len(given) == times
