"""Whether the server works, and figures about it."""

from __future__ import annotations

import dataclasses

from fastapi import APIRouter
from fastapi.responses import Response

from hm3_jax.retrieval.server.errors import PROBLEMS, search_stopped
from hm3_jax.retrieval.server.measures import CONTENT_TYPE
from hm3_jax.retrieval.server.service import Served

router = APIRouter()


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """That the server works."""

    status: str
    museums: int


@router.get("/healthz", responses={503: PROBLEMS[503]})
async def healthz(service: Served) -> Health:
    """Whether the server works."""
    if not service.batcher.running:
        raise search_stopped()
    return Health("ok", len(service.collection))


@router.get("/metrics", response_class=Response)
async def metrics(service: Served) -> Response:
    """Figures about the server for Prometheus."""
    return Response(service.measures.text(), media_type=CONTENT_TYPE)
