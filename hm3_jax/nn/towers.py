"""The two towers of a strategy, composed from its configuration."""

import dataclasses
from collections.abc import Mapping

import jax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.nn.convolution import ConvEncoder
from hm3_jax.nn.packing import Packing
from hm3_jax.nn.pooling import SetPool
from hm3_jax.nn.ragged import Ragged, merge_sets
from hm3_jax.nn.recurrent import RecurrentEncoder
from hm3_jax.nn.strategy import (
    ConvConfig,
    MuseumConfig,
    PoolConfig,
    RecurrentConfig,
    TowersConfig,
)

Encoder = RecurrentEncoder | ConvEncoder | SetPool


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Descriptions:
    """The descriptions of a batch.

    Attributes:
        sentences: sentence features of each description.
        packing: layout for the recurrence over sentences.
        complete: whether the sentences are the whole description, bool (museums,).
    """

    sentences: Ragged
    packing: Packing
    complete: Bool[Array, " museums"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scenes:
    """The museums of a batch.

    Attributes:
        rooms: rooms of each museum, int32 (museums,).
        items: for each kind of input the features of every room's items; the rooms of
            the batch in the order of their museums, then rooms that belong to none.
        packing: layout for a recurrence over rooms (by-room strategies) or over views
            (flat ones); None where the museum model has no recurrence.
    """

    rooms: Int[Array, " museums"]
    items: Mapping[str, Ragged]
    packing: Packing | None


class FlatTower(nnx.Module):
    """A museum as one set or sequence of all its items, room after room."""

    def __init__(self, museum: Encoder):
        """Wraps the encoder of all items."""
        self.museum = museum

    def __call__(self, scenes: Scenes) -> Float[Array, "museums d"]:
        """Embeds every museum."""
        items = {
            kind: Ragged(rooms.values, merge_sets(rooms.lengths, scenes.rooms))
            for kind, rooms in scenes.items.items()
        }
        return self.museum(items, scenes.packing)


class ByRoomTower(nnx.Module):
    """Rooms first, then the museum as a sequence of rooms (`ByRoomHierearchyModel`)."""

    def __init__(self, room: SetPool, museum: Encoder):
        """Joins the room model and the museum model."""
        self.room = room
        self.museum = museum

    def __call__(self, scenes: Scenes) -> Float[Array, "museums d"]:
        """Embeds every museum."""
        rooms = Ragged(self.room(scenes.items), scenes.rooms)
        return self.museum({"views": rooms}, scenes.packing)


class TwoTowers(nnx.Module):
    """Text tower and scene tower of one strategy, into one space."""

    def __init__(self, config: TowersConfig, *, rngs: nnx.Rngs):
        """Draws the parameters of both towers.

        Args:
            config: the strategy.
            rngs: source of randomness; its `params` stream is used.
        """
        self.text = RecurrentEncoder(config.text, rngs=rngs)
        museum = _encoder(config.museum, rngs)
        if config.room is None:
            self.scene = FlatTower(museum)
        else:
            self.scene = ByRoomTower(SetPool(config.room, rngs=rngs), museum)

    def embed_descriptions(
        self, batch: Descriptions, key: Array | None = None
    ) -> Float[Array, "museums d"]:
        """Embeds every description; nothing is drawn, in training neither."""
        del key
        return self.text({"sentences": batch.sentences}, batch.packing)

    def embed_scenes(
        self, batch: Scenes, key: Array | None = None
    ) -> Float[Array, "museums d"]:
        """Embeds every museum; nothing is drawn, in training neither."""
        del key
        return self.scene(batch)


def _encoder(config: MuseumConfig, rngs: nnx.Rngs) -> Encoder:
    match config:
        case RecurrentConfig():
            return RecurrentEncoder(config, rngs=rngs)
        case ConvConfig():
            return ConvEncoder(config, rngs=rngs)
        case PoolConfig():
            return SetPool(config, rngs=rngs)
