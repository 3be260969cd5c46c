"""An index that Qdrant holds, opened to be searched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from hm3_jax.retrieval.engine.connection import Engine, connected
from hm3_jax.retrieval.engine.many_vectors import EngineItemSearch
from hm3_jax.retrieval.engine.museums import PublishedMuseums
from hm3_jax.retrieval.engine.one_vector import EngineSearch
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.index import IndexHead
from hm3_jax.retrieval.index_format import MANY_VECTORS
from hm3_jax.retrieval.terms import TermSearch


class Published(NamedTuple):
    """The museums of an index in Qdrant, and their search."""

    museums: PublishedMuseums
    search: Search


@contextlib.contextmanager
def opened(head: IndexHead, engine: Engine) -> Iterator[Published]:
    """Opens an index that `publish` has copied, while the context lasts.

    Args:
        head: Of the index.
        engine: Where Qdrant is.

    Raises:
        FileNotFoundError: If there is no such folder of the embedded mode.
        ValueError: If Qdrant has no whole copy of this index, or is too old.
        ConnectionError: If Qdrant cannot be reached or refuses.
        ModuleNotFoundError: If qdrant-client is not installed.
    """
    with connected(engine) as client:
        museums = PublishedMuseums(head, engine, client)
        search = EngineSearch(museums)
        if head.manifest.layout == MANY_VECTORS:
            search = TermSearch(EngineItemSearch(museums, engine.candidates), museums)
        yield Published(museums, search)
