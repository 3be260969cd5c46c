"""An index that is open, with what embeds queries: answers one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hm3_jax.app.query_encoder import EmbeddedQuery, QueryEncoder
from hm3_jax.app.query_pictures import PictureEncoder
from hm3_jax.files.errors import naming
from hm3_jax.retrieval import index as index_files
from hm3_jax.retrieval.engine.connection import Engine
from hm3_jax.retrieval.engine.opening import opened
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.held import Holder, row_of
from hm3_jax.retrieval.index import IndexHead
from hm3_jax.retrieval.loaded import load_index, load_words
from hm3_jax.retrieval.museums import KnownMuseums
from hm3_jax.retrieval.query_text import (
    check_match,
    check_query,
    check_theme,
    check_theme_weight,
    check_top_k,
)
from hm3_jax.retrieval.server.collection import Answer, Query
from hm3_jax.retrieval.server.indexed import IndexCollection, matches_of


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
    in_memory: bool = False,
) -> Iterator[OpenedIndex]:
    """Opens an index, while the context lasts.

    Args:
        path: The index's folder; with `engine`, only its head is read.
        engine: Where it was copied to, to search there; None to search its own files.
        exact: Makes the search of its own files.
        in_memory: Whether to hold in memory what is read from files.

    Raises:
        FileNotFoundError: If there is no index, or a file of it is missing.
        ValueError: If it is damaged, or not what the engine holds.
        ConnectionError: If the engine cannot be reached or refuses.
        ModuleNotFoundError: If what the engine takes is not installed.
    """
    if engine is None:
        index = index_files.open_index(path)
        if in_memory:
            index = load_index(index)
        yield OpenedIndex(index, index, exact(index.museums))
        return
    head = index_files.open_head(path)
    if in_memory:
        head = load_words(head)
    with opened(head, engine) as published:
        yield OpenedIndex(head, published.museums, published.search)


class SearchIndex:
    """An open index and what embeds queries, which is loaded when first needed."""

    def __init__(
        self,
        opened: OpenedIndex,
        held: contextlib.ExitStack,
        *,
        pretrained: str | None = None,
        device: str = "auto",
    ):
        """Joins the parts.

        Args:
            opened: The index.
            held: What `close` ends.
            pretrained: As for `open_index`.
            device: As for `open_index`.
        """
        self._opened, self._held = opened, held
        self._pretrained, self._device = pretrained, device

    def __len__(self) -> int:
        """Number of museums."""
        return len(self._opened.museums)

    @property
    def themes(self) -> tuple[str, ...]:
        """Names of the themes, sorted."""
        return self._opened.museums.themes

    def search(self, query: str | Query) -> Answer:
        """Answers a query.

        Args:
            query: A text, for the ten best museums; or a query, whose picture is the
                path of a file.

        Raises:
            FileNotFoundError: If the text encoder's weights, or the picture, are
                missing.
            ValueError: If the query is not as it has to be, or the encoder's weights
                are not those of the index.
            ConnectionError: If the engine cannot be reached or refuses.
            ModuleNotFoundError: If what the encoder takes is not installed.
        """
        asked = checked(Query(text=query) if isinstance(query, str) else query)
        museums = self._opened.museums
        if asked.theme is not None:
            check_theme(asked.theme, museums.themes)
        if asked.like is not None:
            row_of(asked.like, museums)
        if asked.match is not None:
            check_match(asked.match, matches_of(museums))
        if asked.theme_weight is not None:
            check_theme_weight(asked.theme_weight, museums.theme_weight)
        pictures = None
        if asked.picture is not None:
            pictures = self._pictures
            with naming(asked.picture):
                content = Path(asked.picture).read_bytes()
            asked = dataclasses.replace(asked, picture=pictures.read(content))
        collection = IndexCollection(
            museums, self._embed, self._opened.search, pictures=pictures
        )
        (answer,) = collection.search([asked])
        if isinstance(answer, ValueError):
            raise answer
        return answer

    def close(self) -> None:
        """Lets go of an engine; nothing is to be done for an index's own files."""
        self._held.close()

    def __enter__(self) -> SearchIndex:
        """The index itself, closed at the end of the context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    def _embed(self, texts: Sequence[str]) -> list[EmbeddedQuery]:
        return self._texts.encode(texts, explain=True)

    @functools.cached_property
    def _texts(self) -> QueryEncoder:
        return QueryEncoder.of_index(
            self._opened.head, pretrained=self._pretrained, device=self._device
        )

    @functools.cached_property
    def _pictures(self) -> PictureEncoder:
        return PictureEncoder.of_index(
            self._opened.head, pretrained=self._pretrained, device=self._device
        )


def open_index(
    folder: str | Path,
    engine: Engine | None = None,
    *,
    pretrained: str | None = None,
    device: str = "auto",
) -> SearchIndex:
    """Opens an index to search it.

    Args:
        folder: Of the index.
        engine: Where it was copied to, to search there; None for its own files.
        pretrained: Weights of the text encoder, if not where the index's facts say.
        device: PyTorch's name of a device for an encoder of PyTorch.

    Raises:
        FileNotFoundError: As `opened_index`.
        ValueError: As `opened_index`.
        ConnectionError: As `opened_index`.
        ModuleNotFoundError: As `opened_index`.
    """
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(opened_index(Path(folder), engine, exact_search))
        return SearchIndex(found, stack.pop_all(), pretrained=pretrained, device=device)


def checked(query: Query) -> Query:
    """A query that some index can answer, its text as `check_query` returns it.

    Raises:
        ValueError: If the query asks for too many museums, or its text is none.
    """
    check_top_k(query.top_k)
    if query.text is None:
        return query
    return dataclasses.replace(query, text=check_query(query.text))
