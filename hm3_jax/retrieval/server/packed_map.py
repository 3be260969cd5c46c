"""The map of a collection, ready to be sent."""

from __future__ import annotations

import functools
import gzip
import threading
from typing import NamedTuple

import orjson

from hm3_jax.retrieval.server.collection import Collection, Map, sample_map

MOST_ON_MAP = 20_000
"""A canvas and a browser's memory take so many points with ease."""


class _Whole(NamedTuple):
    content: bytes
    packed: bytes


class PackedMap:
    """A map that is computed once, at its largest, and cut for those who want less."""

    def __init__(self, collection: Collection):
        """Computes nothing yet."""
        self._collection = collection
        self._lock = threading.Lock()

    def json(self, most: int, *, gzipped: bool) -> tuple[bytes, bool]:
        """The map as JSON.

        Args:
            most: How many museums at most.
            gzipped: Whether it may be compressed.

        Returns:
            The bytes, and whether they are compressed.
        """
        with self._lock:  # many ask for the first one at once
            places, whole = self._places, self._whole
        if most < len(places.ids):
            # Compressing would take ten times as long, and nobody may make the
            # server do that anew for every number.
            return orjson.dumps(sample_map(places, most)), False
        return (whole.packed, True) if gzipped else (whole.content, False)

    @functools.cached_property
    def _places(self) -> Map:
        return self._collection.map(MOST_ON_MAP)

    @functools.cached_property
    def _whole(self) -> _Whole:
        content = orjson.dumps(self._places)
        return _Whole(content, gzip.compress(content))
