"""Which run is computed in which slot, and how slots are given up."""

import dataclasses
from collections.abc import Collection, Sequence

from hm3_jax.learn.devices.mesh import Layout

FREE = -1
"""Stands in a slot that has no run."""


@dataclasses.dataclass(frozen=True)
class RunSlots:
    """The slots of a layout and their runs.

    Attributes:
        layout: of the devices.
        runs: number of the run in each slot, or `FREE`.
    """

    layout: Layout
    runs: tuple[int, ...]

    @classmethod
    def of(cls, runs: Sequence[int], layout: Layout) -> "RunSlots":
        """Slots for some runs, in order, and free ones up to whole groups."""
        free = layout.slots(len(runs)) - len(runs)
        return cls(layout, (*runs, *(FREE,) * free))

    @property
    def stand_ins(self) -> tuple[int, ...]:
        """The runs, the first one's number standing in free slots."""
        return tuple(self.runs[0] if run == FREE else run for run in self.runs)

    def place_of(self, run: int) -> int | None:
        """Slot of a run, None if it has none any more."""
        return self.runs.index(run) if run in self.runs else None

    def compacted(self, wanted: Collection[int]) -> "RunSlots":
        """Fewer slots once half of each group would do.

        Groups of one are skipped by the compiled program when their run has ended and
        never change; larger ones cost the same however few of their runs go on. Every
        smaller size is a compilation, so there are only halvings.

        Args:
            wanted: runs that go on, at least one.
        """
        groups = len(self.runs) // self.layout.vector
        vector = self.layout.vector
        while vector > 1 and groups * -(-vector // 2) >= len(wanted):
            vector = -(-vector // 2)
        if vector == self.layout.vector:
            return self
        smaller = dataclasses.replace(self.layout, vector=vector)
        staying = [run for run in self.runs if run in wanted]
        free = groups * vector - len(staying)
        return RunSlots(smaller, (*staying, *(FREE,) * free))


def slots_at(
    epoch: int, first: RunSlots, last_epochs: Sequence[int | None]
) -> RunSlots:
    """Slots of an epoch, as giving up slots one epoch after the other left them.

    Args:
        epoch: from 0.
        first: before training.
        last_epochs: number of epochs that each run took part in until it ended; None
            where it has not.
    """
    slots = first
    for before in range(epoch + 1):
        wanted = {
            run for run, last in enumerate(last_epochs) if last is None or last > before
        }
        if wanted:
            slots = slots.compacted(wanted)
    return slots
