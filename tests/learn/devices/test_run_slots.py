"""Which run is computed where, and how slots are given up as runs end."""

import itertools
from typing import Any, cast

import numpy as np
import pytest

from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.devices.run_slots import FREE, RunSlots, slots_at


class Device:
    """Enough of a device to be laid out."""

    def __init__(self, number: int, platform: str):
        self.id, self.platform, self.process_index = number, platform, 0


def layout(runs: int, devices: int, platform: str = "gpu", **how: Any) -> Layout:
    return Layout.of(runs, [Device(i, platform) for i in range(devices)], **how)


@pytest.mark.parametrize(
    ("runs", "devices", "mesh"),
    [
        (1, 1, (1, 1)),
        (5, 1, (1, 1)),
        (1, 8, (1, 8)),
        (2, 8, (2, 4)),
        (3, 8, (2, 4)),
        (7, 8, (4, 2)),
        (8, 8, (8, 1)),
        (9, 8, (8, 1)),
        (2, 3, (1, 3)),
        (4, 6, (3, 2)),
    ],
)
def test_runs_come_first_and_the_rest_shares_batches(runs, devices, mesh):
    found = layout(runs, devices)
    assert (found.run_devices, found.data_devices) == mesh


@pytest.mark.parametrize(("runs", "rows"), [(1, 1), (3, 3), (8, 8), (9, 8)])
def test_devices_are_left_out_where_batches_cannot_be_shared(runs, rows):
    found = layout(runs, 8, splits_batches=False)
    assert (found.run_devices, found.data_devices) == (rows, 1)


@pytest.mark.parametrize(
    ("runs", "devices", "platform", "vector", "slots"),
    [
        (5, 1, "cpu", 1, 5),  # one after the other
        (5, 1, "gpu", 5, 5),  # side by side
        (9, 8, "gpu", 2, 16),
        (3, 8, "cpu", 1, 4),
    ],
)
def test_groups_are_as_large_as_the_kind_of_device_likes(
    runs, devices, platform, vector, slots
):
    found = layout(runs, devices, platform)
    assert (found.vector, found.slots(runs)) == (vector, slots)


def test_free_places_come_last_and_look_like_the_first_run():
    slots = RunSlots.of((4, 6, 7), layout(3, 2))
    assert slots.runs == (4, 6, 7, FREE)
    assert slots.stand_ins == (4, 6, 7, 4)
    assert [slots.place_of(run) for run in (4, 7, 5)] == [0, 2, None]


@pytest.mark.parametrize(
    ("runs", "wanted", "left"),
    [
        (8, range(8), 8),
        (8, range(5), 8),  # half would not do
        (8, range(4), 4),
        (8, (1, 6, 7), 4),
        (8, (1, 6), 2),
        (8, (5,), 1),
        (5, range(4), 5),
        (5, (0, 2, 4), 3),  # the larger half
        (5, (4,), 1),
        (1, (0,), 1),
    ],
)
def test_places_are_given_up_by_halves(runs, wanted, left):
    before = RunSlots.of(range(runs), layout(runs, 1))
    after = before.compacted(wanted)
    assert len(after.runs) == after.layout.vector == left
    if left == runs:
        assert after is before
    else:
        assert [run for run in after.runs if run != FREE] == list(wanted)
        assert set(after.runs[len(wanted) :]) <= {FREE}
    assert after.layout.mesh == before.layout.mesh


def test_devices_keep_as_many_groups_each():
    before = RunSlots.of(range(16), layout(16, 4))
    after = before.compacted(range(3, 10))
    assert (before.layout.vector, after.layout.vector) == (4, 2)
    assert after.runs == (3, 4, 5, 6, 7, 8, 9, FREE)


def test_groups_of_one_stay_where_they_are():
    slots = RunSlots.of(range(5), layout(5, 1, "cpu"))
    assert slots.compacted({3}) is slots


@pytest.mark.parametrize("seed", range(20))
def test_places_are_found_again_from_when_runs_ended(seed):
    """However runs end, resuming at any epoch puts the others where they were."""
    rng = np.random.default_rng(seed)
    runs, epochs = int(rng.integers(1, 12)), 8
    last = rng.integers(1, epochs + 1, runs)
    first = RunSlots.of(range(runs), layout(runs, int(rng.integers(1, 4))))
    history = [first]
    for epoch in range(last.max()):
        history.append(history[-1].compacted(np.flatnonzero(last > epoch).tolist()))
    for epoch, resumed in itertools.product(range(last.max()), repeat=2):
        # What an interruption knows: when runs ended, if they had.
        known = [int(e) if e <= resumed else None for e in last]
        if epoch <= resumed:
            assert slots_at(epoch, first, known) == history[epoch + 1]


def test_where_all_have_ended_places_stay():
    first = RunSlots.of(range(4), layout(4, 1))
    assert slots_at(9, first, [2, 2, 2, 2]) == first


def test_layouts_of_equal_devices_are_equal():
    """So that what was compiled for one serves the other."""
    devices = cast(Any, [Device(i, "gpu") for i in range(4)])
    assert Layout.of(3, devices) == Layout.of(3, devices)
    assert hash(Layout.of(3, devices)) == hash(Layout.of(3, devices))
