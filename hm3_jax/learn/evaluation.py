"""Metrics and losses of a split for several runs at once."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from hm3_jax.learn import order
from hm3_jax.learn.embed import EmbeddingPlan, embed, plan_embedding
from hm3_jax.learn.features import Counts, Features
from hm3_jax.learn.model import Model
from hm3_jax.objective.loss import LossConfig, LossWeights, retrieval_loss
from hm3_jax.objective.metrics import retrieval_metrics
from hm3_jax.objective.similarity import cosine_similarity

# Large enough for full speed, small enough for little padding.
EMBED_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Embeddings of a split under the parameters of every run.

    Attributes:
      descriptions: float32 (runs, museums, d).
      museums: float32 (runs, museums, d).
    """

    descriptions: Float[Array, "runs museums d"]
    museums: Float[Array, "runs museums d"]

    def host(self) -> tuple[np.ndarray, np.ndarray]:
        """Both as numpy arrays."""
        return jax.device_get((self.descriptions, self.museums))


@dataclasses.dataclass(frozen=True, slots=True)
class Tested:
    """What one model makes of a split.

    Attributes:
      metrics: published keys.
      descriptions: embeddings, float32 (museums, d).
      museums: embeddings, float32 (museums, d).
    """

    metrics: Mapping[str, float]
    descriptions: Float[np.ndarray, "museums d"]
    museums: Float[np.ndarray, "museums d"]


class Split:
    """Some museums of a store, planned once and evaluated many times."""

    def __init__(
        self,
        features: Features,
        counts: Counts,
        museums: Int[np.ndarray, " museums"],
        name: str,
    ):
        """Plans the batches.

        Args:
          features: of the store.
          counts: of the same features.
          museums: numbers of the museums, in the order results are wanted in.
          name: what messages call the split.

        Raises:
          ValueError: there is no museum.
        """
        self._name = name
        self.themes = np.asarray(features.themes)[museums]
        self._museums = museums
        self._features = features
        self._plan: EmbeddingPlan = plan_embedding(counts, museums, EMBED_BATCH)

    def embed(self, params: Mapping[str, Any], graph: nnx.GraphDef) -> Embeddings:
        """Embeds descriptions and museums with the parameters of every run."""
        return Embeddings(*embed(params, self._features, self._plan, graph=graph))

    def metrics(self, embeddings: Embeddings) -> list[dict[str, float]]:
        """Retrieval metrics of every run, published keys, see `retrieval_metrics`.

        Raises:
          ValueError: an embedding is not finite; the message names split and row.
        """
        try:
            return [
                retrieval_metrics(descriptions, museums, self.themes)
                for descriptions, museums in zip(*embeddings.host(), strict=True)
            ]
        except ValueError as error:
            raise ValueError(f"{self._name}: {error}") from error

    def test(self, model: Model) -> Tested:
        """Embeds the split with one model and scores it; errors as for `metrics`."""
        embeddings = self.embed(model.stacked(), model.graph)
        descriptions, museums = embeddings.host()
        return Tested(self.metrics(embeddings)[0], descriptions[0], museums[0])

    def loss(
        self,
        embeddings: Embeddings,
        batch_size: int,
        config: LossConfig,
        weights: LossWeights,
        keys: Array,
    ) -> Float[np.ndarray, " runs"]:
        """Mean loss over the split's batches, with the training loss's settings.

        Args:
          embeddings: of this split.
          batch_size: museums of a batch, in the order of the split; the last batch may
            be smaller.
          config: structure of the loss.
          weights: margins and second weight of every run.
          keys: random key of every run, for losses that draw.
        """
        batches = order.in_batches(
            np.arange(len(self.themes), dtype=np.int32), batch_size
        )
        losses = _batch_losses(
            embeddings.descriptions,
            embeddings.museums,
            jax.device_put(self.themes),
            jax.device_put(batches),
            weights,
            keys,
            config=config,
        )
        return np.asarray(jax.device_get(losses))


@functools.partial(jax.jit, static_argnames="config")
def _batch_losses(texts, scenes, themes, batches, weights, keys, *, config):
    def one_run(text, scene, weights, key):
        def one_batch(museums, step):
            valid = museums >= 0
            chosen = jnp.where(valid, museums, 0)
            similarity = cosine_similarity(text[chosen], scene[chosen], valid)
            key_of_batch = jax.random.fold_in(key, step)
            return retrieval_loss(
                similarity, themes[chosen], valid, config, weights, key_of_batch
            )[0]

        steps = jnp.arange(batches.shape[0], dtype=jnp.int32)
        return jnp.mean(jax.lax.map(lambda x: one_batch(*x), (batches, steps)))

    return jax.vmap(one_run)(texts, scenes, weights, keys)
