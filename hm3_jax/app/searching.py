"""One search, from a command line: index, encoder and ranking put together."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.query_pictures import PictureEncoder
from hm3_jax.files.errors import naming
from hm3_jax.retrieval.engine.connection import Engine
from hm3_jax.retrieval.engine.opening import opened
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.held import Holder, row_of
from hm3_jax.retrieval.index import Index, IndexHead, open_head, open_index
from hm3_jax.retrieval.museums import KnownMuseums
from hm3_jax.retrieval.query_text import (
    check_match,
    check_query,
    check_theme,
    check_theme_weight,
    check_top_k,
)
from hm3_jax.retrieval.server.collection import Answer, Hit, Query
from hm3_jax.retrieval.server.indexed import EmbedTexts, IndexCollection, matches_of

# Where the score of a hit came from is shown for so many sentences and rooms.
_SHOWN = 3
_NAMES = {"views": "view", "images": "painting", "videos": "video"}


@dataclasses.dataclass(frozen=True, slots=True)
class SearchSettings:
    """What to search, and how.

    Attributes:
        index: Folder of the index.
        query: What to find; its picture is the path of a file.
        engine: Where the index was copied to, to search there; None for the index's
            own files.
        pretrained: Weights of the text encoder, if not where the index's facts say.
        device: PyTorch's name of a device for the text encoder.
    """

    index: Path
    query: Query
    engine: Engine | None = None
    pretrained: str | None = None
    device: str = "auto"


def search(settings: SearchSettings) -> Answer:
    """Answers a query.

    Raises:
        FileNotFoundError: If the index or the text encoder's weights are missing.
        ValueError: If the index is damaged or not of the weights, or the query is not
            as it has to be.
        ConnectionError: If the engine cannot be reached or refuses.
        ModuleNotFoundError: If what the encoder or the engine takes is not installed.
    """
    query = settings.query
    check_top_k(query.top_k)
    if query.text is not None:
        query = dataclasses.replace(query, text=check_query(query.text))
    with opened_index(settings.index, settings.engine, exact_search) as opened:
        museums = opened.museums
        if query.theme is not None:
            check_theme(query.theme, museums.themes)
        if query.like is not None:
            row_of(query.like, museums)
        if query.match is not None:
            check_match(query.match, matches_of(museums))
        if query.theme_weight is not None:
            check_theme_weight(query.theme_weight, museums.theme_weight)
        embed, pictures = _embedding_of(opened.head, settings), None
        if query.picture is not None:
            pictures = PictureEncoder.of_index(
                opened.head, pretrained=settings.pretrained, device=settings.device
            )
            with naming(query.picture):
                content = query.picture.read_bytes()
            query = dataclasses.replace(query, picture=pictures.read(content))
        collection = IndexCollection(museums, embed, opened.search, pictures=pictures)
        (answer,) = collection.search([query])
    if isinstance(answer, ValueError):
        raise answer
    return answer


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class OpenedIndex:
    """An index to be searched.

    Attributes:
        head: What it has for embedding queries.
        museums: The museums, wherever they are.
        search: Finds them.
    """

    head: IndexHead
    museums: Holder
    search: Search


@contextlib.contextmanager
def opened_index(
    path: Path,
    engine: Engine | None,
    exact: Callable[[KnownMuseums], Search],
    *,
    load: Callable[[Index], Index] = lambda index: index,
) -> Iterator[OpenedIndex]:
    """Opens an index, while the context lasts.

    Args:
        path: The index's folder; with `engine`, only its head is read.
        engine: Where it was copied to, to search there; None to search its own files.
        exact: Makes the search of its own files.
        load: What becomes of an index of its own files once it is open.

    Raises:
        FileNotFoundError: If there is no index, or a file of it is missing.
        ValueError: If it is damaged, or not what the engine holds.
        ConnectionError: If the engine cannot be reached or refuses.
        ModuleNotFoundError: If what the engine takes is not installed.
    """
    if engine is None:
        index = load(open_index(path))
        yield OpenedIndex(index, index, exact(index.museums))
        return
    head = open_head(path)
    with opened(head, engine) as published:
        yield OpenedIndex(head, published.museums, published.search)


def lines_of(answer: Answer) -> list[str]:
    """An answer for people to read."""
    lines = [f"[{i}] {text}" for i, text in enumerate(answer.sentences, start=1)]
    if not answer.hits:
        return [*lines, "no museum found"]
    if not answer.exact:
        lines.append("approximate: others may belong to these")
    if answer.fits is False:
        lines.append("nothing fits well; these are the nearest")
    for place, hit in enumerate(answer.hits, start=1):
        title = "" if hit.title == hit.id else f"  {hit.title}"
        found = f"  by {' and '.join(hit.found_by)}" if answer.match == "both" else ""
        lines.append(
            f"{place:3d}. {hit.score:6.3f}  {hit.id}{title}  ({hit.theme}){found}"
        )
        lines += [f"{'':13}{line}" for line in _why(hit)]
    return lines


def _why(hit: Hit) -> list[str]:
    """What carried the match of a hit."""
    lines = [
        f"[{i}] room {item.room + 1}, {_NAMES[item.kind]} {item.place + 1} "
        f"{item.cosine:.3f}"
        for i, item in enumerate(hit.answers, start=1)
    ]
    if not lines:
        parts = []
        for name, added in (("sentence", hit.sentences), ("room", hit.rooms)):
            if len(added) > 1:
                best = sorted(range(len(added)), key=lambda i: -added[i])[:_SHOWN]
                parts += [f"{name} {i + 1} {added[i]:+.3f}" for i in best]
        lines = [", ".join(parts)] if parts else []
    if hit.passage:
        marked = (f"[{p}]" if i % 2 else p for i, p in enumerate(hit.passage))
        lines.append(f"words: {''.join(marked)}")
    return lines


def _embedding_of(head: IndexHead, settings: SearchSettings) -> EmbedTexts:
    if settings.query.text is None:
        return lambda texts: []
    encoder = QueryEncoder.of_index(
        head, pretrained=settings.pretrained, device=settings.device
    )
    return functools.partial(encoder.encode, explain=True)
