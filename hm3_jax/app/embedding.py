"""Texts and museums embedded by a model, and scored with each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.app.query_encoder import EmbeddedQuery, QueryEncoder
from hm3_jax.data.store import FeatureStore
from hm3_jax.learn.batches.features import load_features
from hm3_jax.learn.evaluation.embed_museums import embed_items, embed_whole_museums
from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.objective.late_interaction import MuseumVectors, scores_of
from hm3_jax.objective.similarity import COSINE


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddedMuseums:
    """Embedded museums, and what is needed to compare them.

    Attributes:
        vectors: One of length 1 for each museum, float32; or those of their items,
            where the model is one of late interaction.
        sharpness: Of late interaction's soft maximum.
        theme_weight: How much a shared theme counts, in late interaction.
    """

    vectors: Float[np.ndarray, "museums d"] | MuseumVectors
    sharpness: float = 0.0
    theme_weight: float = 0.0

    def __len__(self) -> int:
        """Number of museums."""
        return len(self.vectors)


def embed_museums(
    saved: Checkpoint, store: FeatureStore, museums: Int[np.ndarray, " museums"]
) -> EmbeddedMuseums:
    """Embeds museums of a store.

    Args:
        saved: A model trained on such features, or made of them.
        store: Features.
        museums: Numbers of the museums, at least one, such as `store.splits["test"]`.

    Returns:
        The museums in the order given.

    Raises:
        ValueError: If the store lacks what the model reads.
    """
    model, numbers = saved.model, np.asarray(museums)
    features = load_features(store, model.config)
    if not model.spec.compares_parts:
        vectors = embed_whole_museums(model, features, numbers)
        return EmbeddedMuseums(COSINE.prepare(vectors, {}))
    tower = InteractionTower(model)
    items = embed_items(model, features, numbers)
    return EmbeddedMuseums(items, tower.sharpness, tower.theme_weight)


def embed_texts(
    saved: Checkpoint,
    store: FeatureStore,
    texts: Sequence[str],
    *,
    pretrained: str | None = None,
    device: str = "auto",
) -> list[EmbeddedQuery]:
    """Embeds texts as people type them.

    Each call loads the text encoder; `QueryEncoder.of_store` is for several.

    Args:
        saved: A model trained on such features, or made of them.
        store: Says how features of sentences were made.
        texts: One or more sentences each.
        pretrained: As for `QueryEncoder.of_store`.
        device: As for `QueryEncoder.of_store`.

    Raises:
        ValueError: If a text has too many sentences, or says nothing to the encoder; or
            as `QueryEncoder.of_store`.
        FileNotFoundError: As `QueryEncoder.of_store`.
        ModuleNotFoundError: As `QueryEncoder.of_store`.
    """
    encoder = QueryEncoder.of_store(saved, store, pretrained=pretrained, device=device)
    return encoder.encode(texts)


def score(
    texts: Sequence[EmbeddedQuery], museums: EmbeddedMuseums
) -> Float[np.ndarray, "texts museums"]:
    """Scores how well each text matches each museum.

    Args:
        texts: Embedded, one at least.
        museums: Embedded by the same model.

    Returns:
        float32; cosines, or late interaction's scores. Larger is better.
    """
    known = museums.vectors
    if isinstance(known, MuseumVectors):
        rows = [
            scores_of(text.vectors, known, museums.sharpness, museums.theme_weight)
            for text in texts
        ]
        return np.stack(rows).astype(np.float32)
    vectors = np.stack([text.vectors.vector for text in texts])
    return COSINE.block(vectors, known, {})
