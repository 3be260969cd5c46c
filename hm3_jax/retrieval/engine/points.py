"""Museums as points of a Qdrant collection, and back.

A point's number is the museum's row in the index. Its vectors are what Qdrant compares;
its payload has all columns of the index, so that what is computed from them on another
machine has the same bits:

| payload | holds |
|---|---|
| `id`, `theme`, `place` | id, number of the theme, x and y on the map |
| `details` | what is shown of the museum |
| others | the museum's rows of the column of this name, their bytes in Base64 |
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.files.arrays import offsets_of
from hm3_jax.retrieval.engine.mixtures import MIXTURES, mixtures
from hm3_jax.retrieval.families import FAMILIES
from hm3_jax.retrieval.index import Index
from hm3_jax.retrieval.index_format import Column, IndexManifest
from hm3_jax.retrieval.museums import KnownMuseums, pack_details

LAYOUT = 1
"""Version of what this module says; collections have it in their metadata."""

SHOWN = ("id", "theme", "place", "details")
"""Of the payload, what is shown of a museum."""

VECTORS, ITEMS, THEMES = "vectors", "items", "themes"
"""Names of a point's vectors: the museum's own, mixtures of its items, probabilities
of themes."""

_LOG_THEMES = "log_themes"
# Columns that a payload has in another form.
_OTHERWISE = ("theme_index", "details", "map")


def vector_sizes(manifest: IndexManifest) -> dict[str, int]:
    """The vectors that a point has, and their sizes."""
    columns = {column.name: column for column in packed_columns(manifest)}
    sizes = {
        name: _tail(columns[column], manifest)[0]
        for name, column in (
            (VECTORS, "vectors"),
            (ITEMS, "items"),
            (THEMES, _LOG_THEMES),
        )
        if column in columns
    }
    if ITEMS in sizes:
        sizes[ITEMS] += 1
    return {name: size for name, size in sizes.items() if size}


def packed_columns(manifest: IndexManifest) -> list[Column]:
    """Columns whose bytes are in the payload."""
    return [
        column
        for column in manifest.layout.columns
        if column.bounds is None and column.name not in _OTHERWISE
    ]


def vectors_of(index: Index, row: int) -> dict[str, Any]:
    """A museum's vectors, as lists of numbers."""
    columns = index.museums.columns
    found = {}
    for name in vector_sizes(index.manifest):
        if name == ITEMS:
            first, last = columns["item_offsets"][row : row + 2]
            vector = mixtures(
                columns["items"][first:last],
                float(columns["bias"][row]),
                index.manifest.facts.model["sharpness"],
            )
        elif name == THEMES:
            vector = probabilities(columns[_LOG_THEMES][row])
        else:
            vector = columns["vectors"][row]
        found[name] = vector.tolist()
    return found


def probabilities(logarithms: Float[np.ndarray, " themes"]) -> np.ndarray:
    """Of themes, as they are compared: float32."""
    return np.exp(logarithms.astype(np.float64)).astype(np.float32)


def payload_of(index: Index, row: int) -> dict[str, Any]:
    """Everything about a museum, as JSON values."""
    museums, columns = index.museums, index.museums.columns
    packed = {}
    for column in packed_columns(index.manifest):
        first, last = row, row + 1
        if column.offsets is not None:
            first, last = columns[column.offsets][row : row + 2]
        rows = np.asarray(columns[column.name][first:last], column.dtype)
        packed[column.name] = base64.b64encode(rows.tobytes()).decode()
    return {
        "id": museums.ids[row],
        "theme": int(museums.theme_index[row]),
        "place": index.map[row].tolist(),
        "details": museums.detail(row),
        **packed,
    }


def numbers_of(index: Index) -> Int[np.ndarray, " museums"]:
    """How many numbers the vectors of each museum have."""
    sizes = vector_sizes(index.manifest)
    numbers = np.full(
        len(index.museums), sum(n for name, n in sizes.items() if name != ITEMS)
    )
    if ITEMS in sizes:
        items = np.diff(index.museums.columns["item_offsets"])
        numbers += sizes[ITEMS] * MIXTURES * items
    return numbers


def museums_of(
    payloads: Sequence[Mapping[str, Any]], manifest: IndexManifest
) -> KnownMuseums:
    """Museums of some payloads, in their order.

    Args:
        payloads: Of points; columns that they lack are zero.
        manifest: Of the index that the points are of.
    """
    columns: dict[str, np.ndarray] = {
        "theme_index": np.array([one.get("theme", 0) for one in payloads], np.int32)
    }
    columns["details"], columns["details_offsets"] = pack_details(
        [one.get("details", {}) for one in payloads]
    )
    packed = packed_columns(manifest)
    for column in packed:
        rows = [
            _unpacked(one[column.name], column, manifest)
            for one in payloads
            if column.name in one
        ]
        if rows:
            columns[column.name] = np.concatenate(rows)
            if column.offsets is not None:
                columns[column.offsets] = offsets_of([len(of_one) for of_one in rows])
    for column in packed:
        if column.name not in columns:
            count = len(payloads)
            if column.offsets is not None:
                nothing = np.zeros(count + 1, np.int64)
                count = int(columns.setdefault(column.offsets, nothing)[-1])
            shape = (count, *_tail(column, manifest))
            columns[column.name] = np.zeros(shape, column.dtype)
    return FAMILIES[manifest.layout].of_columns(
        [one.get("id", "") for one in payloads],
        manifest.themes,
        columns,
        manifest.facts.model,
    )


def _unpacked(text: str, column: Column, manifest: IndexManifest) -> np.ndarray:
    rows = np.frombuffer(base64.b64decode(text), column.dtype)
    count = 1 if column.offsets is None else -1
    return rows.reshape(count, *_tail(column, manifest))


def _tail(column: Column, manifest: IndexManifest) -> tuple[int, ...]:
    return column.shape(manifest.counts, manifest.size)[1:]
