"""Features on the device, unpadded, and the batches gathered from them.

All museums of a store lie on the device as they lie in its files: flat rows and
offsets. A batch is nothing but museum numbers; gathering its rows, and zeroing what no
museum owns, happens inside the compiled step.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hm3_jax.data.store import FeatureStore
from hm3_jax.nn.packing import Packing, pack
from hm3_jax.nn.ragged import Ragged, take_sets
from hm3_jax.nn.strategy import RecurrentConfig, StrategyConfig, input_kinds
from hm3_jax.nn.towers import Descriptions, Scenes

Recurrence = Literal["rooms", "views"] | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Column:
    """Features of one kind for every museum or room of a store.

    Attributes:
      table: float16 or float32 (rows, d).
      offsets: int32 (sets + 1,); set i has items `offsets[i]:offsets[i + 1]`.
      index: row of `table` of each item, int32; None where items are the rows.
    """

    table: Float[Array, "rows d"]
    offsets: Int[Array, " sets_plus_1"]
    index: Int[Array, " items"] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Features:
    """What a strategy reads of a store.

    Attributes:
      sentences: by museum.
      items: "views" and, where the strategy has them, "images", "videos"; by room.
      room_offsets: int32 (museums + 1,); rooms of each museum.
      themes: int32 (museums,).
      recurrence: what the museum's recurrent model steps over; None without one.
    """

    sentences: Column
    items: Mapping[str, Column]
    room_offsets: Int[Array, " museums_plus_1"]
    themes: Int[Array, " museums"]
    recurrence: Recurrence = dataclasses.field(metadata={"static": True})


@dataclasses.dataclass(frozen=True)
class Capacity:
    """Static sizes of a batch; every count of every planned batch fits.

    Attributes:
      sentences: sentences of a batch.
      rooms: rooms of a batch.
      items: items of a batch by kind.
      longest_description: sentences of one museum.
      packed_sentences: packed steps of the recurrence over sentences.
      longest_sequence: steps of the museum's recurrence (0 without one).
      packed_sequence: packed steps of the museum's recurrence (0 without one).
    """

    sentences: int
    rooms: int
    items: tuple[tuple[str, int], ...]
    longest_description: int
    packed_sentences: int
    longest_sequence: int
    packed_sequence: int


def recurrence_of(config: StrategyConfig) -> Recurrence:
    """What the museum's recurrent model steps over in a strategy."""
    if not isinstance(config.museum, RecurrentConfig):
        return None
    return "views" if config.flat else "rooms"


def load_features(store: FeatureStore, config: StrategyConfig) -> Features:
    """Puts what a strategy reads of a store on the default device.

    Args:
      store: open store.
      config: the strategy.

    Raises:
      ValueError: the store lacks a kind of features, or has another feature size.
    """
    check_sizes(store, config)

    def on_device(x: np.ndarray) -> Array:
        dtype = np.int32 if np.issubdtype(x.dtype, np.integer) else None
        return jnp.asarray(np.asarray(x, dtype))

    items = {"views": Column(*map(on_device, _columns(store.views)))}
    for kind in config.uses[1:]:
        art = store.artworks(kind)
        assert art is not None  # check_sizes found them
        index, offsets = map(on_device, _columns(art.hung))
        items[kind] = Column(on_device(art.table), offsets, index)
    return Features(
        sentences=Column(*map(on_device, _columns(store.sentences))),
        items=items,
        room_offsets=on_device(store.room_offsets),
        themes=on_device(store.theme_index),
        recurrence=recurrence_of(config),
    )


def _columns(ragged) -> tuple[np.ndarray, np.ndarray]:
    return ragged.values, ragged.offsets


def check_sizes(store: FeatureStore, config: StrategyConfig) -> None:
    """Refuses a store that lacks what a strategy reads.

    Raises:
      ValueError: a kind of features is missing or has another size.
    """
    wanted = {
        "sentences": config.text.in_size,
        **input_kinds(config.room or config.museum),
    }
    for kind, size in wanted.items():
        if kind not in store.manifest.features:
            raise ValueError(
                f"{config.name} needs {kind}, but {store.path} has only "
                f"{', '.join(store.manifest.features)}"
            )
        found = store.feature_size(kind)
        if found != size:
            raise ValueError(
                f"{config.name} expects {kind} features of {size} floats, but "
                f"{store.path} has {found}"
            )


@dataclasses.dataclass(frozen=True)
class Counts:
    """How much each museum holds (host side), for planning batches.

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
    def of(cls, features: Features) -> "Counts":
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

    def capacity(self, batches: Int[np.ndarray, "runs steps batch"]) -> Capacity:
        """Sizes that hold every one of the given batches.

        Args:
          batches: museums, `order.EMPTY` where a place is free. The first axis are
            runs that are computed together.
        """
        filled = batches >= 0

        def most(counts: np.ndarray) -> int:
            return _round_up(int((counts[batches] * filled).sum(-1).max()))

        def packed(counts: np.ndarray) -> int:
            by_length = np.sort(counts[batches] * filled, axis=-1)
            return _round_up(int(by_length.max(axis=0).sum(-1).max()))

        steps = self.steps
        return Capacity(
            sentences=most(self.sentences),
            rooms=most(self.rooms),
            items=tuple((kind, most(n)) for kind, n in self.items.items()),
            longest_description=int(self.sentences.max()),
            packed_sentences=packed(self.sentences),
            longest_sequence=0 if steps is None else int(steps.max()),
            packed_sequence=0 if steps is None else packed(steps),
        )


def _round_up(count: int) -> int:
    # Products over a multiple of the widest vector registers run at full speed.
    return max(-(-count // 32) * 32, 32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packings:
    """Layouts of one batch, shared by all runs.

    Attributes:
      sentences: of the recurrence over sentences.
      sequence: of the museum's recurrence; None without one.
    """

    sentences: Packing
    sequence: Packing | None


def pack_batches(
    features: Features, museums: Int[Array, "runs batch"], capacity: Capacity
) -> Packings:
    """Layouts for a batch of every run, made before `vmap` over runs.

    Args:
      features: of the store.
      museums: batch of each run, `order.EMPTY` where a place is free.
      capacity: static sizes.
    """
    filled = museums >= 0
    museum = jnp.where(filled, museums, 0)

    def lengths(offsets: Array) -> Array:
        return jnp.where(filled, offsets[museum + 1] - offsets[museum], 0)

    sequence = None
    if features.recurrence is not None:
        offsets = features.room_offsets
        if features.recurrence == "views":
            offsets = features.items["views"].offsets[offsets]
        sequence = pack(
            lengths(offsets), capacity.longest_sequence, capacity.packed_sequence
        )
    return Packings(
        pack(
            lengths(features.sentences.offsets),
            capacity.longest_description,
            capacity.packed_sentences,
        ),
        sequence,
    )


def descriptions(
    features: Features,
    museums: Int[Array, " batch"],
    packings: Packings,
    capacity: Capacity,
) -> Descriptions:
    """Gathers the descriptions of one batch.

    Args:
      features: of the store.
      museums: batch, `order.EMPTY` where a place is free (an empty description).
      packings: of this batch.
      capacity: static sizes.
    """
    sentences = _gather(features.sentences, museums, museums >= 0, capacity.sentences)
    return Descriptions(sentences, packings.sentences)


def scenes(
    features: Features,
    museums: Int[Array, " batch"],
    packings: Packings,
    capacity: Capacity,
) -> Scenes:
    """Gathers the museums of one batch; arguments as for `descriptions`."""
    rooms, rooms_of_museum = take_sets(
        features.room_offsets, museums, museums >= 0, capacity.rooms
    )
    present = jnp.arange(capacity.rooms) < jnp.sum(rooms_of_museum)
    items = {
        kind: _gather(features.items[kind], rooms, present, size)
        for kind, size in capacity.items
    }
    return Scenes(rooms_of_museum, items, packings.sequence)


def _gather(column: Column, sets: Array, present: Array, capacity: int) -> Ragged:
    items, lengths = take_sets(column.offsets, sets, present, capacity)
    rows = items if column.index is None else column.index[items]
    return Ragged(column.table[rows].astype(jnp.float32), lengths)
