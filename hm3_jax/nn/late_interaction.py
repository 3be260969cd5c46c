"""The towers of late interaction: a vector for every sentence and every item.

Beside them, if the strategy says so, one of the whole description or museum.

Maps begin at the identity, and whatever else is learned begins at zero: a model that
has not been trained compares standardised features by their cosine.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.nn.layers import Linear, multiplied, product
from hm3_jax.nn.pooling import SetPool
from hm3_jax.nn.ragged import Ragged, merge_sets, row_owner
from hm3_jax.nn.recurrent import RecurrentEncoder
from hm3_jax.nn.strategy import PoolConfig, RecurrentConfig
from hm3_jax.nn.towers import ByRoomTower, Descriptions, Scenes
from hm3_jax.objective.interaction_scores import PartVectors
from hm3_jax.objective.similarity import unit_vectors

# Logarithms of numbers of sentences, rooms and items are centred on these, for HM3's
# museums: only the speed of training depends on it.
_USUAL_SENTENCES = 20.0
_USUAL_COUNTS = {"rooms": 5.0, "views": 20.0, "images": 5.0, "videos": 8.0}


class Standardised(nnx.Module):
    """Features without their mean, over their deviation.

    Both are of the training set (`learn.batches.statistics`), kept among the
    parameters, and get no gradient.
    """

    def __init__(self, size: int):
        """Begins with mean 0 and deviation 1."""
        self.mean = nnx.Param(jnp.zeros(size))
        self.deviation = nnx.Param(jnp.ones(size))

    def __call__(self, rows: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        """Standardises every row, to a length of about 1."""
        mean, deviation = jax.lax.stop_gradient((self.mean[...], self.deviation[...]))
        return (rows - mean) / (deviation * math.sqrt(rows.shape[1]))


class ResidualMap(nnx.Module):
    """``x + x @ kernel + bias``, which begins at the identity."""

    def __init__(self, size: int):
        """Begins with zeros."""
        self.kernel = nnx.Param(jnp.zeros((size, size)))
        self.bias = nnx.Param(jnp.zeros(size))

    def __call__(
        self, rows: Float[Array, "rows d"], dropped: Float[Array, "rows d"]
    ) -> Float[Array, "rows d"]:
        """Maps every row; what is multiplied may have had numbers left out."""
        return rows + product(dropped, self.kernel[...]) + self.bias[...]


class ThemeClassifier(nnx.Module):
    """Log probabilities of themes from mean features."""

    def __init__(self, config: LateInteractionConfig, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        self._dropout = config.theme_dropout
        self.hidden = Linear(config.size, config.theme_units, rngs=rngs)
        self.out = Linear(config.theme_units, config.themes or 0, rngs=rngs)

    def __call__(
        self, means: Float[Array, "n d"], key: Array | None
    ) -> Float[Array, "n themes"]:
        """Classifies every row; with a key, as in training."""
        # As long as a feature before its standardisation to length 1.
        rows = 4.0 * unit_vectors(means)
        hidden = dropped_out(jax.nn.relu(self.hidden(rows)), self._dropout, key)
        return jax.nn.log_softmax(self.out(hidden), axis=1)


class SentenceTower(nnx.Module):
    """Descriptions by their sentences."""

    def __init__(self, config: LateInteractionConfig, *, rngs: nnx.Rngs):
        """Draws the parameters.

        Args:
            config: the strategy.
            rngs: source of randomness; its `params` stream is used.
        """
        self._dropout = config.dropout
        self.sentences = Standardised(config.size)
        self.map = ResidualMap(config.size)
        if config.order:
            self.order = nnx.Param(jnp.zeros(config.order))
        if config.sizes:
            self.length = Linear(2, config.sizes, rngs=rngs)
            self.sizes = nnx.Param(
                jnp.zeros((config.sizes, _size_features(config)), jnp.float32)
            )
        if config.themes:
            self.themes = ThemeClassifier(config, rngs=rngs)

    def __call__(self, batch: Descriptions, key: Array | None = None) -> PartVectors:
        """Embeds descriptions; with a key, as in training."""
        of_rows, of_themes = _keys(key)
        lengths = batch.sentences.lengths
        rows, owner = batch.sentences.rows()
        rows = _zeroed(self.sentences(rows), owner, lengths)
        vectors = self.map(rows, dropped_out(rows, self._dropout, of_rows))
        complete = batch.complete.astype(rows.dtype)
        count = lengths.shape[0]
        order = jnp.zeros((rows.shape[0], 0))
        if hasattr(self, "order"):
            weights = jnp.repeat(self.order[...], 2)
            waves = _waves(_relative_places(owner, lengths), len(weights) // 2)
            order = waves * weights * jnp.append(complete, 0)[owner][:, None]
        sizes = jnp.zeros((count, 0))
        if hasattr(self, "sizes"):
            length = _log(lengths, _USUAL_SENTENCES)[:, None]
            guess = jnp.tanh(self.length(jnp.concatenate([length, length**2], axis=1)))
            sizes = multiplied(guess, self.sizes[...]) * complete[:, None]
        themes = jnp.zeros((count, 0))
        if hasattr(self, "themes"):
            themes = self.themes(_means(rows, owner, lengths), of_themes)
        return PartVectors(
            rows=unit_vectors(vectors),
            owner=owner,
            order=order,
            sizes=sizes,
            whole=jnp.zeros((count, 0)),
            themes=themes,
        )


class ItemTower(nnx.Module):
    """Museums by their items, kind after kind."""

    def __init__(self, config: LateInteractionConfig, *, rngs: nnx.Rngs):
        """Draws the parameters; arguments as for `SentenceTower`."""
        self._dropout, self._order = config.dropout, config.order
        self._kinds = config.uses
        for kind in self._kinds:
            setattr(self, kind, Standardised(config.size))
        self.map = ResidualMap(config.size)
        if config.context:
            self.of_room = nnx.Param(jnp.zeros((config.size, config.size)))
            self.of_museum = nnx.Param(jnp.zeros((config.size, config.size)))
        self._sizes = bool(config.sizes)
        if config.themes:
            self.themes = ThemeClassifier(config, rngs=rngs)

    def __call__(self, scenes: Scenes, key: Array | None = None) -> PartVectors:
        """Embeds museums; with a key, as in training."""
        of_rows, of_themes = _keys(key)
        rows, rooms = self._standardised(scenes)
        count, all_rooms = scenes.rooms.shape[0], _all_rooms(scenes)
        museum_of_room = jnp.append(row_owner(scenes.rooms, all_rooms), count)
        owner = museum_of_room[rooms]
        per_room = jnp.sum(
            jnp.stack([scenes.items[kind].lengths for kind in self._kinds]), axis=0
        )
        means = _means(rows, owner, merge_sets(per_room, scenes.rooms))
        vectors = self.map(rows, dropped_out(rows, self._dropout, of_rows))
        if hasattr(self, "of_room"):
            of_room = product(_means(rows, rooms, per_room), self.of_room[...])
            of_museum = product(means, self.of_museum[...])
            vectors = vectors + _of_owner(of_room, rooms) + _of_owner(of_museum, owner)
        order = jnp.zeros((rows.shape[0], 0))
        if self._order:
            places = _relative_places(museum_of_room[:-1], scenes.rooms)
            order = _waves(jnp.append(places, 0)[rooms], self._order)
        sizes = jnp.zeros((count, 0))
        if self._sizes:
            counts = {
                "rooms": scenes.rooms,
                **{
                    kind: merge_sets(scenes.items[kind].lengths, scenes.rooms)
                    for kind in self._kinds
                },
            }
            logs = jnp.stack(
                [_log(x, _USUAL_COUNTS[name]) for name, x in counts.items()], axis=1
            )
            sizes = jnp.concatenate([logs, logs**2], axis=1)
        themes = jnp.zeros((count, 0))
        if hasattr(self, "themes"):
            themes = self.themes(means, of_themes)
        return PartVectors(
            rows=unit_vectors(vectors),
            owner=owner,
            order=order,
            sizes=sizes,
            whole=jnp.zeros((count, 0)),
            themes=themes,
        )

    def _standardised(
        self, scenes: Scenes
    ) -> tuple[Float[Array, "rows d"], Int[Array, " rows"]]:
        """Items of all kinds, kind after kind, and the room of each."""
        rows, rooms = [], []
        for kind in self._kinds:
            items: Ragged = scenes.items[kind]
            of_kind, owner = items.rows()
            scale: Standardised = getattr(self, kind)
            rows.append(_zeroed(scale(of_kind), owner, items.lengths))
            rooms.append(owner)
        return jnp.concatenate(rows), jnp.concatenate(rooms)


class WholeTowers(nnx.Module):
    """Vectors of whole descriptions and museums, by HM3's towers.

    A score has their cosine times a weight, which begins at 0.
    """

    def __init__(self, config: LateInteractionConfig, *, rngs: nnx.Rngs):
        """Draws the parameters; arguments as for `SentenceTower`."""
        size, kinds = config.whole, dict.fromkeys(config.uses, config.size)
        room = SetPool(PoolConfig(kinds=kinds, size=size, out_size=size), rngs=rngs)
        self.text = _recurrent(config.size, size, rngs)
        self.scene = ByRoomTower(room, _recurrent(size, size, rngs))
        self.weight = nnx.Param(jnp.zeros(1))

    def descriptions(self, batch: Descriptions) -> Float[Array, "museums g"]:
        """Embeds every description; as long as its cosine counts."""
        vectors = self.text({"sentences": batch.sentences}, batch.packing)
        return self.weight[...] * unit_vectors(vectors)

    def museums(self, batch: Scenes) -> Float[Array, "museums g"]:
        """Embeds every museum, to length 1."""
        return unit_vectors(self.scene(batch))


class InteractionTowers(nnx.Module):
    """Both towers of a late-interaction strategy."""

    def __init__(self, config: LateInteractionConfig, *, rngs: nnx.Rngs):
        """Draws the parameters; arguments as for `SentenceTower`."""
        self.text = SentenceTower(config, rngs=rngs)
        self.scene = ItemTower(config, rngs=rngs)
        if config.whole:
            self.whole = WholeTowers(config, rngs=rngs)

    def embed_descriptions(
        self, batch: Descriptions, key: Array | None = None
    ) -> PartVectors:
        """Embeds every description; with a key, as in training."""
        parts = self.text(batch, key)
        if not hasattr(self, "whole"):
            return parts
        return dataclasses.replace(parts, whole=self.whole.descriptions(batch))

    def embed_scenes(self, batch: Scenes, key: Array | None = None) -> PartVectors:
        """Embeds every museum; with a key, as in training."""
        parts = self.scene(batch, key)
        if not hasattr(self, "whole"):
            return parts
        return dataclasses.replace(parts, whole=self.whole.museums(batch))


def dropped_out(
    x: Float[Array, "*shape"], share: float, key: Array | None
) -> Float[Array, "*shape"]:
    """Zeros a random share and scales the rest; nothing without a key."""
    if key is None or share == 0:
        return x
    kept = jax.random.bernoulli(key, 1 - share, x.shape)
    return jnp.where(kept, x / (1 - share), 0)


def _recurrent(in_size: int, size: int, rngs: nnx.Rngs) -> RecurrentEncoder:
    config = RecurrentConfig(
        cell="gru", in_size=in_size, hidden_size=size, bidirectional=True
    )
    return RecurrentEncoder(config, rngs=rngs)


def _size_features(config: LateInteractionConfig) -> int:
    return 2 * (1 + len(config.uses))


def _keys(key: Array | None) -> tuple[Array | None, Array | None]:
    if key is None:
        return None, None
    of_rows, of_themes = jax.random.split(key)
    return of_rows, of_themes


def _all_rooms(scenes: Scenes) -> int:
    return next(iter(scenes.items.values())).lengths.shape[0]


def _zeroed(
    rows: Float[Array, "rows d"],
    owner: Int[Array, " rows"],
    lengths: Int[Array, " sets"],
) -> Float[Array, "rows d"]:
    return jnp.where((owner < lengths.shape[0])[:, None], rows, 0)


def _means(
    rows: Float[Array, "rows d"],
    owner: Int[Array, " rows"],
    lengths: Int[Array, " sets"],
) -> Float[Array, "sets d"]:
    total = jax.ops.segment_sum(rows, owner, num_segments=lengths.shape[0])
    return total / jnp.maximum(lengths, 1).astype(rows.dtype)[:, None]


def _of_owner(
    sets: Float[Array, "sets d"], owner: Int[Array, " rows"]
) -> Float[Array, "rows d"]:
    return jnp.take(sets, owner, axis=0, mode="fill", fill_value=0)


def _relative_places(
    owner: Int[Array, " rows"], lengths: Int[Array, " sets"]
) -> Float[Array, " rows"]:
    """Middle of each row's place in its set, between 0 and 1; 0 for rows of none."""
    starts = jnp.append(jnp.cumsum(lengths) - lengths, 0)[owner]
    place = jnp.arange(owner.shape[0], dtype=starts.dtype) - starts
    of_set = jnp.maximum(jnp.append(lengths, 0)[owner], 1).astype(jnp.float32)
    middle = (place.astype(jnp.float32) + 0.5) / of_set
    return jnp.where(owner < lengths.shape[0], middle, 0)


def _waves(
    places: Float[Array, " rows"], number: int
) -> Float[Array, "rows two_a_wave"]:
    """``cos(pi h x), sin(pi h x)``: products depend on the distance of places only."""
    waves = jnp.arange(1, number + 1, dtype=jnp.float32)
    angles = jnp.pi * places[:, None] * waves
    both = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=2)
    return both.reshape(places.shape[0], 2 * number)


def _log(counts: Int[Array, " n"], usual: float) -> Float[Array, " n"]:
    return jnp.log((counts.astype(jnp.float32) + 1) / (usual + 1))
