"""Whether what a search has found fits: by how well museums answer their descriptions.

How large a cosine has to be depends on the model, on how many museums are searched (of
more, the best is better by chance) and on how many sentences one museum has to answer.
So the collection's own descriptions tell it: parts of them are searched in the
collection itself, when the index is made, and almost all of these count as fitting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.item_museums import ItemMuseums

# Shares of the collection's own sentences, and of parts of its descriptions, that are
# said not to fit.
_WEAK, _NOTHING = 0.05, 0.02
# Parts of descriptions that are searched together.
_QUERIES = 64

LENGTHS = (1, 2, 4, 8)
"""Sentences of the parts of descriptions that are searched."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """What cosines of sentences and the items that answer them mean in a collection.

    Attributes:
        sentence: Reached by almost all sentences in the museum that they describe.
        lengths: Numbers of sentences, ascending.
        means: For queries of so many sentences, reached by the mean of almost all in
            the museum that is found first.
    """

    sentence: float
    lengths: tuple[int, ...]
    means: tuple[float, ...]

    def answers(self, cosine: float) -> bool:
        """Whether an item answers a sentence, by their cosine."""
        return cosine >= self.sentence

    def fits(self, query: QueryVectors, cosines: Sequence[float]) -> bool:
        """Whether a museum fits a query.

        Args:
            query: Embedded.
            cosines: Of each sentence and the museum's best item.
        """
        needed = np.interp(
            np.log(len(query.sentences)), np.log(self.lengths), self.means
        )
        return _mean_cosine(query, cosines) >= float(needed)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Reads `to_json`'s values."""
        return cls(values["sentence"], tuple(values["lengths"]), tuple(values["means"]))


def fit_of(facts: IndexFacts) -> Fit | None:
    """What an index knows about what fits; None where nothing is."""
    values = facts.origin.get("fit")
    return None if values is None else Fit.from_json(values)


def calibrated(
    museums: ItemMuseums,
    search: Search,
    parts: Mapping[int, Sequence[tuple[int, QueryVectors]]],
) -> Fit | None:
    """Learns what fits from parts of descriptions.

    Args:
        museums: The collection.
        search: Finds its museums.
        parts: By number of sentences, parts of descriptions with the row of the museum
            that they describe; lengths without any are left out.

    Returns:
        None without any part.
    """
    own: list[float] = []
    means: dict[int, float] = {}
    for length, described in sorted(parts.items()):
        if not described:
            continue
        reached = []
        for first in range(0, len(described), _QUERIES):
            some = described[first : first + _QUERIES]
            found = search.search([query for _, query in some], 1)
            for (row, query), hits in zip(some, found, strict=True):
                own += museums.cosines(query, row).max(axis=1).tolist()
                best = museums.cosines(query, int(hits.rows[0])).max(axis=1)
                reached.append(_mean_cosine(query, best))
        means[length] = float(np.quantile(reached, _NOTHING))
    if not means:
        return None
    return Fit(float(np.quantile(own, _WEAK)), tuple(means), tuple(means.values()))


def _mean_cosine(
    query: QueryVectors, cosines: Sequence[float] | Float[np.ndarray, " sentences"]
) -> float:
    return float(np.average(cosines, weights=query.weights))
