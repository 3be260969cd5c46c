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
from hm3_jax.retrieval.query_text import check_query, check_theme, check_top_k
from hm3_jax.retrieval.server.collection import Answer, Query
from hm3_jax.retrieval.server.indexed import EmbedTexts, IndexCollection

# Where the score of a hit came from is shown for so many sentences and rooms.
_SHOWN = 3


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
    for place, hit in enumerate(answer.hits, start=1):
        title = "" if hit.title == hit.id else f"  {hit.title}"
        lines.append(f"{place:3d}. {hit.score:6.3f}  {hit.id}{title}  ({hit.theme})")
        parts = []
        for name, added in (("sentence", hit.sentences), ("room", hit.rooms)):
            if len(added) > 1:
                best = sorted(range(len(added)), key=lambda i, a=added: -a[i])[:_SHOWN]
                parts += [f"{name} {i + 1} {added[i]:+.3f}" for i in best]
        if parts:
            lines.append(f"{'':13}{', '.join(parts)}")
    return lines


def _embedding_of(index: Index, settings: SearchSettings) -> EmbedTexts:
    if settings.query.text is None:
        return lambda texts: []
    encoder = QueryEncoder.of_index(
        index, pretrained=settings.pretrained, device=settings.device
    )
    return functools.partial(encoder.encode, explain=True)
