"""The query side alone: embeds descriptions that arrive one by one.

Compiled once for each of few sizes, so that a query takes milliseconds.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from hm3_jax.learn.model import SCORES, Model, ModelSpec
from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.nn.late_interaction import InteractionTowers
from hm3_jax.nn.packing import pack
from hm3_jax.nn.ragged import Ragged
from hm3_jax.nn.recurrent import RecurrentEncoder
from hm3_jax.nn.strategy import RecurrentConfig
from hm3_jax.nn.towers import Descriptions, Scenes
from hm3_jax.objective.interaction_scores import PartVectors, sharpness_of
from hm3_jax.objective.late_interaction import QueryVectors

# Sizes that are compiled: descriptions of a call (larger calls are cut), and sentences,
# the first of them and its products with powers of the factor.
_DESCRIPTIONS = (1, 8, 64)
_FIRST_SENTENCES, _FACTOR = 16, 4


class QueryTower:
    """A trained text tower, ready to embed queries."""

    def __init__(self, config: RecurrentConfig, params: Mapping[str, Any]):
        """Puts the parameters on the default device.

        Args:
            config: of the tower.
            params: its arrays by name, float32: a model's `params["text"]`.

        Raises:
            ValueError: parameters are missing, unknown or of a wrong shape.
        """
        self.config = config
        abstract = nnx.eval_shape(lambda: RecurrentEncoder(config, rngs=nnx.Rngs(0)))
        self._graph = nnx.graphdef(abstract)
        state = nnx.to_pure_dict(nnx.state(abstract, nnx.Param))
        wanted = {name: leaf.shape for name, leaf in state.items()}
        found = {name: np.shape(array) for name, array in params.items()}
        if found != wanted:
            raise ValueError(
                f"expected the parameters of a text tower, {wanted}, found {found}"
            )
        self._params = jax.device_put(dict(params))

    def __call__(
        self, descriptions: Sequence[Float[np.ndarray, "_sentences in_size"]]
    ) -> Float[np.ndarray, "descriptions d"]:
        """Embeds descriptions.

        Args:
            descriptions: sentence features of each, in order, float32; none of them
                empty.

        Returns:
            float32, not normalised.
        """
        parts = [
            np.asarray(_embed(self._params, values, lengths, graph=self._graph))[:count]
            for values, lengths, count in _in_sizes(descriptions)
        ]
        return np.concatenate(
            [np.empty((0, self.config.hidden_size), np.float32), *parts]
        )

    def warm_up(self, sentences: int) -> None:
        """Compiles for any number of descriptions with up to so many sentences a call.

        Without it, the first call of each size takes seconds.
        """
        for batch in _of_every_size(sentences, self.config.in_size):
            self(batch)


class InteractionTower:
    """The query side of a model that compares sentences with items."""

    def __init__(self, model: Model):
        """Puts the parameters on the default device.

        Args:
            model: trained, or one that search without training uses.

        Raises:
            ValueError: the model compares whole descriptions and museums; or parameters
                are missing, unknown or of a wrong shape.
        """
        config = model.config
        if not isinstance(config, LateInteractionConfig):
            raise ValueError(
                f"expected a model of late interaction, found {config.name}"
            )
        self.config = config
        self._params = jax.tree.map(lambda x: x[0], model.stacked())
        self.sharpness = float(sharpness_of(self._params[SCORES]))
        self.theme_weight = config.theme_weight

    def __call__(
        self, descriptions: Sequence[Float[np.ndarray, "_sentences in_size"]]
    ) -> list[QueryVectors]:
        """Embeds what people type, which is no complete description.

        Args:
            descriptions: sentence features of each, in order, float32; none of them
                empty.
        """
        found = []
        for values, lengths, count in _in_sizes(descriptions):
            parts = jax.device_get(
                _query_parts(self._params, values, lengths, config=self.config)
            )
            ends = np.cumsum(lengths)
            found += [
                _query(parts.rows[ends[i] - lengths[i] : ends[i]], parts, i)
                for i in range(count)
            ]
        return found

    def pictures(self, features: Float[np.ndarray, "pictures in_size"]) -> QueryVectors:
        """A query by pictures, which are compared as views of a museum are.

        Args:
            features: of the pictures, float32, one at least.
        """
        parts = jax.device_get(
            _picture_parts(
                self._params, np.asarray(features, np.float32), config=self.config
            )
        )
        return _query(parts.rows[: len(features)], parts, 0)

    def warm_up(self, sentences: int) -> None:
        """Compiles for any number of descriptions with up to so many sentences a call.

        Without it, the first call of each size takes seconds.
        """
        for batch in _of_every_size(sentences, self.config.size):
            self(batch)


def _query(
    vectors: Float[np.ndarray, "sentences d"], parts: PartVectors, number: int
) -> QueryVectors:
    count = len(vectors)
    return QueryVectors(
        sentences=vectors,
        weights=np.full(count, 1 / count, np.float32),
        vector=parts.whole[number],
        themes=parts.themes[number],
    )


def _in_sizes(
    descriptions: Sequence[Float[np.ndarray, "_sentences in_size"]],
) -> Iterator[
    tuple[Float[np.ndarray, "capacity in_size"], Int[np.ndarray, " places"], int]
]:
    """Descriptions in calls of few sizes.

    Yields:
        Sentence features, one description after another; sentences of each; and how
        many descriptions there are, the others being empty.
    """
    most = _DESCRIPTIONS[-1]
    for first in range(0, len(descriptions), most):
        part = descriptions[first : first + most]
        places = next(size for size in _DESCRIPTIONS if size >= len(part))
        lengths = np.zeros(places, np.int32)
        lengths[: len(part)] = [len(rows) for rows in part]
        capacity = _FIRST_SENTENCES
        while capacity < lengths.sum():
            capacity *= _FACTOR
        values = np.zeros((capacity, part[0].shape[1]), np.float32)
        values[: lengths.sum()] = np.concatenate(part)
        yield values, lengths, len(part)


def _of_every_size(sentences: int, in_size: int) -> Iterator[list[np.ndarray]]:
    """Descriptions of zeros, in calls of every size that so many sentences may have."""
    for count in _DESCRIPTIONS:
        rows = _FIRST_SENTENCES
        while rows < _FACTOR * max(sentences, _FIRST_SENTENCES):
            if rows >= count:
                yield [np.zeros((rows // count, in_size), np.float32)] * count
            rows *= _FACTOR


@functools.partial(jax.jit, static_argnames="graph")
def _embed(
    params: Mapping[str, Array],
    values: Float[Array, "capacity in_size"],
    lengths: Int[Array, " descriptions"],
    *,
    graph: nnx.GraphDef[RecurrentEncoder],
) -> Float[Array, "descriptions d"]:
    capacity = values.shape[0]
    tower = nnx.merge(graph, dict(params))
    packing = pack(lengths, capacity, capacity)
    return tower({"sentences": Ragged(values, lengths)}, packing)


@functools.partial(jax.jit, static_argnames="config")
def _query_parts(
    params: Mapping[str, Any],
    values: Float[Array, "capacity in_size"],
    lengths: Int[Array, " descriptions"],
    *,
    config: LateInteractionConfig,
) -> PartVectors:
    capacity = values.shape[0]
    partial = jnp.zeros(lengths.shape, bool)
    packing = pack(lengths, capacity, capacity)
    towers = ModelSpec(config).towers(params)
    found = towers.embed_descriptions(
        Descriptions(Ragged(values, lengths), packing, partial)
    )
    assert isinstance(found, PartVectors)
    return found


@functools.partial(jax.jit, static_argnames="config")
def _picture_parts(
    params: Mapping[str, Any],
    features: Float[Array, "pictures in_size"],
    *,
    config: LateInteractionConfig,
) -> PartVectors:
    count = jnp.array([features.shape[0]], jnp.int32)
    items = {kind: Ragged(features[:0], 0 * count) for kind in config.uses}
    items["views"] = Ragged(features, count)
    room = jnp.ones(1, jnp.int32)
    towers = ModelSpec(config).towers(params)
    assert isinstance(towers, InteractionTowers)
    # Pictures are no museum, so nothing is said of them as a whole.
    found = towers.scene(Scenes(room, items, None))
    return dataclasses.replace(found, whole=jnp.zeros((1, config.whole)))
