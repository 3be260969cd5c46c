"""Copying an index to Qdrant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hm3_jax.retrieval.engine.bounds import highest
from hm3_jax.retrieval.engine.connection import (
    Engine,
    connected_to_change,
    said_by,
)
from hm3_jax.retrieval.engine.points import (
    ITEMS,
    LAYOUT,
    numbers_of,
    payload_of,
    vector_sizes,
    vectors_of,
)
from hm3_jax.retrieval.index import Index
from hm3_jax.retrieval.index_format import IndexManifest
from hm3_jax.retrieval.item_museums import ItemMuseums

# Numbers that are sent at a time, and museums: a server takes 32 MB of JSON.
_NUMBERS, _MUSEUMS = 2**20, 1024
# Numbers of points that are asked for at a time.
_PAGE = 10_000
_CHECKSUM = 16


def collection_name(manifest: IndexManifest, engine: Engine) -> str:
    """Of the collection with the museums of an index: no other index has it."""
    return f"{engine.collection}_{manifest.checksum[:_CHECKSUM]}"


def publish(
    index: Index,
    engine: Engine,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> str:
    """Copies an index to Qdrant; goes on where an earlier call was interrupted.

    A folder of the embedded mode is changed as a whole, at the end.

    Collections that an older index was copied to under the same name are dropped once
    the new one is whole; until then they are searched as before.

    Args:
        index: The index.
        engine: Where Qdrant is.
        progress: Told how many museums of how many are there.

    Returns:
        The name of the collection.

    Raises:
        ValueError: If the folder of the embedded mode holds something else, Qdrant is
            too old, or a museum has more items than it takes.
        ConnectionError: If Qdrant cannot be reached or refuses.
        ModuleNotFoundError: If qdrant-client is not installed.
    """
    name = collection_name(index.manifest, engine)
    with connected_to_change(engine) as client, said_by(engine):
        if client.collection_exists(name):
            metadata = client.get_collection(name).config.metadata or {}
            if metadata.get("layout") != LAYOUT:  # of another version of this program
                client.delete_collection(name)
        if not client.collection_exists(name):
            _create(client, name, index, engine)
        missing = np.setdiff1d(np.arange(len(index.museums)), _rows(client, name))
        done = len(index.museums) - len(missing)
        for rows in _batches(missing, numbers_of(index)):
            _send(client, name, index, rows)
            done += len(rows)
            progress(done, len(index.museums))
        for other in client.get_collections().collections:
            if other.name != name and re.fullmatch(
                f"{engine.collection}_[0-9a-f]{{{_CHECKSUM}}}", other.name
            ):
                client.delete_collection(other.name)
    return name


def _create(client: Any, name: str, index: Index, engine: Engine) -> None:
    from qdrant_client import models

    # Without links between museums, every one is compared: nothing is approximate.
    every_one = models.HnswConfigDiff(m=0)
    best_item = models.MultiVectorConfig(
        comparator=models.MultiVectorComparator.MAX_SIM
    )
    client.create_collection(
        name,
        vectors_config={
            vector: models.VectorParams(
                size=size,
                distance=models.Distance.DOT,
                hnsw_config=every_one,
                multivector_config=best_item if vector == ITEMS else None,
            )
            for vector, size in vector_sizes(index.manifest).items()
        },
        hnsw_config=every_one,
        metadata={"layout": LAYOUT, **_facts(index)},
    )
    if not engine.embedded:
        client.create_payload_index(name, "id", models.PayloadSchemaType.KEYWORD)
        client.create_payload_index(name, "theme", models.PayloadSchemaType.INTEGER)


def _facts(index: Index) -> dict[str, Any]:
    """What is known of all museums together."""
    museums = index.museums
    counts = np.bincount(museums.theme_index, minlength=len(museums.themes))
    facts: dict[str, Any] = {"museums_by_theme": counts.tolist()}
    if isinstance(museums, ItemMuseums):
        facts |= highest(museums)
    return facts


def _rows(client: Any, name: str) -> np.ndarray:
    """The museums that are there."""
    found: list[int] = []
    page = None
    while True:
        points, page = client.scroll(
            name, limit=_PAGE, offset=page, with_payload=False, with_vectors=False
        )
        found += [point.id for point in points]
        if page is None:
            return np.array(found, np.int64)


def _batches(rows: np.ndarray, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Rows that are sent together."""
    batch = np.cumsum(numbers[rows]) // _NUMBERS
    for start in np.flatnonzero(np.diff(batch, prepend=-1)):
        of_batch = rows[start : np.searchsorted(batch, batch[start], side="right")]
        for first in range(0, len(of_batch), _MUSEUMS):
            yield of_batch[first : first + _MUSEUMS]


def _send(client: Any, name: str, index: Index, rows: np.ndarray) -> None:
    from qdrant_client import models

    client.upsert(
        name,
        [
            models.PointStruct(
                id=int(row),
                vector=vectors_of(index, row),
                payload=payload_of(index, row),
            )
            for row in rows
        ],
        wait=True,
    )
