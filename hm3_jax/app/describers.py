"""What makes features of texts that are typed, as it made those of a store's texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from hm3_jax.data.concepts import MODEL as CONCEPTS
from hm3_jax.data.concepts import ConceptEncoder
from hm3_jax.data.store import FeatureStore
from hm3_jax.files.words import unknown_note
from hm3_jax.retrieval.query_text import cut_at_marks

Describe = Callable[
    [str], tuple[list[str], Float[np.ndarray, "sentences size"], list[str]]
]
"""Cuts a text into sentences; these, their features, and what to know of them."""


class Describer(Protocol):
    """What makes features of texts, and of single words."""

    def __call__(
        self, text: str
    ) -> tuple[list[str], Float[np.ndarray, "sentences size"], list[str]]:
        """See `Describe`."""
        ...

    def words(self, words: Sequence[str]) -> list[Float[np.ndarray, " size"] | None]:
        """See `EmbedWords`."""
        ...


def encoder_facts(store: FeatureStore) -> dict[str, Any]:
    """What `describer` has to know to make features as those of a store's sentences."""
    settings = store.manifest.origin.get("settings") or {}
    return {
        "features": store.feature_facts()["sentences"],
        "dtype": store.manifest.dtype,
        "language": settings.get("text_split", {}).get("language", "en"),
    }


def describer(
    encoder: Mapping[str, Any], *, pretrained: str | None, device: str
) -> Describer:
    """Loads what makes features of texts as it made those of a store's descriptions.

    Args:
        encoder: `encoder_facts`, as an index has them too.
        pretrained: As for `QueryEncoder.of_index`.
        device: As for `QueryEncoder.of_index`.

    Raises:
        ValueError: As `QueryEncoder.of_index`.
        FileNotFoundError: As `QueryEncoder.of_index`.
        ModuleNotFoundError: As `QueryEncoder.of_index`.
    """
    facts = encoder["features"]
    if facts.get("model") == CONCEPTS:
        if pretrained is not None:
            raise ValueError(
                f"pretrained weights {pretrained!r} are for real features, found those "
                "of generated museums"
            )
        return _ConceptDescriber(ConceptEncoder.from_facts(facts))
    # PyTorch only where it is needed.
    from hm3_jax.extraction.query_features import describer_for

    return describer_for(
        facts, language=encoder["language"], pretrained=pretrained, device=device
    )


class _ConceptDescriber:
    """Makes features of texts about generated museums."""

    def __init__(self, encoder: ConceptEncoder):
        self._encoder = encoder
        (self._nothing,) = encoder.encode([""])

    def __call__(
        self, text: str
    ) -> tuple[list[str], Float[np.ndarray, "sentences size"], list[str]]:
        sentences = cut_at_marks(text)
        features = self._encoder.encode(sentences)
        said = (features != self._nothing).any(axis=1)
        if not said.any():
            raise ValueError(
                "expected English words, which is all that the encoder of generated "
                f"museums knows, found none in {text[:40]!r}"
            )
        kept = [s for s, has in zip(sentences, said, strict=True) if has]
        notes = [unknown_note(s) for s in kept if not self._encoder.knows(s)]
        return kept, features[said], notes

    def words(self, words: Sequence[str]) -> list[Float[np.ndarray, " size"] | None]:
        features = self._encoder.encode(words)
        return [row if (row != self._nothing).any() else None for row in features]
