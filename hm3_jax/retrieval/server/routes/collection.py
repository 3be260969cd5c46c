"""The collection as a whole, and its map."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from hm3_jax.retrieval.server.collection import Map, Match, Theme
from hm3_jax.retrieval.server.packed_map import MOST_ON_MAP
from hm3_jax.retrieval.server.service import Served

router = APIRouter()


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What is in the collection.

    Attributes:
        museums: How many there are.
        themes: Their themes, by name.
        pictures: Whether there are pictures of them.
        examples: A few short texts to search for.
        matches: What can find museums for a text; the first is the default.
        theme_weight: What counts where a search has no such weight; None where there is
            none.
        picture_queries: Whether a picture can be searched with.
    """

    museums: int
    themes: list[Theme]
    pictures: bool
    examples: list[str]
    matches: list[Match]
    theme_weight: float | None
    picture_queries: bool


@router.get("/api/collection")
async def summary(service: Served) -> Summary:
    """What is in the collection."""
    collection = service.collection
    return Summary(
        len(collection),
        list(collection.themes),
        service.pictures is not None,
        list(collection.examples),
        list(collection.matches),
        collection.theme_weight,
        collection.picture_queries,
    )


@router.get("/api/map", response_model=Map)
def places(
    request: Request,
    service: Served,
    most: Annotated[
        int, Query(ge=1, le=MOST_ON_MAP, description="How many museums at most.")
    ] = MOST_ON_MAP,
) -> Response:
    """Places of the collection's museums on a map: alike ones are close."""
    gzipped = "gzip" in request.headers.get("accept-encoding", "")
    content, packed = service.packed_map.json(most, gzipped=gzipped)
    headers = {"Vary": "Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type="application/json", headers=headers)
