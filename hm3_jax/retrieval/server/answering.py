"""Queries of a collection, answered by the search of an index and by words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.exact import Hits, Search
from hm3_jax.retrieval.fusion import FURTHER, Fused, fuse
from hm3_jax.retrieval.held import HeldMuseum, Holder, row_of
from hm3_jax.retrieval.museums import Answering
from hm3_jax.retrieval.server.collection import (
    Answer,
    AnsweringItem,
    Hit,
    Match,
    Query,
)
from hm3_jax.retrieval.words import Found, Told

# Characters of a description that a hit has.
_EXCERPT = 160
# Of a query's words that are written about a museum, this share makes it fit.
_SAID = 0.5


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

    @property
    def notes(self) -> Sequence[str]:
        """What to know about how the text was read."""
        ...


class EmbedPictures(Protocol):
    """Reads and embeds pictures that are searched with."""

    def read(self, content: bytes) -> Any:
        """Decodes a picture; ValueError if it is none."""
        ...

    def embed(self, pictures: Sequence[Any]) -> Sequence[EmbeddedText]:
        """Embeds what `read` has returned; without sentences."""
        ...


EmbedTexts = Callable[[Sequence[str]], Sequence[EmbeddedText]]
"""Embeds texts together; ValueError if one of them says nothing."""
Facts = Callable[[HeldMuseum], Mapping[str, Any]]
"""What is known about a museum to show it, in the form of an index's details."""


class QueryAnswerer:
    """Answers queries about the museums of an index."""

    def __init__(
        self,
        holder: Holder,
        facts: Facts,
        embed: EmbedTexts,
        search: Search,
        match: Match,
        pictures: EmbedPictures | None,
    ):
        """Joins the parts.

        Args:
            holder: The museums.
            facts: What is known about each.
            embed: As for `IndexCollection`.
            search: Likewise.
            match: What finds museums where a query does not say.
            pictures: As for `IndexCollection`.
        """
        self._holder, self._facts = holder, facts
        self._embed, self._search, self._pictures = embed, search, pictures
        self._usual_match: Match = match

    def search(self, queries: Sequence[Query]) -> list[Answer | ValueError]:
        """See `Collection.search`."""
        asked = self._embed_queries(queries)
        good = [
            (query, what)
            for query, what in zip(queries, asked, strict=True)
            if not isinstance(what, ValueError)
        ]
        answers = iter(self._answers(good) if good else [])
        return [
            what if isinstance(what, ValueError) else next(answers) for what in asked
        ]

    def _embed_queries(
        self, queries: Sequence[Query]
    ) -> list[EmbeddedText | HeldMuseum | ValueError]:
        """What each query is compared by: a text, a picture or a museum."""
        texts = [query.text for query in queries if query.text is not None]
        embedded = iter(self._embed_each(texts))
        seen = [query.picture for query in queries if query.picture is not None]
        pictures = iter(self._pictures.embed(seen) if self._pictures and seen else [])
        like = [row_of(q.like, self._holder) for q in queries if q.like is not None]
        museums = iter(self._holder.some(like))
        return [
            next(embedded)
            if query.text is not None
            else next(museums if query.picture is None else pictures)
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

    def _answers(
        self, asked: Sequence[tuple[Query, EmbeddedText | HeldMuseum]]
    ) -> list[Answer]:
        vectors = [
            what.query_like() if isinstance(what, HeldMuseum) else what.vectors
            for _, what in asked
        ]
        found = self._search.search(
            vectors,
            max(self._depth(query) for query, _ in asked),
            [self._theme_numbers(query) for query, _ in asked],
            [query.theme_weight for query, _ in asked],
        )
        best = [
            self._best(query, what, hits)
            for (query, what), hits in zip(asked, found, strict=True)
        ]
        rows = sorted({one.row for of_query in best for one in of_query})
        museums = dict(zip(rows, self._holder.some(rows), strict=True))
        return [
            self._answer(*asked[i], vectors[i], found[i], best[i], museums)
            for i in range(len(asked))
        ]

    def _match(self, query: Query) -> Match:
        """What finds museums for a query."""
        if query.text is None:
            return "pictures"
        return query.match or self._usual_match

    def _depth(self, query: Query) -> int:
        """How many museums are to be found by pictures."""
        if self._match(query) == "both":
            return query.top_k + FURTHER
        # One more, because a museum is the one most like itself.
        return query.top_k + 1

    def _best(
        self, query: Query, what: EmbeddedText | HeldMuseum, hits: Hits
    ) -> list[Fused]:
        """The museums that answer a query, best first."""
        depth, match = self._depth(query), self._match(query)
        # More than this query's own where others are searched with it.
        seen = hits.rows[:depth].tolist()
        if match == "pictures":
            asking = what.row if isinstance(what, HeldMuseum) else None
            rows = [row for row in seen if row != asking]
            return [Fused(row, ("pictures",)) for row in rows[: query.top_k]]
        read = self._read(query, query.top_k if match == "words" else depth)
        if match == "words":
            return [Fused(row, ("words",)) for row in read.rows]
        return fuse(seen, read, query.top_k)

    def _read(self, query: Query, most: int) -> Found:
        """The museums that words find."""
        words, text = self._holder.words, query.text
        if words is None or text is None:
            return Found([], 0)
        if query.theme is None:
            return words.find(text, most)
        theme = self._holder.themes.index(query.theme)

        def of_theme(rows: Sequence[int]) -> set[int]:
            museums = self._holder.titles(rows)
            return {museum.row for museum in museums if museum.theme == theme}

        return words.find(text, most, of_theme)

    def _answer(
        self,
        query: Query,
        what: EmbeddedText | HeldMuseum,
        vectors: QueryVectors,
        hits: Hits,
        best: Sequence[Fused],
        museums: Mapping[int, HeldMuseum],
    ) -> Answer:
        text = None if isinstance(what, HeldMuseum) else what
        scores = dict(zip(hits.rows.tolist(), hits.scores.tolist(), strict=True))
        facts = {one.row: self._facts(museums[one.row]) for one in best}
        passages: Mapping[int, Sequence[str]] = {}
        if self._holder.words is not None and query.text is not None:
            passages = self._holder.words.passages(
                query.text,
                {
                    row: Told.of(museums[row].id, facts[row])
                    for row, found_by in best
                    if "words" in found_by
                },
            )
        shown = []
        for row, found_by in best:
            score = scores.get(row)
            if score is None:
                score = museums[row].score(vectors, query.theme_weight)
            hit = self._hit(score, museums[row], facts[row], vectors, text)
            passage = passages.get(row, ())
            shown.append(dataclasses.replace(hit, found_by=found_by, passage=passage))
        return Answer(
            [] if text is None else list(text.sentences),
            shown,
            hits.exact,
            self._match(query),
            self._fits(query, vectors, shown),
            [] if text is None else list(text.notes),
        )

    def _fits(
        self, query: Query, vectors: QueryVectors, hits: Sequence[Hit]
    ) -> bool | None:
        """Whether any hit fits; None where that is not known."""
        fit, words = self._holder.fit, self._holder.words
        if fit is None or query.text is None or not hits:
            return None
        if any(
            fit.fits(vectors, [item.cosine for item in hit.answers]) for hit in hits
        ):
            return True
        return words is not None and any(
            words.share(query.text, hit.passage) >= _SAID for hit in hits
        )

    def _answers_of(
        self, text: EmbeddedText | None, answering: Sequence[Answering]
    ) -> list[AnsweringItem]:
        """What answers the sentences of a text, or a picture."""
        if text is None:
            return []
        # Pictures are closer to one another than to any sentence.
        fit = self._holder.fit if text.sentences else None
        return [
            AnsweringItem(
                item.room,
                item.kind,
                item.place,
                item.cosine,
                None if fit is None else fit.answers(item.cosine),
            )
            for item in answering
        ]

    def _theme_numbers(self, query: Query) -> list[int] | None:
        if query.theme is None:
            return None
        return [self._holder.themes.index(query.theme)]

    def _hit(
        self,
        score: float,
        museum: HeldMuseum,
        facts: Mapping[str, Any],
        query: QueryVectors,
        text: EmbeddedText | None,
    ) -> Hit:
        without = None if text is None else text.without
        carried = museum.carried(query, without, score)
        return Hit(
            museum.id,
            title_of(museum.id, facts),
            self._holder.themes[museum.theme],
            score,
            museum.x,
            museum.y,
            [] if text is None else carried.sentences,
            carried.rooms,
            excerpt=_beginning(facts.get("description", [])),
            answers=self._answers_of(text, carried.answering),
            room_titles=[room.get("title") for room in facts.get("rooms", [])],
        )


def title_of(museum: str, facts: Mapping[str, Any]) -> str:
    """The name of a museum for people; its id where it has none."""
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
