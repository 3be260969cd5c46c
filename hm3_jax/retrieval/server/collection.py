"""What the server asks of a collection, and what it answers with.

The classes are the API's responses too: their fields are the JSON that clients get.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

from hm3_jax.retrieval.fusion import Way

Match = Literal["both", "pictures", "words"]
"""What finds museums for a text: pictures, what is written about museums, or both."""


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """One search: by text, by a picture, or by a museum that results should be like.

    Attributes:
        top_k: How many museums to return at most.
        text: What somebody wants to see, as `check_query` returns it, or None.
        picture: What `Collection.read_picture` has made of a picture, or None.
        like: Id of a museum, which is left out of its own results, or None.
        theme: Theme to search in, one of the collection's, or None for all.
        match: What finds museums for the text, one of the collection's `matches`; None
            for the first of them.
        theme_weight: How much it counts that a museum's theme is like the query's; None
            for what the model says. Only where the collection has one.
    """

    top_k: int = 10
    text: str | None = None
    like: str | None = None
    theme: str | None = None
    match: Match | None = None
    theme_weight: float | None = None
    picture: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class AnsweringItem:
    """What answers a sentence of a query best among the things in a museum.

    Attributes:
        room: Number of its room, from 0.
        kind: What it is: views, images or videos.
        place: Its number among those of its kind in its room, from 0.
        cosine: Of the sentence and the item.
        fits: Whether it answers the sentence as well as things answer the sentences
            about them; None where that is not known.
        picture: Address of the picture or video, or None.
        thumbnail: Address of a small copy of the picture, or None.
        title: What the painting or video is called, or None.
    """

    room: int
    kind: str
    place: int
    cosine: float
    fits: bool | None = None
    picture: str | None = None
    thumbnail: str | None = None
    title: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """A museum that was found.

    Attributes:
        id: Of the museum.
        title: Its name for people.
        theme: Its theme.
        score: How well pictures match: the cosine of the query's vector and the
            museum's, or what late interaction has in its place, with what it adds that
            one room shows all words of a sentence.
        x: Place on the map of the collection, -1 to 1 from left to right.
        y: Place on the map, -1 to 1 from bottom to top.
        sentences: What each sentence of the query adds to the score: the score would
            be smaller by this much without it. Empty unless the query is a text.
        rooms: What each room of the museum adds to the score, likewise.
        room_titles: What each room is called, None where it has no name; empty where
            that is not known.
        picture: Address of a picture of the museum, or None.
        thumbnail: Address of a small copy of it, or None.
        excerpt: How the museum's description begins; empty where there is none.
        answers: For each sentence of the query what answers it in the museum; empty
            where the museum is compared as a whole.
        found_by: What has found it, "pictures", "words" or both.
        passage: The sentence of what is written about the museum that has most of the
            query's words, cut where a word begins and ends: every second piece is one.
            Empty where words have not found it.
    """

    id: str
    title: str
    theme: str
    score: float
    x: float
    y: float
    sentences: Sequence[float]
    rooms: Sequence[float]
    picture: str | None = None
    thumbnail: str | None = None
    excerpt: str = ""
    answers: Sequence[AnsweringItem] = ()
    found_by: Sequence[Way] = ("pictures",)
    passage: Sequence[str] = ()
    room_titles: Sequence[str | None] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a query found.

    Attributes:
        sentences: The query's sentences, as they were told apart; none where the query
            is a museum.
        hits: The museums, best first.
        exact: Whether these are the best for sure; where they are not, an engine's
            limits were reached.
        match: What has found them.
        fits: Whether any of them fits well; None where that is not known.
        notes: What to know about how the query was read, in sentences.
    """

    sentences: Sequence[str]
    hits: Sequence[Hit]
    exact: bool = True
    match: Match = "pictures"
    fits: bool | None = None
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A picture or video in a room.

    Attributes:
        url: Its address, relative to the page's, like those of hits.
        thumbnail: Address of a small copy of it; None of a video.
        kind: "view" of the room, or "painting" or "video" in it.
        title: What the painting or video is called, or None.
    """

    url: str
    thumbnail: str | None
    kind: str
    title: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """One room of a museum.

    Attributes:
        pictures: Those that the server has, and videos, in order.
        counts: How many things of each kind the room has: views, images, videos.
        title: What the room is called, or None.
    """

    pictures: Sequence[Picture] = ()
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    title: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Museum:
    """All that is known about one museum.

    Attributes:
        id: Of the museum.
        title: Its name for people.
        theme: Its theme.
        x: Place on the map of the collection, -1 to 1 from left to right.
        y: Place on the map, -1 to 1 from bottom to top.
        description: Sentences about it; none where they are not known.
        rooms: Its rooms, in order.
    """

    id: str
    title: str
    theme: str
    x: float
    y: float
    description: Sequence[str]
    rooms: Sequence[Room]


@dataclasses.dataclass(frozen=True, slots=True)
class Theme:
    """A theme and how many museums have it."""

    name: str
    museums: int


@dataclasses.dataclass(frozen=True, slots=True)
class Map:
    """Places of museums; equally long columns.

    Attributes:
        ids: Of the museums.
        titles: Their names for people.
        themes: Number of each museum's theme in the collection's list of themes.
        x: Places from left to right, -1 to 1.
        y: Places from bottom to top, -1 to 1.
    """

    ids: Sequence[str]
    titles: Sequence[str]
    themes: Sequence[int]
    x: Sequence[float]
    y: Sequence[float]


def sample_map(places: Map, most: int) -> Map:
    """At most so many museums of a map, spread evenly over it."""
    rows = spread(len(places.ids), most)
    return Map(
        *([column[row] for row in rows] for column in dataclasses.astuple(places))
    )


def spread(total: int, most: int) -> list[int]:
    """At most so many rows of a total, from the first to the last, evenly."""
    return np.linspace(0, total - 1, min(most, total)).astype(int).tolist()


class Collection(Protocol):
    """Museums that can be searched.

    `search` is called in a thread of its own, one call at a time; `read_picture` in any
    thread; the others are quick.
    """

    @property
    def themes(self) -> Sequence[Theme]:
        """The themes, sorted by name."""
        ...

    @property
    def examples(self) -> Sequence[str]:
        """A few short texts to search for; none where no description is known."""
        ...

    @property
    def matches(self) -> Sequence[Match]:
        """What can find museums for a text; the first is the default."""
        ...

    @property
    def theme_weight(self) -> float | None:
        """Default of `Query.theme_weight`; None if there is no such weight."""
        ...

    @property
    def picture_queries(self) -> bool:
        """Whether pictures can be searched with."""
        ...

    def read_picture(self, content: bytes) -> Any:
        """Decodes a picture for `Query.picture`.

        Raises:
            ValueError: If it is none that can be read, or there are no such queries.
        """
        ...

    def __len__(self) -> int:
        """Number of museums."""
        ...

    def __contains__(self, museum: str) -> bool:
        """Whether there is a museum with this id."""
        ...

    def search(self, queries: Sequence[Query]) -> Sequence[Answer | ValueError]:
        """Answers queries together; a ValueError for each that has no answer."""
        ...

    def museum(self, museum: str) -> Museum:
        """The museum with this id; ValueError if there is none."""
        ...

    def map(self, most: int) -> Map:
        """Places of at most so many museums, spread evenly over the collection."""
        ...
