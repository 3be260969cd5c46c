"""Search by Milvus, for collections that go beyond one machine.

The vectors of an index are copied into a Milvus collection with a FLAT index; a URI
that is a path ending in .db is Milvus Lite, which needs no server. A collection's name
has the checksum of the index in it, so museums found are never those of an older index.
What Milvus finds is compared again in float64: results are those of `ExactSearch`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.exact import Hits, cosines, product_error, unit_queries
from hm3_jax.retrieval.index import Index
from hm3_jax.retrieval.museums import of_one_vector

# Vectors that are sent at a time: Milvus takes messages of up to 64 MB.
_ROWS = 4096
# What is asked for beyond the hits wanted: which of near equal ones come first is known
# only after the comparison in float64.
_SPARE = 16
# The most that Milvus returns for a query.
_LIMIT = 16384
_CHECKSUM = 16
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LITE = ".db"
DEFAULT_COLLECTION = "hm3_museums"
_LOGGERS = ("grpc", "pymilvus", "milvus_lite")


@dataclasses.dataclass(frozen=True, slots=True)
class Milvus:
    """Where Milvus is.

    Attributes:
        uri: Its address, or a path ending in .db for Milvus Lite.
        token: "USER:PASSWORD" or an API key, where Milvus wants one.
        collection: How the name of the collection begins.
    """

    uri: str
    token: str = ""
    collection: str = DEFAULT_COLLECTION


def publish(
    index: Index,
    uri: str,
    *,
    collection: str = DEFAULT_COLLECTION,
    token: str = "",
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> str:
    """Copies the vectors and themes of an index to Milvus.

    Collections of the same name that an older index was copied to are dropped once the
    new one is whole.

    Args:
        index: The index.
        uri: Of Milvus: "http://HOST:19530", or a path ending in .db for Milvus Lite.
        collection: How the name of the collection begins.
        token: "USER:PASSWORD" or an API key, where Milvus wants one.
        progress: Told how many museums of how many are copied.

    Returns:
        The name of the collection.

    Raises:
        ValueError: If name or URI are not as they have to be.
        ConnectionError: If Milvus cannot be reached or refuses.
        ModuleNotFoundError: If pymilvus is not installed.
    """
    name = _collection_name(index, collection)
    with _connected(uri, token) as client:
        if client.has_collection(name):
            if _rows(client, name) == len(index.museums):
                return name
            client.drop_collection(name)  # left unfinished
        _create(client, name, index)
        museums = of_one_vector(index.museums, str(index.path))
        for first in range(0, len(museums), _ROWS):
            rows = range(first, min(first + _ROWS, len(museums)))
            client.insert(
                name,
                [
                    {
                        "row": row,
                        "theme": int(museums.theme_index[row]),
                        "vector": np.array(museums.vectors[row]),
                    }
                    for row in rows
                ],
            )
            progress(rows.stop, len(museums))
        client.flush(name)
        for other in client.list_collections():
            if other != name and re.fullmatch(f"{collection}_[0-9a-f]{{16}}", other):
                client.drop_collection(other)
    return name


class MilvusSearch:
    """Exact cosine ranking by Milvus; to be used in a with statement."""

    def __init__(
        self,
        index: Index,
        uri: str,
        *,
        collection: str = DEFAULT_COLLECTION,
        token: str = "",
    ):
        """Takes an index that `publish` has copied; arguments are its."""
        self._index, self._uri, self._token = index, uri, token
        self._museums = of_one_vector(index.museums, str(index.path))
        self._name = _collection_name(index, collection)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> MilvusSearch:
        """Connects.

        Raises:
            FileNotFoundError: If there is no such Milvus Lite.
            ValueError: If Milvus has no copy of this index, or an unfinished one.
            ConnectionError: If Milvus cannot be reached or refuses.
            ModuleNotFoundError: If pymilvus is not installed.
        """
        if self._uri.endswith(_LITE) and not Path(self._uri).exists():
            # It would be made.
            raise FileNotFoundError(f"{self._uri}: expected Milvus Lite, found nothing")
        with contextlib.ExitStack() as opened:
            self._client = opened.enter_context(_connected(self._uri, self._token))
            rows = 0
            if self._client.has_collection(self._name):
                rows = _rows(self._client, self._name)
            if rows != len(self._index.museums):
                raise ValueError(
                    f"{self._uri}: expected the {len(self._index.museums)} museums of "
                    f"{self._index.path} in collection {self._name}, found {rows}: "
                    "build_index --output=INDEX --uri=URI copies them"
                )
            self._client.load_collection(self._name)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        """Closes the connection."""
        self._open.__exit__(*error)

    def search(
        self,
        queries: Sequence[QueryVectors],
        top_k: int,
        themes: Sequence[Collection[int] | None] | None = None,
        theme_weights: Sequence[float | None] | None = None,
    ) -> list[Hits]:
        """See `hm3_jax.retrieval.exact.Search`; also at most 16,384 hits.

        Raises:
            ConnectionError: If Milvus cannot be reached or refuses.
        """
        del theme_weights
        vectors = unit_queries(queries, self._museums.vectors.shape[1], top_k)
        top_k = min(top_k, len(self._museums))
        if top_k > _LIMIT:
            raise ValueError(f"top_k: expected at most {_LIMIT}, found {top_k}")
        filters = [
            "" if t is None else f"theme in {sorted(t)}"
            for t in themes or [None] * len(queries)
        ]
        hits: dict[int, Hits] = {}
        limit = min(top_k + _SPARE, _LIMIT)
        with _errors(self._uri):
            # Most queries are settled in the first round; those that have many museums
            # almost as near as the last hit need another.
            while open_ones := [i for i in range(len(queries)) if i not in hits]:
                for text in {filters[i] for i in open_ones}:
                    asked = [i for i in open_ones if filters[i] == text]
                    found = self._ask(vectors[asked], text, limit)
                    for i, of_query in zip(asked, found, strict=True):
                        settled = self._settle(vectors[i], of_query, top_k, limit)
                        if settled is not None:
                            hits[i] = settled
                limit = min(2 * limit, _LIMIT)
        return [hits[i] for i in range(len(queries))]

    def _ask(
        self, queries: Float[np.ndarray, "queries d"], text: str, limit: int
    ) -> Any:
        return self._client.search(
            self._name,
            data=list(queries),
            anns_field="vector",
            limit=limit,
            filter=text,
            output_fields=["row"],
            search_params={"metric_type": "IP"},
        )

    def _settle(
        self, query: Float[np.ndarray, " d"], found: Any, top_k: int, limit: int
    ) -> Hits | None:
        """The hits; None where what Milvus left out may belong to them."""
        rows = np.array([hit["row"] for hit in found], np.int64)
        scores = cosines(self._museums.vectors[rows], query.astype(np.float64))
        order = np.lexsort((rows, -scores))[:top_k]
        if limit <= len(found) < _LIMIT:
            below = scores[order[-1]] - 2 * product_error(len(query))
            if found[-1]["distance"] >= below:
                return None
        return Hits(scores[order], rows[order])


def _collection_name(index: Index, collection: str) -> str:
    if not _NAME.fullmatch(collection):
        raise ValueError(
            "expected a collection's name of letters, digits and underscores, found "
            f"{collection!r}"
        )
    return f"{collection}_{index.manifest.checksum[:_CHECKSUM]}"


def _create(client: Any, name: str, index: Index) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("row", DataType.INT64, is_primary=True)
    schema.add_field("theme", DataType.INT32)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=index.manifest.size)
    params = client.prepare_index_params()
    params.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(
        name, schema=schema, index_params=params, consistency_level="Strong"
    )


def _rows(client: Any, name: str) -> int:
    (counted,) = client.query(name, filter="", output_fields=["count(*)"])
    return counted["count(*)"]


@contextlib.contextmanager
def _connected(uri: str, token: str) -> Iterator[Any]:
    """A client of Milvus; what it raises names the URI."""
    if not (uri.endswith(_LITE) or re.match(r"(https?|tcp|unix)://", uri)):
        raise ValueError(
            "expected the URI of Milvus, http://HOST:19530 or a path ending in .db, "
            f"found {uri!r}"
        )
    try:
        from pymilvus import MilvusClient
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'pymilvus is not installed: pip install "hm3_jax[milvus]"'
        ) from None
    with _errors(uri):
        client = MilvusClient(uri, token=token)
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def _errors(uri: str) -> Iterator[None]:
    """Turns what Milvus raises into one line, without the pages that it logs."""
    from pymilvus.exceptions import MilvusException

    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    except MilvusException as error:
        raise ConnectionError(f"{uri}: Milvus: {error.message}") from error
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
