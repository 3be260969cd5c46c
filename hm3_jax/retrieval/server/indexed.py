"""An index as a collection that the server can serve."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hm3_jax.files.input_kinds import ROOM_KINDS
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.held import Holder, row_of
from hm3_jax.retrieval.query_text import check_match
from hm3_jax.retrieval.server.answering import (
    EmbedPictures,
    EmbedTexts,
    Facts,
    QueryAnswerer,
    title_of,
)
from hm3_jax.retrieval.server.collection import (
    Answer,
    Map,
    Match,
    Museum,
    Query,
    Room,
    Theme,
    spread,
)

# Examples, and the characters that each has at most.
_EXAMPLES, _EXAMPLE = 3, 80


class IndexCollection:
    """The museums of an index, with what a museum list adds about them."""

    def __init__(
        self,
        holder: Holder,
        embed: EmbedTexts,
        search: Search,
        listed: Callable[[str], Mapping[str, Any]] = lambda museum: {},
        match: Match | None = None,
        pictures: EmbedPictures | None = None,
    ):
        """Joins the parts.

        Args:
            holder: The museums.
            embed: Embeds queries as the index's model does.
            search: Finds museums of the index.
            listed: What else is known about a museum, in the form of the index's
                details; it replaces what the index says.
            match: What finds museums where a query does not say; None for all there is.
            pictures: Embeds pictures that are searched with; None where none can be.

        Raises:
            ValueError: If the museums cannot be searched by `match`.
        """
        self._holder, self._pictures = holder, pictures
        self._facts: Facts = lambda held: {**held.detail, **listed(held.id)}
        self._matches = matches_of(holder)
        if match is not None:
            check_match(match, self._matches)
            # The first counts where a query does not say.
            self._matches.sort(key=lambda other: other != match)
        self._answerer = QueryAnswerer(
            holder, self._facts, embed, search, self._matches[0], pictures
        )
        self._themes = [
            Theme(name, number)
            for name, number in zip(holder.themes, holder.museums_by_theme, strict=True)
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
        return self._holder.theme_weight

    @property
    def picture_queries(self) -> bool:
        """Whether pictures can be searched with."""
        return self._pictures is not None

    def read_picture(self, content: bytes) -> Any:
        """Decodes a picture; ValueError if it is none, or there are no such queries."""
        if self._pictures is None:
            raise ValueError("expected a text: the index's encoder takes no pictures")
        return self._pictures.read(content)

    @functools.cached_property
    def _examples(self) -> list[str]:
        found: list[str] = []
        # Museums spread evenly over the collection, more than are needed, since not
        # all may have a description.
        for museum in self._holder.some(spread(len(self), 8 * _EXAMPLES)):
            said = self._facts(museum).get("description", [])
            short = [text for text in said if text.strip() and len(text) <= _EXAMPLE]
            # The longest says most.
            if short and (text := max(short, key=len)) not in found:
                found.append(text)
            if len(found) == _EXAMPLES:
                break
        return found

    def __len__(self) -> int:
        """Number of museums."""
        return len(self._holder)

    def __contains__(self, museum: str) -> bool:
        """Whether there is a museum with this id."""
        return museum in self._holder.rows([museum])

    def search(self, queries: Sequence[Query]) -> list[Answer | ValueError]:
        """Answers queries together; a ValueError for each that has no answer."""
        return self._answerer.search(queries)

    def museum(self, museum: str) -> Museum:
        """The museum with this id; ValueError if there is none."""
        (held,) = self._holder.some([row_of(museum, self._holder)])
        facts = self._facts(held)
        return Museum(
            museum,
            title_of(museum, facts),
            self._holder.themes[held.theme],
            held.x,
            held.y,
            facts.get("description", []),
            [
                Room(
                    counts={kind: room.get(kind, 0) for kind in ROOM_KINDS},
                    title=room.get("title"),
                )
                for room in facts.get("rooms", [])
            ],
        )

    def map(self, most: int) -> Map:
        """Places of at most so many museums, spread evenly over the collection."""
        museums = self._holder.titles(spread(len(self), most))
        return Map(
            [museum.id for museum in museums],
            [title_of(museum.id, self._facts(museum)) for museum in museums],
            [museum.theme for museum in museums],
            # More digits than a screen has points would only take longer.
            [round(museum.x, 4) for museum in museums],
            [round(museum.y, 4) for museum in museums],
        )


def matches_of(holder: Holder) -> list[Match]:
    """What can find the museums of an index for a text, all together first."""
    return ["pictures"] if holder.words is None else ["both", "pictures", "words"]
