"""One search, from a command line: index, encoder and ranking put together."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.index import Index, open_index
from hm3_jax.retrieval.milvus import Milvus, MilvusSearch
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
        query: What to find.
        milvus: Where the index was copied to, to search there; None for the index's
            own files.
        pretrained: Weights of the text encoder, if not where the index's facts say.
        device: PyTorch's name of a device for the text encoder.
    """

    index: Path
    query: Query
    milvus: Milvus | None = None
    pretrained: str | None = None
    device: str = "auto"


def search(settings: SearchSettings) -> Answer:
    """Answers a query.

    Raises:
        FileNotFoundError: If the index or the text encoder's weights are missing.
        ValueError: If the index is damaged or not of the weights, or the query is not
            as it has to be.
        ConnectionError: If Milvus cannot be reached or refuses.
        ModuleNotFoundError: If what the encoder or Milvus takes is not installed.
    """
    query = settings.query
    check_top_k(query.top_k)
    if query.text is not None:
        query = dataclasses.replace(query, text=check_query(query.text))
    index = open_index(settings.index)
    if query.theme is not None:
        check_theme(query.theme, index.museums.themes)
    if query.like is not None:
        index.row(query.like)
    if query.match is not None:
        check_match(query.match, matches_of(index))
    if query.theme_weight is not None:
        check_theme_weight(query.theme_weight, index.theme_weight)
    with searching(index, settings.milvus, exact_search) as found:
        collection = IndexCollection(index, _embedding_of(index, settings), found)
        (answer,) = collection.search([query])
    if isinstance(answer, ValueError):
        raise answer
    return answer


def searching(
    index: Index, milvus: Milvus | None, exact: Callable[[KnownMuseums], Search]
) -> contextlib.AbstractContextManager[Search]:
    """What finds an index's museums, while the context lasts.

    Args:
        index: The index.
        milvus: Where it was copied to, to search there; None to search its own files.
        exact: Makes the search of its own files.
    """
    if milvus is None:
        return contextlib.nullcontext(exact(index.museums))
    return MilvusSearch(
        index, milvus.uri, collection=milvus.collection, token=milvus.token
    )


def lines_of(answer: Answer) -> list[str]:
    """An answer for people to read."""
    lines = [f"[{i}] {text}" for i, text in enumerate(answer.sentences, start=1)]
    if not answer.hits:
        return [*lines, "no museum found"]
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


def _embedding_of(index: Index, settings: SearchSettings) -> EmbedTexts:
    if settings.query.text is None:
        return lambda texts: []
    encoder = QueryEncoder.of_index(
        index, pretrained=settings.pretrained, device=settings.device
    )
    return functools.partial(encoder.encode, explain=True)
