"""Batches as a few small integers: museum numbers, and the layout of recurrences.

Everything here is numpy on the host and known before training starts, because the order
of museums depends only on (seed, try, epoch). Their contents are gathered on the device
(`learn.batches.gather`).
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from hm3_jax.learn.batches.features import AnyArray, Features, Recurrence
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.nn.packing import Packing, StaticLoops, planned_loops

EMPTY = -1
"""Stands in a batch for a place that holds no museum."""


def epoch_batches(
    museums: Int[np.ndarray, " museums"],
    batch_size: int,
    *,
    seed: int,
    attempt: int,
    epoch: int,
) -> Int[np.ndarray, "steps batch"]:
    """A fresh shuffle cut into batches; the last one may be smaller.

    Args:
        museums: what to shuffle.
        batch_size: museums of a batch.
        seed: of the experiment.
        attempt: number of the try, from 1.
        epoch: from 0.

    Returns:
        int32 (steps, batch_size); `EMPTY` fills the end of the last batch.
    """
    generator = np.random.Generator(np.random.Philox([seed, attempt, epoch]))
    return in_batches(museums[generator.permutation(len(museums))], batch_size)


def in_batches(
    museums: Int[np.ndarray, " museums"], batch_size: int
) -> Int[np.ndarray, "steps batch"]:
    """Cuts a list of museums into batches in its order.

    Args:
        museums: any indices.
        batch_size: museums of a batch.

    Returns:
        int32 (steps, batch_size); `EMPTY` fills the end of the last batch.
    """
    steps = -(-len(museums) // batch_size)
    batches = np.full(steps * batch_size, EMPTY, np.int32)
    batches[: len(museums)] = museums
    return batches.reshape(steps, batch_size)


@dataclasses.dataclass(frozen=True, slots=True)
class BatchThemes:
    """Themes in the batches of one epoch.

    Attributes:
        themes: number of different themes, by batch.
        pairs: number of unordered pairs of museums of one theme, by batch.
        museums: number of museums of a theme, for every theme of every batch that has
            it.
    """

    themes: Int[np.ndarray, " steps"]
    pairs: Int[np.ndarray, " steps"]
    museums: Int[np.ndarray, " found"]

    def summary(self) -> dict[str, Any]:
        """As it stands in `metrics.jsonl`."""
        return {
            "mean": float(self.themes.mean()),
            "min": int(self.themes.min()),
            "max": int(self.themes.max()),
            "same_theme_pairs": float(self.pairs.mean()),
        }


def batch_themes(
    batches: Int[np.ndarray, "steps batch"], themes: Int[np.ndarray, " museums"]
) -> BatchThemes:
    """Counts the themes of every batch.

    Args:
        batches: museums, negative where a place is free.
        themes: of all museums.
    """
    batch, place = np.nonzero(batches >= 0)
    # Sorted pairs instead of a table, since there may be as many themes as museums.
    found, museums = np.unique(
        np.stack([batch, np.asarray(themes)[batches[batch, place]]]),
        axis=1,
        return_counts=True,
    )
    steps = len(batches)
    pairs = np.bincount(found[0], museums * (museums - 1) // 2, steps)
    return BatchThemes(
        np.bincount(found[0], minlength=steps), pairs.astype(np.int64), museums
    )


@dataclasses.dataclass(frozen=True)
class StaticSizes:
    """Static sizes of a device's share of a batch; every planned batch fits.

    Attributes:
        sentences: sentences of a batch.
        rooms: rooms of a batch.
        items: items of a batch by kind.
        longest_description: sentences of one museum.
        packed_sentences: packed steps of the recurrence over sentences.
        longest_sequence: steps of the museum's recurrence (0 without one).
        packed_sequence: packed steps of the museum's recurrence (0 without one).
        sentence_loops: of the recurrence over sentences; None for dynamic ones.
        sequence_loops: the same of the museum's recurrence.
    """

    sentences: int
    rooms: int
    items: tuple[tuple[str, int], ...]
    longest_description: int
    packed_sentences: int
    longest_sequence: int
    packed_sequence: int
    sentence_loops: StaticLoops | None = None
    sequence_loops: StaticLoops | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packings:
    """Layouts of one batch's recurrences, shared by the runs of a group.

    Attributes:
        sentences: of the recurrence over sentences.
        sequence: of the museum's recurrence; None without one.
    """

    sentences: Packing
    sequence: Packing | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batches:
    """Batches of every run, each device's share by itself.

    The first two axes are the mesh's: devices along the run axis and along the data
    axis. A museum's place in the whole batch is (data device, place in its share).

    Attributes:
        museums: int32, `EMPTY` where a place is free.
        spans: int32; parts of the descriptions, see `learn.batches.spans`; None where
            all are whole.
        sentences: int32; of the group's runs the most sentences of any run's longest
            description, second longest, and so on, in each share.
        sequence: the same for the museum's recurrence; None without one.
    """

    museums: Int[AnyArray, "run data slots steps share"]
    sentences: Int[AnyArray, "run data groups steps share"]
    sequence: Int[AnyArray, "run data groups steps share"] | None
    spans: Int[AnyArray, "run data slots steps share 2"] | None = None

    @property
    def steps(self) -> int:
        """Number of batches of each run."""
        return self.museums.shape[3]

    def between(self, first: int, end: int) -> "Batches":
        """Some consecutive batches of every run."""
        return jax.tree.map(lambda x: x[:, :, :, first:end], self)

    def local(self) -> "Batches":
        """On a device, its own share without the axes of the mesh."""
        return jax.tree.map(lambda x: x[0, 0], self)


def packings(
    sentences: Int[AnyArray, " share"],
    sequence: Int[AnyArray, " share"] | None,
    size: StaticSizes,
) -> Packings:
    """Layouts of one batch from its entries in `Batches`."""
    return Packings(
        Packing(
            sentences,
            size.longest_description,
            size.packed_sentences,
            size.sentence_loops,
        ),
        None
        if sequence is None
        else Packing(
            sequence,
            size.longest_sequence,
            size.packed_sequence,
            size.sequence_loops,
        ),
    )


@dataclasses.dataclass(frozen=True)
class MuseumSizes:
    """How much each museum holds, for planning batches.

    Attributes:
        sentences: int64 (museums,).
        rooms: int64 (museums,).
        items: int64 (museums,) by kind.
        recurrence: as in `Features`.
    """

    sentences: Int[np.ndarray, " museums"]
    rooms: Int[np.ndarray, " museums"]
    items: Mapping[str, Int[np.ndarray, " museums"]]
    recurrence: Recurrence

    @classmethod
    def of(cls, features: Features) -> "MuseumSizes":
        """Reads the counts off the features' offsets."""
        rooms = np.asarray(features.room_offsets, np.int64)
        items = {
            kind: np.diff(np.asarray(column.offsets, np.int64)[rooms])
            for kind, column in features.items.items()
        }
        sentences = np.diff(np.asarray(features.sentences.offsets, np.int64))
        return cls(sentences, np.diff(rooms), items, features.recurrence)

    @property
    def steps(self) -> Int[np.ndarray, " museums"] | None:
        """Steps of the museum's recurrence; None without one."""
        if self.recurrence is None:
            return None
        return self.rooms if self.recurrence == "rooms" else self.items["views"]

    def plan(
        self,
        batches: Int[np.ndarray, "slots steps batch"],
        layout: Layout,
        spans: Int[np.ndarray, "slots steps batch 2"] | None = None,
    ) -> Batches:
        """Spreads batches over the devices of a layout.

        Args:
            batches: museums of every slot of the layout, `EMPTY` where a place of a
                batch is free.
            layout: of the devices.
            spans: parts of the museums' descriptions; None where all are whole.
        """
        shares = layout.data_devices
        free = -batches.shape[2] % shares

        def share(x: np.ndarray) -> np.ndarray:
            edges = [(0, 0)] * x.ndim
            edges[2] = (0, free)
            x = np.pad(x, edges, constant_values=EMPTY)
            return x.reshape(*x.shape[:2], shares, -1, *x.shape[3:])

        shared = share(batches)
        parts = None if spans is None else share(spans)

        def by_device(x: np.ndarray) -> np.ndarray:
            x = x.reshape(layout.run_devices, -1, *x.shape[1:])
            return np.ascontiguousarray(np.moveaxis(x, 3, 1).astype(np.int32))

        def joint_lengths(counts: np.ndarray) -> np.ndarray:
            lengths = -np.sort(-counts, axis=-1)
            groups = lengths.reshape(-1, layout.vector, *lengths.shape[1:])
            return by_device(groups.max(axis=1))

        steps = self.steps
        return Batches(
            museums=by_device(shared),
            sentences=joint_lengths(self.sentences_read(shared, parts)),
            sequence=None
            if steps is None
            else joint_lengths(self._filled(steps, shared)),
            spans=None if parts is None else by_device(parts),
        )

    def plan_shared(
        self,
        batches: Int[np.ndarray, "steps batch"],
        layout: Layout,
        spans: Int[np.ndarray, "steps batch 2"] | None = None,
    ) -> Batches:
        """Spreads batches that all runs share: every device has some of the batches.

        Args:
            batches: museums, `EMPTY` where a place is free. Device i of the data axis
                gets the i-th part of them.
            layout: of the devices.
            spans: parts of the museums' descriptions; None where all are whole.
        """
        missing = -batches.shape[0] % layout.data_devices

        def share(x: np.ndarray) -> np.ndarray:
            edges = [(0, missing), *[(0, 0)] * (x.ndim - 1)]
            x = np.pad(x, edges, constant_values=EMPTY)
            return x.reshape(1, layout.data_devices, 1, -1, *x.shape[1:])

        museums = share(batches)
        parts = None if spans is None else share(spans)

        def on_every_row(x: np.ndarray) -> np.ndarray:
            return np.repeat(x.astype(np.int32), layout.run_devices, axis=0)

        def lengths(counts: np.ndarray) -> np.ndarray:
            return on_every_row(-np.sort(-counts, axis=-1))

        steps = self.steps
        return Batches(
            museums=on_every_row(museums),
            sentences=lengths(self.sentences_read(museums, parts)),
            sequence=None if steps is None else lengths(self._filled(steps, museums)),
            spans=None if parts is None else on_every_row(parts),
        )

    def capacity(self, planned: Iterable[Batches]) -> StaticSizes:
        """Sizes that hold every batch of the given plans."""
        planned, steps = list(planned), self.steps

        def most(counts: Iterable[np.ndarray]) -> int:
            return _round_up(max(int(x.sum(-1).max()) for x in counts))

        def most_of(counts: np.ndarray) -> int:
            return most(self._filled(counts, p.museums) for p in planned)

        longest = self.sentences.max()
        if all(p.spans is not None for p in planned):
            longest = max(p.sentences.max() for p in planned)
        sequences = [p.sequence for p in planned if p.sequence is not None]
        return StaticSizes(
            sentences=most(self.sentences_read(p.museums, p.spans) for p in planned),
            rooms=most_of(self.rooms),
            items=tuple((kind, most_of(n)) for kind, n in self.items.items()),
            longest_description=int(longest),
            packed_sentences=most(p.sentences for p in planned),
            longest_sequence=0 if steps is None else int(steps.max()),
            packed_sequence=0 if steps is None else most(sequences),
            sentence_loops=_loops([p.sentences for p in planned]),
            sequence_loops=_loops(sequences),
        )

    def sentences_read(
        self, museums: Int[np.ndarray, "*places"], spans: np.ndarray | None
    ) -> Int[np.ndarray, "*places"]:
        """Sentences that are read of each museum, 0 where a place is free.

        Args:
            museums: numbers, or `EMPTY`.
            spans: of the museums, (*places, 2); None where descriptions are whole.
        """
        if spans is None:
            return self._filled(self.sentences, museums)
        first, count = spans[..., 0], spans[..., 1]
        return np.where(first < 0, self.sentences[museums], count) * (museums >= 0)

    @staticmethod
    def _filled(counts: np.ndarray, museums: np.ndarray) -> np.ndarray:
        """Counts of the museums, 0 where a place is free."""
        return counts[museums] * (museums >= 0)


def _loops(planned: Iterable[np.ndarray]) -> StaticLoops | None:
    """Loops that serve the batches of all plans; None where there are no sequences."""
    lengths = [x.reshape(-1, x.shape[-1]) for x in planned]
    return planned_loops(np.concatenate(lengths)) if lengths else None


def _round_up(count: int) -> int:
    # Products over a multiple of the widest vector registers run at full speed.
    return max(-(-count // 32) * 32, 32)
