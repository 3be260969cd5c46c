"""One search, from a command line: index, encoder and ranking put together."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.retrieval.engine.connection import Engine
from hm3_jax.retrieval.engine.opening import opened
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.held import Holder, row_of
from hm3_jax.retrieval.index import Index, IndexHead, open_head, open_index
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
        if query.theme is not None:
            check_theme(query.theme, opened.museums.themes)
        if query.like is not None:
            row_of(query.like, opened.museums)
        embed = _embedding_of(opened.head, settings)
        collection = IndexCollection(opened.museums, embed, opened.search)
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


def _embedding_of(head: IndexHead, settings: SearchSettings) -> EmbedTexts:
    if settings.query.text is None:
        return lambda texts: []
    encoder = QueryEncoder.of_index(
        head, pretrained=settings.pretrained, device=settings.device
    )
    return functools.partial(encoder.encode, explain=True)
