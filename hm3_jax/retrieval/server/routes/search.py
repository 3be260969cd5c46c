"""Searches, by text and by likeness."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool

from hm3_jax.retrieval.query_text import (
    check_match,
    check_theme,
    check_theme_weight,
)
from hm3_jax.retrieval.server.batching import BatcherStoppedError, QueueFullError
from hm3_jax.retrieval.server.collection import Answer, Query
from hm3_jax.retrieval.server.errors import (
    PROBLEMS,
    search_stopped,
    unavailable,
    unprocessable,
)
from hm3_jax.retrieval.server.pictures import MEDIA_TYPES
from hm3_jax.retrieval.server.queries import (
    PICTURE_SEARCH,
    MatchName,
    QueryText,
    SearchBody,
    ThemeName,
    ThemeWeight,
    TopK,
)
from hm3_jax.retrieval.server.service import Served, Service

router = APIRouter()


@router.get("/api/search", responses={503: PROBLEMS[503]})
async def search(
    service: Served,
    query: QueryText,
    top_k: TopK = 10,
    theme: ThemeName = None,
    match: MatchName = None,
    theme_weight: ThemeWeight = None,
) -> Answer:
    """Finds the museums that show what the query describes."""
    return await _answer(
        service,
        Query(top_k, text=query, theme=theme, match=match, theme_weight=theme_weight),
    )


@router.post("/api/search", responses=PROBLEMS)
async def search_long(service: Served, body: SearchBody) -> Answer:
    """The same for queries that are too long for an address."""
    query = Query(
        body.top_k,
        text=body.query,
        theme=body.theme,
        match=body.match,
        theme_weight=body.theme_weight,
    )
    return await _answer(service, query)


@router.post(
    PICTURE_SEARCH,
    responses=PROBLEMS,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                name: {"schema": {"type": "string", "format": "binary"}}
                for name in sorted(MEDIA_TYPES)
            },
        }
    },
)
async def search_with_picture(
    service: Served,
    request: Request,
    top_k: TopK = 10,
    theme: ThemeName = None,
    theme_weight: ThemeWeight = None,
) -> Answer:
    """Finds the museums that show things like a picture, the request's body."""
    # A page of another site cannot send these without asking first.
    declared = request.headers.get("content-type", "").partition(";")[0].strip()
    if declared.lower() not in MEDIA_TYPES:
        raise unprocessable(
            "request body: expected a picture (Content-Type: one of "
            f"{', '.join(sorted(MEDIA_TYPES))}), found {declared[:60]!r}"
        )
    if not service.collection.picture_queries:
        raise unprocessable(
            "picture: the index's encoder does not take pictures, only texts"
        )
    picture = await service.reader.read(request.body)
    query = Query(top_k, theme=theme, theme_weight=theme_weight, picture=picture)
    return await _answer(service, query)


@router.get("/api/like/{museum:path}", responses=PROBLEMS)
async def like(
    service: Served,
    museum: Annotated[str, Path(description="Id of a museum.")],
    top_k: TopK = 10,
    theme: ThemeName = None,
    theme_weight: ThemeWeight = None,
) -> Answer:
    """Finds museums that are like one of them."""
    await run_in_threadpool(service.check_museum, museum)
    query = Query(top_k, like=museum, theme=theme, theme_weight=theme_weight)
    return await _answer(service, query)


async def _answer(service: Service, query: Query) -> Answer:
    collection = service.collection
    try:
        if query.theme is not None:
            check_theme(query.theme, [theme.name for theme in collection.themes])
        if query.match is not None:
            check_match(query.match, collection.matches)
        if query.theme_weight is not None:
            check_theme_weight(query.theme_weight, collection.theme_weight)
    except ValueError as error:
        raise unprocessable(str(error)) from None
    found = await _search(service, query)
    pictures = service.pictures
    if pictures is None:
        return found
    hits = [pictures.add_to_hit(hit) for hit in found.hits]
    return dataclasses.replace(found, hits=hits)


async def _search(service: Service, query: Query) -> Answer:
    try:
        return await service.batcher.ask(query)
    except ValueError as error:
        raise unprocessable(f"query: {error}") from None
    except QueueFullError:
        raise unavailable("the server is busy; try again", 1) from None
    except BatcherStoppedError:
        raise search_stopped() from None
