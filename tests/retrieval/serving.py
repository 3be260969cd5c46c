"""A small collection with answers known beforehand, and servers to ask."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from hm3_jax.retrieval.server.app import DEFAULT_QUEUEING, Queueing, make_app
from hm3_jax.retrieval.server.collection import (
    Answer,
    AnsweringItem,
    Collection,
    Hit,
    Map,
    Match,
    Museum,
    Query,
    Room,
    Theme,
)
from hm3_jax.retrieval.server.pictures import Pictures
from hm3_jax.retrieval.server.run import address_of, listen, server_of

THEMES = ("landscape", "marine", "portrait")
WORDS = ("harbour", "storm", "king", "meadow", "lantern", "queen")


class WordCollection:
    """Museum i shows words i and i + 1; a score is the share of words it shows."""

    def __init__(self, museums: int = 30):
        self.ids = [f"museum-{i:02d}" for i in range(museums)]
        self.opened = threading.Event()  # searches wait for it
        self.opened.set()
        self.calls: list[int] = []
        self.maps: list[int] = []

    @property
    def themes(self) -> list[Theme]:
        return [
            Theme(name, len(self.ids[number :: len(THEMES)]))
            for number, name in enumerate(THEMES)
        ]

    @property
    def matches(self) -> list[Match]:
        return ["pictures"]

    @property
    def theme_weight(self) -> float | None:
        return None

    @property
    def picture_queries(self) -> bool:
        return False

    def read_picture(self, content: bytes) -> Any:
        raise ValueError("expected a text")

    @property
    def examples(self) -> list[str]:
        return [f"A {word}." for word in WORDS[:2]]

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, museum: str) -> bool:
        return museum in self.ids

    def shows(self, row: int) -> set[str]:
        return {WORDS[row % len(WORDS)], WORDS[(row + 1) % len(WORDS)]}

    def search(self, queries: Sequence[Query]) -> list[Answer | ValueError]:
        self.calls.append(len(queries))
        assert self.opened.wait(60)
        answers = [self.answer(query) for query in queries]
        too_few = any("lost" in (query.text or "") for query in queries)
        return answers[1:] if too_few else answers

    def answer(self, query: Query) -> Answer | ValueError:
        if query.text is None:
            like = self.ids.index(str(query.like))
            sentences, words = [], self.shows(like)
        else:
            if "crash" in query.text:
                raise RuntimeError("a fault in the search")
            if "exit" in query.text:
                raise SystemExit("a fault that no except Exception catches")
            if "unreachable" in query.text:
                raise ConnectionError("http://10.0.0.1:6333: Qdrant: no answer")
            if query.text.isdigit():
                return ValueError("expected words, found digits only")
            like, words = None, set(query.text.lower().strip(".").split())
            sentences = [part.strip() for part in query.text.split(".") if part.strip()]
        scored = sorted(
            (-len(words & self.shows(row)) / len(words), row)
            for row in range(len(self.ids))
            if row != like and query.theme in (None, THEMES[row % len(THEMES)])
        )
        hits = [
            Hit(
                museum.id,
                museum.title,
                museum.theme,
                -score,
                museum.x,
                museum.y,
                [-score / (i + 1) for i in range(len(sentences))],
                [0.1, 0.3, -0.05],
            )
            for score, row in scored[: query.top_k]
            for museum in [self.museum(self.ids[row])]
        ]
        return Answer(sentences, hits)

    def museum(self, museum: str) -> Museum:
        row = self.ids.index(museum)
        return Museum(
            museum,
            f"Museum of {' and '.join(sorted(self.shows(row)))}, number {row}",
            THEMES[row % len(THEMES)],
            (row % 6) / 3 - 0.9,
            (row // 6) / 3 - 0.9,
            [f"One sees a {word}." for word in sorted(self.shows(row))],
            [Room(counts={"views": 2, "images": 1, "videos": 0})] * 3,
        )

    def map(self, most: int) -> Map:
        self.maps.append(most)
        museums = [self.museum(museum) for museum in self.ids[:most]]
        return Map(
            [museum.id for museum in museums],
            [museum.title for museum in museums],
            [THEMES.index(museum.theme) for museum in museums],
            [museum.x for museum in museums],
            [museum.y for museum in museums],
        )


class ItemCollection(WordCollection):
    """Also searched by words, by themes and with pictures; it says what answers.

    Sentence i is answered in room i % 3, those of museum 0 by its two pictures in turn;
    nothing fits where a query says "nowhere". A picture of n bytes shows word n.
    """

    matches = ["both", "pictures", "words"]  # pyright: ignore
    theme_weight = 0.2  # pyright: ignore
    picture_queries = True  # pyright: ignore

    def __init__(self, museums: int = 30):
        super().__init__(museums)
        self.asked: list[Query] = []

    def read_picture(self, content: bytes) -> Any:
        if b"damaged" in content:
            raise ValueError("expected a whole picture, found it damaged")
        return WORDS[len(content) % len(WORDS)]

    def answer(self, query: Query) -> Answer | ValueError:
        self.asked.append(query)
        shown = query
        if query.picture is not None:
            shown = dataclasses.replace(query, text=query.picture, picture=None)
        answer = super().answer(shown)
        if isinstance(answer, ValueError) or query.like is not None:
            return answer
        fits = "nowhere" not in str(query.text)
        items = [
            AnsweringItem(
                room=0 if i < 2 else i % 3,
                kind=("views", "images")[i % 2],
                place=0,
                cosine=0.5 - i / 10,
                fits=fits and i < 3,
            )
            for i in range(len(answer.sentences))
        ]
        match = query.match or "both"
        by = {"both": ("pictures", "words"), "pictures": ("pictures",)}
        hits = [
            dataclasses.replace(
                hit,
                answers=items,
                found_by=by.get(match, ("words",)) if i else ("pictures",),
                passage=("One sees a ", "harbour", ".") if i else (),
            )
            for i, hit in enumerate(answer.hits)
        ]
        sentences = [] if query.picture is not None else answer.sentences
        if query.picture is not None:
            match = "pictures"
        return Answer(sentences, hits, match=match, fits=fits)


@contextlib.contextmanager
def served(
    collection: Collection,
    pictures: Pictures | None = None,
    queueing: Queueing = DEFAULT_QUEUEING,
    port: int = 0,
    forwarded_allow_ips: Sequence[str] = (),
    **options: Any,
) -> Iterator[str]:
    """A real server in a thread; gives its address."""
    listening = listen("127.0.0.1", port)
    app = make_app(collection, pictures, queueing, **options)
    server = server_of(app, forwarded_allow_ips)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
