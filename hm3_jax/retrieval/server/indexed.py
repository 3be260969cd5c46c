"""An index as a collection that the server can serve."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from hm3_jax.files.input_kinds import ROOM_KINDS
from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.exact import Hits, Search
from hm3_jax.retrieval.fusion import MOST_RANKED, Fused, fuse
from hm3_jax.retrieval.index import Index
from hm3_jax.retrieval.query_text import check_match
from hm3_jax.retrieval.server.collection import (
    Answer,
    AnsweringItem,
    Hit,
    Map,
    Match,
    Museum,
    Query,
    Room,
    Theme,
    spread,
)
from hm3_jax.retrieval.words import Told

# Characters of a description that a hit has, and those of an example at most.
_EXCERPT = 160
_EXAMPLE = 80
_EXAMPLES = 3


class EmbeddedText(Protocol):
    """A text as `EmbedTexts` returns it."""

    @property
    def sentences(self) -> Sequence[str]:
        """What the text was cut into."""
        ...

    @property
    def vectors(self) -> QueryVectors:
        """Of the text, of length 1."""
        ...

    @property
    def without(self) -> Float[np.ndarray, "sentences d"] | None:
        """As `KnownMuseums.carried` takes it."""
        ...


EmbedTexts = Callable[[Sequence[str]], Sequence[EmbeddedText]]
"""Embeds texts together; ValueError if one of them says nothing."""


class _Found(NamedTuple):
    """A museum that was found."""

    row: int
    score: float
    found_by: tuple[str, ...]
    passage: tuple[str, ...] = ()


class IndexCollection:
    """The museums of an index, with what a museum list adds about them."""

    def __init__(
        self,
        index: Index,
        embed: EmbedTexts,
        search: Search,
        listed: Callable[[str], Mapping[str, Any]] = lambda museum: {},
        match: Match | None = None,
    ):
        """Joins the parts.

        Args:
            index: The museums.
            embed: Embeds queries as the index's model does.
            search: Finds museums of the index.
            listed: What else is known about a museum, in the form of the index's
                details; it replaces what the index says.
            match: What finds museums where a query does not say; None for all there is.

        Raises:
            ValueError: If the index cannot be searched by `match`.
        """
        self._index, self._embed, self._search = index, embed, search
        self._listed = listed
        self._matches: list[Match] = (
            ["pictures"] if index.words is None else ["both", "pictures", "words"]
        )
        if match is not None:
            check_match(match, self._matches)
            # The first counts where a query does not say.
            self._matches.sort(key=lambda other: other != match)
        museums = index.museums
        counts = np.bincount(museums.theme_index, minlength=len(museums.themes))
        self._themes = [
            Theme(name, int(number))
            for name, number in zip(museums.themes, counts, strict=True)
        ]

    @property
    def themes(self) -> Sequence[Theme]:
        """The themes, sorted by name."""
        return self._themes

    @property
    def examples(self) -> Sequence[str]:
        """A few short texts to search for; none where no description is known."""
        return self._examples

    @property
    def matches(self) -> Sequence[Match]:
        """What can find museums for a text; the first is what does, unasked."""
        return self._matches

    @property
    def theme_weight(self) -> float | None:
        """What `Query.theme_weight` is, unasked; None where there is no such weight."""
        return self._index.museums.default_theme_weight

    @functools.cached_property
    def _examples(self) -> list[str]:
        found: list[str] = []
        # Museums spread evenly over the collection, more than are needed, since not
        # all may have a description.
        for row in spread(len(self), 8 * _EXAMPLES):
            said = self._facts(row).get("description", [])
            short = [text for text in said if text.strip() and len(text) <= _EXAMPLE]
            # The longest says most.
            if short and (text := max(short, key=len)) not in found:
                found.append(text)
            if len(found) == _EXAMPLES:
                break
        return found

    def __len__(self) -> int:
        """Number of museums."""
        return len(self._index.museums)

    def __contains__(self, museum: str) -> bool:
        """Whether there is a museum with this id."""
        try:
            self._index.row(museum)
        except ValueError:
            return False
        return True

    def search(self, queries: Sequence[Query]) -> list[Answer | ValueError]:
        """Answers queries together; a ValueError for each that has no answer."""
        asked = self._embed_queries(queries)
        good = [i for i, what in enumerate(asked) if not isinstance(what, ValueError)]
        if not good:
            return [what for what in asked if isinstance(what, ValueError)]
        found = self._search.search(
            [self._vectors(asked[i]) for i in good],
            max(self._depth(queries[i]) for i in good),
            [self._theme_numbers(queries[i]) for i in good],
            [queries[i].theme_weight for i in good],
        )
        answers = {
            i: self._answer(queries[i], asked[i], hits)
            for i, hits in zip(good, found, strict=True)
        }
        return [
            what if isinstance(what, ValueError) else answers[i]
            for i, what in enumerate(asked)
        ]

    def museum(self, museum: str) -> Museum:
        """The museum with this id; ValueError if there is none."""
        row = self._index.row(museum)
        facts = self._facts(row)
        x, y = self._index.map[row].tolist()
        return Museum(
            museum,
            _title(museum, facts),
            self._theme(row),
            x,
            y,
            facts.get("description", []),
            [
                Room(counts={kind: room.get(kind, 0) for kind in ROOM_KINDS})
                for room in facts.get("rooms", [])
            ],
        )

    def map(self, most: int) -> Map:
        """Places of at most so many museums, spread evenly over the collection."""
        museums, places = self._index.museums, self._index.map
        rows = spread(len(museums), most)
        return Map(
            [museums.ids[row] for row in rows],
            [_title(museums.ids[row], self._facts(row)) for row in rows],
            museums.theme_index[rows].tolist(),
            # More digits than a screen has points would only take longer.
            np.round(places[rows, 0].astype(float), 4).tolist(),
            np.round(places[rows, 1].astype(float), 4).tolist(),
        )

    def _embed_queries(
        self, queries: Sequence[Query]
    ) -> list[EmbeddedText | int | ValueError]:
        """What each query is compared by: a text, or the row of a museum."""
        texts = [query.text for query in queries if query.text is not None]
        embedded = iter(self._embed_each(texts))
        return [
            self._index.row(query.like or "") if query.text is None else next(embedded)
            for query in queries
        ]

    def _embed_each(self, texts: Sequence[str]) -> list[EmbeddedText | ValueError]:
        """Embeds texts together; one by one where one of them is at fault."""
        if not texts:
            return []
        try:
            return list(self._embed(texts))
        except ValueError as error:
            if len(texts) == 1:
                return [error]
        return [one for text in texts for one in self._embed_each([text])]

    def _vectors(self, asked: EmbeddedText | int | ValueError) -> QueryVectors:
        if isinstance(asked, ValueError):
            raise asked
        if isinstance(asked, int):
            return self._index.museums.query_like(asked)
        return asked.vectors

    def _match(self, query: Query) -> Match:
        if query.text is None:
            return "pictures"
        return query.match or self._matches[0]

    def _depth(self, query: Query) -> int:
        """How many museums are to be found by pictures."""
        if self._match(query) == "both":
            return max(query.top_k, MOST_RANKED)
        # One more, because a museum is the one most like itself.
        return query.top_k + 1

    def _answer(
        self, query: Query, asked: EmbeddedText | int | ValueError, hits: Hits
    ) -> Answer:
        text = None if isinstance(asked, int | ValueError) else asked
        vectors = self._vectors(asked)
        return Answer(
            [] if text is None else list(text.sentences),
            [
                self._hit(found, vectors, text)
                for found in self._found(query, asked, vectors, hits)
            ],
            self._match(query),
        )

    def _found(
        self,
        query: Query,
        asked: EmbeddedText | int | ValueError,
        vectors: QueryVectors,
        hits: Hits,
    ) -> list[_Found]:
        """The museums of an answer, best first."""
        depth = self._depth(query)
        scores = dict(zip(hits.rows[:depth].tolist(), hits.scores.tolist(), strict=False))
        match = self._match(query)
        if match == "pictures":
            rows = [row for row in scores if row != asked][: query.top_k]
            return [_Found(row, scores[row], ("pictures",)) for row in rows]
        most = query.top_k if match == "words" else depth
        read = self._index.find_words(query.text or "", most, query.theme)
        if match == "words":
            fused = [Fused(row, ("words",)) for row in read]
        else:
            fused = fuse(list(scores), read, query.top_k)
        passages = self._passages(query.text or "", fused)
        museums, weight = self._index.museums, query.theme_weight
        return [
            _Found(
                row,
                scores[row] if row in scores else museums.score(vectors, weight, row),
                found_by,
                passages.get(row, ()),
            )
            for row, found_by in fused
        ]

    def _passages(
        self, text: str, found: Sequence[Fused]
    ) -> Mapping[int, tuple[str, ...]]:
        told = {
            row: Told.of(self._index.museums.ids[row], self._facts(row))
            for row, found_by in found
            if "words" in found_by
        }
        words = self._index.words
        return {} if words is None else words.passages(text, told)

    def _theme_numbers(self, query: Query) -> list[int] | None:
        if query.theme is None:
            return None
        return [self._index.museums.themes.index(query.theme)]

    def _theme(self, row: int) -> str:
        museums = self._index.museums
        return museums.themes[museums.theme_index[row]]

    def _facts(self, row: int) -> dict[str, Any]:
        museums = self._index.museums
        return {**museums.detail(row), **self._listed(museums.ids[row])}

    def _hit(
        self, found: _Found, query: QueryVectors, text: EmbeddedText | None
    ) -> Hit:
        row, score, found_by, passage = found
        museums = self._index.museums
        without = None if text is None else text.without
        carried = museums.carried(query, without, row, score)
        x, y = self._index.map[row].tolist()
        facts = self._facts(row)
        return Hit(
            museums.ids[row],
            _title(museums.ids[row], facts),
            self._theme(row),
            score,
            x,
            y,
            [] if text is None else carried.sentences,
            carried.rooms,
            excerpt=_beginning(facts.get("description", [])),
            answers=[]
            if text is None
            else [
                AnsweringItem(item.room, item.kind, item.place, item.cosine)
                for item in carried.answering
            ],
            found_by=found_by,
            passage=passage,
        )


def _title(museum: str, facts: Mapping[str, Any]) -> str:
    return facts.get("title") or museum


def _beginning(sentences: Sequence[str]) -> str:
    """The first sentences, as many as fit; part of the first if it is long."""
    text = ""
    for sentence in sentences:
        longer = f"{text} {sentence}".strip()
        if len(longer) > _EXCERPT:
            break
        text = longer
    if not text and sentences:
        return f"{sentences[0][:_EXCERPT].rsplit(' ', 1)[0]}…"
    return text
