"""Where features are kept: all on every device, or fed from the host.

Fed features are for stores larger than a device's memory. An epoch is then cut into
blocks of steps; each device gets just the museums of its own part of a block, as
another small `Features`, while it computes the block before. The compiled step is the
same, so the losses are.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Int

from hm3_jax.files.arrays import owned_rows
from hm3_jax.learn.batches.features import Features, RaggedColumn
from hm3_jax.learn.batches.plan import Batches
from hm3_jax.learn.devices.mesh import BY_DEVICE, EVERYWHERE, Layout

DataPlacement = Literal["device", "host", "auto"]

SHARE_FOR_FEATURES = 0.5
"""Of a device's memory, what features may take where "auto" decides.

Parameters, a batch's activations and the metrics need the rest.
"""
# Bytes of a fed block on one device; two of them are there at a time.
_BLOCK_BYTES = 128 * 2**20


class Block(NamedTuple):
    """Consecutive batches of every run and features that hold their museums."""

    first_step: int
    batches: Batches
    features: Features


class Feed(Protocol):
    """Brings planned batches to the devices with their features."""

    def blocks(self, batches: Batches) -> Iterator[Block]:
        """The batches in order, in one or more blocks.

        Args:
            batches: one of those the feed was made for, on the host.
        """
        ...


class PlacedFeatures(Protocol):
    """Features of a store, placed for a layout."""

    def feed(self, planned: Sequence[Batches]) -> Feed:
        """A feed for any of the given batches; static sizes hold the largest."""
        ...


def place(
    features: Features, layout: Layout, placement: DataPlacement
) -> PlacedFeatures:
    """Puts features where a layout's devices find them.

    Args:
        features: on the host.
        layout: of the devices.
        placement: "device" for all of them on every device, "host" for as much as a
            block of batches needs at a time, "auto" for the first if there is room.
    """
    if placement == "auto":
        room = layout.free_memory() * SHARE_FOR_FEATURES
        placement = "device" if features.bytes <= room else "host"
    if placement == "device":
        return OnDevice(features, layout)
    return FromHost(features, layout)


class OnDevice:
    """All features on every device."""

    def __init__(self, features: Features, layout: Layout):
        """Copies them there."""
        self._layout = layout
        self._features = layout.put(features, EVERYWHERE)

    def feed(self, planned: Sequence[Batches]) -> Feed:
        """See `PlacedFeatures`."""
        del planned
        return self

    def blocks(self, batches: Batches) -> Iterator[Block]:
        """See `Feed`: one block."""
        yield Block(0, self._layout.put(batches, BY_DEVICE), self._features)


class FromHost:
    """Features that stay on the host, mapped from the store's files."""

    def __init__(self, features: Features, layout: Layout):
        """Takes the features as they are."""
        self._features, self._layout = features, layout

    def feed(self, planned: Sequence[Batches]) -> Feed:
        """See `PlacedFeatures`."""
        steps = self._steps_of_block(planned)
        sizes = _Sizes.largest(
            _Sizes.of(self._features, np.unique(museums[museums >= 0]))
            for batches in planned
            for first in range(0, batches.steps, steps)
            for museums in _of_devices(batches.between(first, first + steps).museums)
        )
        return _HostFeed(self._features, self._layout, steps, sizes)

    def _steps_of_block(self, planned: Sequence[Batches]) -> int:
        museums = len(self._features.themes)
        largest = max(np.prod(p.museums.shape[2:]) / p.steps for p in planned)
        bytes_of_step = self._features.bytes / museums * largest
        return max(1, int(_BLOCK_BYTES / bytes_of_step))


class _HostFeed:
    def __init__(self, features: Features, layout: Layout, steps: int, sizes: "_Sizes"):
        self._features, self._layout = features, layout
        self._steps, self._sizes = steps, sizes

    def blocks(self, batches: Batches) -> Iterator[Block]:
        """See `Feed`: the next block is prepared while the last one is used."""
        firsts = range(0, batches.steps, self._steps)
        with ThreadPoolExecutor(max_workers=1) as worker:
            waiting = [worker.submit(self._block, batches, firsts[0])]
            for first in (*firsts[1:], None):
                block = waiting.pop().result()
                if first is not None:
                    waiting.append(worker.submit(self._block, batches, first))
                yield block

    def _block(self, batches: Batches, first: int) -> Block:
        part = batches.between(first, first + self._steps)
        numbers = np.empty_like(part.museums)
        fed: dict[tuple[int, int], Features] = {}
        for place in self._layout.local_slots():
            here = part.museums[place]
            chosen = np.unique(here[here >= 0])
            numbers[place] = np.where(here >= 0, np.searchsorted(chosen, here), here)
            fed[place] = take(self._features, chosen, self._sizes)
        return Block(
            first,
            self._layout.put(dataclasses.replace(part, museums=numbers), BY_DEVICE),
            self._layout.put_parts(fed),
        )


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Static sizes of fed features."""

    museums: int
    rooms: int
    sentences: int
    items: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, features: Features, museums: Int[np.ndarray, " museums"]) -> "_Sizes":
        """What some museums take."""
        rooms = owned_rows(features.room_offsets, museums)
        items = tuple(
            (kind, len(owned_rows(column.offsets, rooms)))
            for kind, column in features.items.items()
        )
        sentences = len(owned_rows(features.sentences.offsets, museums))
        return cls(len(museums), len(rooms), sentences, items)

    @classmethod
    def largest(cls, sizes) -> "_Sizes":
        """What holds each of them."""
        museums, rooms, sentences, items = zip(
            *(dataclasses.astuple(size) for size in sizes), strict=True
        )
        kinds = [kind for kind, _ in items[0]]
        most = np.array([[n for _, n in of_kind] for of_kind in items]).max(axis=0)
        return cls(
            max(museums),
            max(rooms),
            max(sentences),
            tuple(zip(kinds, most.tolist(), strict=True)),
        )


def take(
    features: Features, museums: Int[np.ndarray, " museums"], sizes: _Sizes
) -> Features:
    """Features of some museums, which are numbered anew, as large as `sizes`.

    Args:
        features: of all museums, on the host.
        museums: chosen ones.
        sizes: static sizes to fill up to.
    """
    rooms = owned_rows(features.room_offsets, museums)

    def column(
        of: RaggedColumn, sets: np.ndarray, most_sets: int, most_rows: int
    ) -> RaggedColumn:
        rows = owned_rows(of.offsets, sets)
        if of.index is not None:
            rows = of.index[rows]
        table = np.zeros((most_rows, of.table.shape[1]), of.table.dtype)
        table[: len(rows)] = of.table[rows]
        return RaggedColumn(table, _offsets(of.offsets, sets, most_sets))

    themes = np.zeros(sizes.museums, np.int32)
    themes[: len(museums)] = features.themes[museums]
    return Features(
        sentences=column(features.sentences, museums, sizes.museums, sizes.sentences),
        items={
            kind: column(features.items[kind], rooms, sizes.rooms, size)
            for kind, size in sizes.items
        },
        room_offsets=_offsets(features.room_offsets, museums, sizes.museums),
        themes=themes,
        recurrence=features.recurrence,
        fed=True,
    )


def _offsets(offsets: np.ndarray, sets: np.ndarray, most: int) -> np.ndarray:
    """Offsets of the chosen sets, then of empty ones up to `most`."""
    filled = np.zeros(most + 1, np.int32)
    ends = np.cumsum(offsets[sets + 1] - offsets[sets])
    filled[1 : len(sets) + 1] = ends
    filled[len(sets) + 1 :] = ends[-1] if len(sets) else 0
    return filled


def _of_devices(museums: np.ndarray) -> Iterator[np.ndarray]:
    for row in museums:
        yield from row
