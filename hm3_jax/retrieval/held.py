"""Single museums of an index, wherever they are: in its own files, or in an engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jaxtyping import Float
from numpy import ndarray

from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.fit import Fit
from hm3_jax.retrieval.museums import Carried, KnownMuseums
from hm3_jax.retrieval.words import Words


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class HeldMuseum:
    """One museum, with all that is known about it.

    Attributes:
        row: Of the index.
        among: The museum, maybe among others.
        at: Its number among them.
        x: Its place on a map of the collection, within -1 and 1.
        y: Likewise.
    """

    row: int
    among: KnownMuseums
    at: int
    x: float
    y: float

    @property
    def id(self) -> str:
        """Of the museum."""
        return self.among.ids[self.at]

    @property
    def theme(self) -> int:
        """Number of its theme."""
        return int(self.among.theme_index[self.at])

    @property
    def detail(self) -> Mapping[str, Any]:
        """See `KnownMuseums.detail`."""
        return self.among.detail(self.at)

    def query_like(self) -> QueryVectors:
        """See `KnownMuseums.query_like`."""
        return self.among.query_like(self.at)

    def score(self, query: QueryVectors, theme_weight: float | None) -> float:
        """See `KnownMuseums.score`."""
        return self.among.score(query, theme_weight, self.at)

    def carried(
        self,
        query: QueryVectors,
        without: Float[ndarray, "sentences d"] | None,
        score: float,
    ) -> Carried:
        """See `KnownMuseums.carried`."""
        return self.among.carried(query, without, self.at, score)


class Holder(Protocol):
    """What holds the museums of an index.

    All may raise a ConnectionError where an engine holds them.
    """

    @property
    def themes(self) -> tuple[str, ...]:
        """Theme names, sorted."""
        ...

    @property
    def museums_by_theme(self) -> Sequence[int]:
        """How many museums each theme has."""
        ...

    @property
    def theme_weight(self) -> float | None:
        """See `KnownMuseums.default_theme_weight`."""
        ...

    @property
    def words(self) -> Words | None:
        """Finds museums by words; None where they cannot be found so."""
        ...

    @property
    def fit(self) -> Fit | None:
        """Tells whether museums fit a query; None where that is not known."""
        ...

    def __len__(self) -> int:
        """Number of museums."""
        ...

    def rows(self, museums: Sequence[str]) -> Mapping[str, int]:
        """Rows of museums by their ids; without those that are not there."""
        ...

    def some(self, rows: Sequence[int]) -> Sequence[HeldMuseum]:
        """The museums of some rows, in their order."""
        ...

    def titles(self, rows: Sequence[int]) -> Sequence[HeldMuseum]:
        """The same, maybe with no more than what a map shows."""
        ...


def row_of(museum: str, holder: Holder) -> int:
    """The row of the museum with this id.

    Raises:
        ValueError: If there is no such museum.
    """
    rows = holder.rows([museum])
    if museum not in rows:
        raise ValueError(f"expected the id of a museum in the index, found {museum!r}")
    return rows[museum]
