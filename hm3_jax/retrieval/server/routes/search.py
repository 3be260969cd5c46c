"""Searches, by text and by likeness."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool

from hm3_jax.retrieval.query_text import check_theme
from hm3_jax.retrieval.server.batching import QueueFullError, StoppedError
from hm3_jax.retrieval.server.collection import Answer, Query
from hm3_jax.retrieval.server.errors import (
    PROBLEMS,
    search_stopped,
    unavailable,
    unprocessable,
)
from hm3_jax.retrieval.server.queries import QueryText, SearchBody, ThemeName, TopK
from hm3_jax.retrieval.server.service import Served, Service

router = APIRouter()


@router.get("/api/search", responses={503: PROBLEMS[503]})
async def search(
    service: Served, query: QueryText, top_k: TopK = 10, theme: ThemeName = None
) -> Answer:
    """Finds the museums that show what the query describes."""
    return await _answer(service, Query(top_k, text=query, theme=theme))


@router.post("/api/search", responses=PROBLEMS)
async def search_long(service: Served, body: SearchBody) -> Answer:
    """The same for queries that are too long for an address."""
    query = Query(body.top_k, text=body.query, theme=body.theme)
    return await _answer(service, query)


@router.get("/api/like/{museum:path}", responses=PROBLEMS)
async def like(
    service: Served,
    museum: Annotated[str, Path(description="Id of a museum.")],
    top_k: TopK = 10,
    theme: ThemeName = None,
) -> Answer:
    """Finds museums that are like one of them."""
    await run_in_threadpool(service.check_museum, museum)
    return await _answer(service, Query(top_k, like=museum, theme=theme))


async def _answer(service: Service, query: Query) -> Answer:
    if query.theme is not None:
        try:
            check_theme(query.theme, [t.name for t in service.collection.themes])
        except ValueError as error:
            raise unprocessable(str(error)) from None
    found = await _search(service, query)
    pictures = service.pictures
    if pictures is None:
        return found
    hits = [dataclasses.replace(hit, **pictures.first(hit.id)) for hit in found.hits]
    return dataclasses.replace(found, hits=hits)


async def _search(service: Service, query: Query) -> Answer:
    try:
        return await service.batcher.ask(query)
    except ValueError as error:
        raise unprocessable(f"query: {error}") from None
    except QueueFullError:
        raise unavailable("the server is busy; try again", 1) from None
    except StoppedError:
        raise search_stopped() from None
