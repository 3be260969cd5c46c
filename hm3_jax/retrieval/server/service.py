"""What the routes work with."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from hm3_jax.retrieval.server.batching import Batcher
from hm3_jax.retrieval.server.collection import Answer, Collection, Query
from hm3_jax.retrieval.server.measures import Measures
from hm3_jax.retrieval.server.packed_map import PackedMap
from hm3_jax.retrieval.server.picture_queries import PictureReader
from hm3_jax.retrieval.server.pictures import Pictures
from hm3_jax.retrieval.server.thumbnails import Thumbnails

_SHOWN = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """The parts of one server.

    Attributes:
        collection: What is searched.
        batcher: Searches it.
        packed_map: Its map.
        measures: Figures about the server.
        pictures: Of the museums, where there are any.
        thumbnails: Small copies of the pictures.
        reader: Reads the pictures that are searched with.
    """

    collection: Collection
    batcher: Batcher[Query, Answer]
    packed_map: PackedMap
    measures: Measures
    pictures: Pictures | None
    thumbnails: Thumbnails
    reader: PictureReader

    def check_museum(self, museum: str) -> None:
        """Raises 404 for an id that no museum has."""
        if museum not in self.collection:
            found = museum if len(museum) <= _SHOWN else f"{museum[:_SHOWN]}..."
            raise HTTPException(
                404, f"museum: expected the id of a museum here, found {found!r}"
            )


async def _service_of(request: Request) -> Service:
    return request.app.state.service


Served = Annotated[Service, Depends(_service_of)]
"""A route's parameter that is the server's `Service`."""
