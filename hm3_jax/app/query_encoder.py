"""From what somebody types to the vector that an index is searched with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from flax.traverse_util import unflatten_dict
from jaxtyping import Float
from safetensors.numpy import load

from hm3_jax.app.describers import Describe, describer, encoder_facts
from hm3_jax.app.query_terms import EmbedWords, TermEncoder
from hm3_jax.data.store import FeatureStore
from hm3_jax.learn.evaluation.text_tower import InteractionTower, QueryTower
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.strategy import hm3_strategy
from hm3_jax.nn.strategy_json import parse_strategy
from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.index import IndexHead
from hm3_jax.retrieval.index_format import MANY_VECTORS
from hm3_jax.retrieval.museums import whole_query
from hm3_jax.retrieval.query_text import check_sentences

TEXT_TOWER = "text_tower.safetensors"
"""File of an index with the text tower's parameters, for museums of one vector."""
WHOLE_MODEL = "model.safetensors"
"""File of an index with all of a model's parameters, for museums of many vectors."""


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddedQuery:
    """An embedded query.

    Attributes:
        sentences: What it was cut into.
        vectors: Of length 1.
        without: For each sentence the vector of the others, of length 1; None if not
            asked for, where there is one sentence only, or where each sentence has a
            vector.
        notes: What to know about how it was read.
    """

    sentences: tuple[str, ...]
    vectors: QueryVectors
    without: Float[np.ndarray, "sentences d"] | None = None
    notes: tuple[str, ...] = ()


class QueryEncoder:
    """Embeds queries as descriptions were embedded when the model was trained."""

    def __init__(
        self,
        describe: Describe,
        tower: QueryTower | InteractionTower,
        dtype: str,
        words: EmbedWords | None = None,
    ):
        """Joins the parts.

        Args:
            describe: Cuts texts and makes features.
            tower: Makes vectors of features.
            dtype: What features are rounded to, as in the store of the museums.
            words: Makes features of words, for the terms of queries of late
                interaction; None to leave queries without.
        """
        self._describe, self._tower = describe, tower
        self._dtype = np.dtype(dtype)
        self._terms = None
        if words is not None and isinstance(tower, InteractionTower):
            self._terms = TermEncoder(words, tower, dtype)

    @classmethod
    def of_index(
        cls, index: IndexHead, *, pretrained: str | None = None, device: str = "auto"
    ) -> QueryEncoder:
        """The encoder that fits an index.

        Args:
            index: The index.
            pretrained: Where the text encoder's weights are (tag, file or folder), if
                not where the index's facts say. Those of another encoder are refused.
            device: PyTorch's name of a device for the text encoder.

        Raises:
            ValueError: If the index does not say which encoder it was, or the weights
                are those of another.
            FileNotFoundError: If the weights are missing or cannot be downloaded.
            ModuleNotFoundError: If the encoder takes PyTorch, which is not installed.
        """
        encoder = index.manifest.facts.encoder
        describe = describer(encoder, pretrained=pretrained, device=device)
        return cls(describe, tower_of(index), encoder["dtype"], describe.words)

    @classmethod
    def of_store(
        cls,
        saved: Checkpoint,
        store: FeatureStore,
        *,
        pretrained: str | None = None,
        device: str = "auto",
    ) -> QueryEncoder:
        """The encoder that fits a model and the features of a store.

        Args:
            saved: A model trained on such features, or made of them.
            store: Says how features of sentences were made.
            pretrained: As for `of_index`.
            device: As for `of_index`.

        Raises:
            ValueError: As `of_index`.
            FileNotFoundError: As `of_index`.
            ModuleNotFoundError: As `of_index`.
        """
        encoder = encoder_facts(store)
        describe = describer(encoder, pretrained=pretrained, device=device)
        tower = tower_of_model(saved.model)
        return cls(describe, tower, encoder["dtype"], describe.words)

    def __call__(self, texts: Sequence[str]) -> list[QueryVectors]:
        """Embedded texts, without what `encode` says of them; raises as `encode`."""
        return [query.vectors for query in self.encode(texts)]

    def encode(
        self, texts: Sequence[str], *, explain: bool = False
    ) -> list[EmbeddedQuery]:
        """Embeds queries, all at once.

        Args:
            texts: What was typed, as `check_query` returns it.
            explain: Whether to embed each query also without each of its sentences.

        Raises:
            ValueError: If one of them has too many sentences, or says nothing to the
                encoder.
        """
        described = [self._described(text) for text in texts]
        if isinstance(self._tower, InteractionTower):
            embedded = self._tower([features for _, features, _ in described])
            return [
                EmbeddedQuery(
                    tuple(sentences),
                    self._terms.added(vectors, sentences) if self._terms else vectors,
                    notes=tuple(notes),
                )
                for (sentences, _, notes), vectors in zip(
                    described, embedded, strict=True
                )
            ]
        inputs: list[np.ndarray] = []
        for _, features, _ in described:
            inputs.append(features)
            if explain and len(features) > 1:
                inputs += [np.delete(features, i, axis=0) for i in range(len(features))]
        vectors = iter(unit(self._tower(inputs)))
        return [
            EmbeddedQuery(
                tuple(sentences),
                whole_query(next(vectors)),
                np.array([next(vectors) for _ in sentences])
                if explain and len(sentences) > 1
                else None,
                tuple(notes),
            )
            for sentences, _, notes in described
        ]

    def warm_up(self, sentences: int) -> None:
        """Compiles what queries need whose sentences are at most so many in a call."""
        self._tower.warm_up(sentences)

    def _described(self, text: str) -> tuple[list[str], np.ndarray, list[str]]:
        sentences, features, notes = self._describe(text)
        check_sentences(len(sentences))
        # A store rounds what it holds; equal texts are to have equal features.
        return sentences, features.astype(self._dtype).astype(np.float32), notes


def tower_of_model(model: Model) -> QueryTower | InteractionTower:
    """What makes vectors of the features of a query, by a model."""
    if model.spec.compares_parts:
        return InteractionTower(model)
    params = jax.tree.map(np.asarray, dict(model.params["text"]))
    return QueryTower(hm3_strategy(model.config).text, params)


def tower_of(index: IndexHead) -> QueryTower | InteractionTower:
    """What makes vectors of the features of a query, as an index has it.

    Raises:
        ValueError: If the index does not have what its strategy takes.
    """
    if WHOLE_MODEL in index.files:
        return InteractionTower(model_of(index))
    strategy = index.manifest.facts.model["strategy"]
    config = hm3_strategy(parse_strategy(strategy, str(index.path)))
    return QueryTower(config.text, load(index.files[TEXT_TOWER]))


def model_of(index: IndexHead) -> Model:
    """The model of an index of museums of many vectors, whole.

    Raises:
        ValueError: If the index is not one of those.
    """
    if WHOLE_MODEL not in index.files:
        raise ValueError(
            f"{index.path}: expected an index of {MANY_VECTORS.says}, found one of "
            f"{index.manifest.layout.says}"
        )
    strategy = index.manifest.facts.model["strategy"]
    return Model(
        parse_strategy(strategy, str(index.path)),
        unflatten_dict(load(index.files[WHOLE_MODEL]), sep="."),
        index.manifest.facts.origin.get("features"),
    )
