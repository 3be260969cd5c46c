"""The HTTP API and the page, over any collection."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from hm3_jax.retrieval.server.batching import Batcher
from hm3_jax.retrieval.server.collection import Answer, Collection, Query
from hm3_jax.retrieval.server.errors import PROBLEMS, handle_errors
from hm3_jax.retrieval.server.frame import Frame
from hm3_jax.retrieval.server.hosts import Hosts
from hm3_jax.retrieval.server.measures import Measures
from hm3_jax.retrieval.server.packed_map import PackedMap
from hm3_jax.retrieval.server.picture_queries import PictureReader
from hm3_jax.retrieval.server.pictures import Pictures
from hm3_jax.retrieval.server.routes import collection as collection_routes
from hm3_jax.retrieval.server.routes import health, museums, search
from hm3_jax.retrieval.server.service import Service
from hm3_jax.retrieval.server.thumbnails import Thumbnails

_PAGE = Path(__file__).parents[1] / "page"


@dataclasses.dataclass(frozen=True, slots=True)
class Queueing:
    """How requests wait for the accelerator.

    Attributes:
        largest: Most queries that are searched together.
        wait_seconds: How long a query waits for others to be searched with.
        limit: How many queries may wait; more are refused.
    """

    largest: int = 64
    wait_seconds: float = 0.002
    limit: int = 512


DEFAULT_QUEUEING = Queueing()
LOCAL_HOSTS = Hosts()


def make_app(
    collection: Collection,
    pictures: Pictures | None = None,
    queueing: Queueing = DEFAULT_QUEUEING,
    *,
    hosts: Hosts = LOCAL_HOSTS,
    root_path: str = "",
) -> FastAPI:
    """Makes the server's ASGI app.

    Args:
        collection: What is searched.
        pictures: Of its museums, where there are any.
        queueing: How requests wait.
        hosts: The names that the server answers to.
        root_path: Path of a proxy that the server is below, such as "/museums",
            whether or not the proxy passes it on.
    """
    service = _service(collection, pictures, queueing)
    app = FastAPI(
        title="HM3 museum search",
        description="Finds virtual museums by what they show.",
        lifespan=_running,
        # Both would load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        responses={422: PROBLEMS[422]},
    )
    app.state.service = service
    app.add_middleware(
        Frame, measures=service.measures, hosts=hosts, root_path=root_path
    )
    handle_errors(app)
    for routes in (search, museums, collection_routes, health):
        app.include_router(routes.router)
    app.mount("/", StaticFiles(directory=_PAGE, html=True), name="page")
    return app


def _service(
    collection: Collection, pictures: Pictures | None, queueing: Queueing
) -> Service:
    measures = Measures(len(collection))
    batcher = Batcher[Query, Answer](
        collection.search,
        largest=queueing.largest,
        wait_seconds=queueing.wait_seconds,
        limit=queueing.limit,
        seen=measures.batch,
    )
    measures.watch_queue(lambda: batcher.waiting)
    return Service(
        collection,
        batcher,
        PackedMap(collection),
        measures,
        pictures,
        Thumbnails(),
        PictureReader(collection.read_picture),
    )


@contextlib.asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """What runs beside the requests, while the app is served."""
    service: Service = app.state.service
    task = asyncio.create_task(service.batcher.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        service.thumbnails.close()
