"""Museums that Qdrant holds: what is known about them, and their vectors."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.objective.late_interaction import MuseumVectors
from hm3_jax.retrieval.engine.connection import Engine, said_by
from hm3_jax.retrieval.engine.points import LAYOUT, museums_of
from hm3_jax.retrieval.engine.publish import collection_name
from hm3_jax.retrieval.fit import Fit, fit_of
from hm3_jax.retrieval.held import HeldMuseum
from hm3_jax.retrieval.index import IndexHead
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.museums import KnownMuseums

# Museums that are asked for at a time.
_PAGE = 1000
_TITLES = ("id", "theme", "place", "details.title")


class Near(NamedTuple):
    """Museums that Qdrant puts first, best first.

    Attributes:
        rows: Of the museums.
        scores: Qdrant's, in float32.
        museums: The same, with what was asked for.
    """

    rows: Int[np.ndarray, " found"]
    scores: Float[np.ndarray, " found"]
    museums: KnownMuseums


class PublishedMuseums:
    """The museums of an index, held by Qdrant; `engine.opening` makes one."""

    def __init__(self, head: IndexHead, engine: Engine, client: Any):
        """Takes a client of Qdrant, where `publish` has copied the index to.

        Raises:
            ValueError: If it has not, or not all of it, or another version of this
                program has.
        """
        self.manifest, self.words = head.manifest, head.words
        self._engine, self._client = engine, client
        self._name = collection_name(head.manifest, engine)
        with self._said():
            found, metadata = 0, {}
            if client.collection_exists(self._name):
                metadata = client.get_collection(self._name).config.metadata or {}
                found = client.count(self._name, exact=True).count
        if found != len(self):
            raise ValueError(
                f"{engine.uri}: expected the {len(self)} museums of {head.path} in "
                f"collection {self._name}, found {found}: build_index --output=INDEX "
                "--uri=URI copies them"
            )
        if metadata.get("layout") != LAYOUT:
            raise ValueError(
                f"{engine.uri}: expected collection {self._name} in layout {LAYOUT}, "
                f"found {metadata.get('layout')}: build_index --output=INDEX --uri=URI "
                "copies the index again"
            )
        self.facts: Mapping[str, Any] = metadata

    def __len__(self) -> int:
        """Number of museums."""
        return self.manifest.counts["museums"]

    @property
    def themes(self) -> tuple[str, ...]:
        """Theme names, sorted."""
        return self.manifest.themes

    @property
    def theme_weight(self) -> float | None:
        """See `Holder`."""
        known = self.manifest.counts.get("log_themes")
        return self.manifest.facts.model["theme_weight"] if known else None

    @property
    def fit(self) -> Fit | None:
        """See `Holder`."""
        return fit_of(self.manifest.facts)

    @property
    def museums_by_theme(self) -> Sequence[int]:
        """How many museums there are of each theme."""
        return self.facts["museums_by_theme"]

    def rows(self, museums: Sequence[str]) -> dict[str, int]:
        """Rows of those of some museums, by id, that are here; raises as `some`."""
        from qdrant_client import models

        found: dict[str, int] = {}
        for first in range(0, len(museums), _PAGE):
            some = list(museums[first : first + _PAGE])
            with self._said():
                points, _ = self._client.scroll(
                    self._name,
                    scroll_filter=models.Filter(
                        must=[
                            models.FieldCondition(
                                key="id", match=models.MatchAny(any=some)
                            )
                        ]
                    ),
                    limit=len(some),
                    with_payload=["id"],
                )
            found |= {point.payload["id"]: point.id for point in points}
        return found

    def some(self, rows: Sequence[int]) -> list[HeldMuseum]:
        """The museums of some rows, in their order.

        Raises:
            ConnectionError: If Qdrant cannot be reached or refuses, or has them no
                longer.
        """
        return self._some(rows, True)

    def titles(self, rows: Sequence[int]) -> list[HeldMuseum]:
        """The same, with titles only; raises as `some`."""
        return self._some(rows, _TITLES)

    def columns(self, rows: Sequence[int], names: Sequence[str]) -> KnownMuseums:
        """Some museums with some columns only; raises as `some`."""
        return museums_of(self._payloads(rows, names), self.manifest)

    @property
    def sharpness(self) -> float:
        """Of the soft maximum, for museums of many vectors."""
        return self.manifest.facts.model["sharpness"]

    def vectors_of(self, rows: Int[np.ndarray, " museums"]) -> MuseumVectors:
        """Items and rooms of some museums of many vectors; raises as `some`."""
        museums = self.columns(rows.tolist(), ("items", "item_rooms"))
        assert isinstance(museums, ItemMuseums)
        return museums.embedded

    def near(
        self,
        name: str,
        queries: Sequence[np.ndarray],
        themes: Sequence[Collection[int] | None],
        limit: int,
        columns: Sequence[str],
    ) -> list[Near]:
        """The museums that Qdrant puts first for some queries.

        Args:
            name: Of the vectors that are compared.
            queries: A vector each, or several, a row each.
            themes: For each query the numbers of the themes that count, None for all.
            limit: How many museums.
            columns: Of the payload, what is wanted.

        Raises:
            ConnectionError: If Qdrant cannot be reached or refuses.
        """
        from qdrant_client import models

        with self._said():
            answers = self._client.query_batch_points(
                self._name,
                [
                    models.QueryRequest(
                        query=query.tolist(),
                        using=name,
                        filter=_of_themes(numbers),
                        limit=limit,
                        with_payload=list(columns),
                    )
                    for query, numbers in zip(queries, themes, strict=True)
                ],
            )
        return [
            Near(
                np.array([point.id for point in answer.points], np.int64),
                np.array([point.score for point in answer.points], np.float64),
                museums_of([point.payload for point in answer.points], self.manifest),
            )
            for answer in answers
        ]

    def _some(
        self, rows: Sequence[int], names: Sequence[str] | bool
    ) -> list[HeldMuseum]:
        payloads = self._payloads(rows, names)
        museums = museums_of(payloads, self.manifest)
        return [
            HeldMuseum(int(row), museums, at, *one["place"])
            for at, (row, one) in enumerate(zip(rows, payloads, strict=True))
        ]

    def _payloads(
        self, rows: Sequence[int], names: Sequence[str] | bool
    ) -> list[Mapping[str, Any]]:
        asked = sorted({int(row) for row in rows})
        found: dict[int, Mapping[str, Any]] = {}
        wanted = names if isinstance(names, bool) else list(names)
        for first in range(0, len(asked), _PAGE):
            with self._said():
                points = self._client.retrieve(
                    self._name, asked[first : first + _PAGE], with_payload=wanted
                )
            found |= {point.id: point.payload for point in points}
        if len(found) < len(asked):
            raise ConnectionError(
                f"{self._engine.uri}: expected {len(asked)} museums in collection "
                f"{self._name}, found {len(found)}"
            )
        return [found[int(row)] for row in rows]

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Names a collection that has gone: the index was published anew."""
        with said_by(self._engine):
            try:
                yield
            except ValueError as error:  # of the embedded mode
                raise ConnectionError(f"{self._engine.uri}: Qdrant: {error}") from error


def _of_themes(numbers: Collection[int] | None) -> Any:
    if numbers is None:
        return None
    from qdrant_client import models

    return models.Filter(
        must=[
            models.FieldCondition(
                key="theme", match=models.MatchAny(any=sorted(numbers))
            )
        ]
    )
