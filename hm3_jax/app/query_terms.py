"""The words of a query, each embedded by itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.objective.late_interaction import QueryVectors, Terms

MOST_SENTENCES = 4
"""Longer queries are descriptions, and say enough without this."""

EmbedWords = Callable[[Sequence[str]], list[Float[np.ndarray, " size"] | None]]
"""Features of words, each encoded by itself; None for one that says nothing."""

# Words of a sentence that are looked for, their letters at most, and words that are
# remembered.
_MOST_WORDS, _LONGEST, _REMEMBERED = 24, 40, 10_000
# Words of one call, which is compiled for few sizes.
_TOGETHER = 8
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


class TermEncoder:
    """Embeds words as sentences of their own."""

    def __init__(self, features: EmbedWords, tower: InteractionTower, dtype: str):
        """Joins the parts.

        Args:
            features: Of words.
            tower: Makes vectors of features.
            dtype: What features are rounded to, as in the store of the museums.
        """
        self._features, self._tower, self._dtype = features, tower, np.dtype(dtype)
        self._known: dict[str, Float[np.ndarray, "d"] | None] = {}

    def added(self, query: QueryVectors, sentences: Sequence[str]) -> QueryVectors:
        """A query with its terms, unless it is long.

        A word counts by the square of its cosine with its sentence, so that "a" and
        "with" count next to nothing; a sentence of one word only has none to tell
        apart.

        Args:
            query: Embedded.
            sentences: Of the query.
        """
        if len(sentences) > MOST_SENTENCES:
            return query
        words = [_words(sentence) for sentence in sentences]
        self._embed([word for of_sentence in words for word in of_sentence])
        return dataclasses.replace(
            query,
            terms=tuple(
                self._terms(of_sentence, vector)
                for of_sentence, vector in zip(words, query.sentences, strict=True)
            ),
        )

    def _terms(self, words: Sequence[str], sentence: Float[np.ndarray, "d"]) -> Terms:
        known = [self._known[word] for word in words]
        vectors = np.array([vector for vector in known if vector is not None])
        vectors = vectors.reshape(-1, len(sentence))
        weights = np.square(np.maximum(vectors @ sentence, 0))
        said = weights > 0
        if said.sum() < 2:
            return Terms(vectors[:0], weights[:0])
        return Terms(vectors[said], weights[said] / weights.sum())

    def _embed(self, words: Sequence[str]) -> None:
        """Makes words known, all at once."""
        asked = list(dict.fromkeys(words))
        new = [word for word in asked if word not in self._known]
        if len(self._known) + len(new) > _REMEMBERED:
            self._known.clear()
            new = asked
        if not new:
            return
        features = zip(new, self._features(new), strict=True)
        self._known.update(dict.fromkeys(new))
        said = [(word, self._rounded(row)) for word, row in features if row is not None]
        for first in range(0, len(said), _TOGETHER):
            some = said[first : first + _TOGETHER]
            embedded = self._tower([row[None] for _, row in some])
            for (word, _), query in zip(some, embedded, strict=True):
                self._known[word] = query.sentences[0]

    def _rounded(self, row: Float[np.ndarray, " size"]) -> Float[np.ndarray, " size"]:
        return row.astype(self._dtype).astype(np.float32)


def _words(sentence: str) -> list[str]:
    """Words that are looked for; none where one alone says all that there is."""
    words = (found.group().lower() for found in _WORD.finditer(sentence))
    known = dict.fromkeys(word for word in words if len(word) <= _LONGEST)
    return list(known)[:_MOST_WORDS] if len(known) > 1 else []
