"""The HTTP API and the page, over any collection."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gzip
import logging
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, HTTPException, Path, Request
from fastapi import Query as Parameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException

from hm3_jax.retrieval.query_text import check_theme
from hm3_jax.retrieval.server.batching import Batcher, QueueFullError
from hm3_jax.retrieval.server.collection import (
    Answer,
    Collection,
    Map,
    Museum,
    Query,
    Theme,
)
from hm3_jax.retrieval.server.frame import Frame
from hm3_jax.retrieval.server.measures import CONTENT_TYPE, Measures
from hm3_jax.retrieval.server.pictures import Pictures
from hm3_jax.retrieval.server.queries import (
    Problem,
    QueryText,
    SearchBody,
    ThemeName,
    TopK,
    problem_line,
)

_LOG = logging.getLogger(__name__)
_PAGE = FilePath(__file__).parents[1] / "page"
# A canvas and a browser's memory take so many points with ease.
_MOST_ON_MAP = 20_000
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": what}
    for status, what in (
        (404, "There is no such thing"),
        (413, "The request is too large"),
        (422, "The request is not what it should be"),
        (503, "Too many requests wait, or Milvus does not answer; try again"),
    )
}


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What is in the collection.

    Attributes:
        museums: How many there are.
        themes: Their themes, by name.
        pictures: Whether there are pictures of them.
        examples: A few short texts to search for.
    """

    museums: int
    themes: list[Theme]
    pictures: bool
    examples: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """That the server works."""

    status: str
    museums: int


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


def make_app(
    collection: Collection,
    pictures: Pictures | None = None,
    queueing: Queueing = DEFAULT_QUEUEING,
) -> FastAPI:
    """Makes the server's ASGI app.

    Args:
        collection: What is searched.
        pictures: Of its museums, where there are any.
        queueing: How requests wait.
    """
    measures = Measures(len(collection))
    batcher = Batcher[Query, Answer](
        collection.search,
        largest=queueing.largest,
        wait_seconds=queueing.wait_seconds,
        limit=queueing.limit,
        seen=measures.batch,
    )
    measures.watch_queue(lambda: batcher.waiting)

    @contextlib.asynccontextmanager
    async def serve_queue(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = FastAPI(
        title="HM3 museum search",
        description="Finds virtual museums by what they show.",
        lifespan=serve_queue,
        # Both would load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        responses={422: _PROBLEMS[422]},
    )
    app.add_middleware(Frame, measures=measures)
    _handle_errors(app)

    async def answer(query: Query) -> Answer:
        if query.theme is not None:
            try:
                check_theme(query.theme, [theme.name for theme in collection.themes])
            except ValueError as error:
                raise _unprocessable(str(error)) from None
        try:
            found = await batcher.ask(query)
        except ValueError as error:
            raise _unprocessable(f"query: {error}") from None
        except QueueFullError:
            raise _unavailable("the server is busy; try again", 1) from None
        except ConnectionError as error:
            # Its address is for those who run the server, not for those who ask.
            _LOG.error("%s", error)
            raise _unavailable(
                "what searches for this server cannot be reached; try again later", 10
            ) from None
        if pictures is None:
            return found
        return dataclasses.replace(
            found,
            hits=[
                dataclasses.replace(hit, picture=pictures.first(hit.id))
                for hit in found.hits
            ],
        )

    @app.get("/api/search", responses={503: _PROBLEMS[503]})
    async def search(
        query: QueryText, top_k: TopK = 10, theme: ThemeName = None
    ) -> Answer:
        """Finds the museums that show what the query describes."""
        return await answer(Query(top_k, text=query, theme=theme))

    @app.post("/api/search", responses=_PROBLEMS)
    async def search_long(body: SearchBody) -> Answer:
        """The same for queries that are too long for an address."""
        return await answer(Query(body.top_k, text=body.query, theme=body.theme))

    @app.get("/api/like/{museum:path}", responses=_PROBLEMS)
    async def like(
        museum: Annotated[str, Path(description="Id of a museum.")],
        top_k: TopK = 10,
        theme: ThemeName = None,
    ) -> Answer:
        """Finds museums that are like one of them."""
        _must_exist(collection, museum)
        return await answer(Query(top_k, like=museum, theme=theme))

    @app.get("/api/museums/{museum:path}", responses=_PROBLEMS)
    async def one_museum(
        museum: Annotated[str, Path(description="Id of a museum.")],
    ) -> Museum:
        """All that is known about one museum."""
        _must_exist(collection, museum)
        found = collection.museum(museum)
        if pictures is None:
            return found
        return dataclasses.replace(found, rooms=pictures.add_to(museum, found.rooms))

    @app.get("/api/collection")
    async def summary() -> Summary:
        """What is in the collection."""
        return Summary(
            len(collection),
            list(collection.themes),
            pictures is not None,
            list(collection.examples),
        )

    @functools.lru_cache(maxsize=2)
    def packed_map(most: int) -> tuple[bytes, bytes]:
        # Megabytes for a large collection, and the same for everybody.
        content = orjson.dumps(collection.map(most))
        return content, gzip.compress(content)

    @app.get("/api/map", response_model=Map)
    def places(
        request: Request,
        most: Annotated[
            int,
            Parameter(ge=1, le=_MOST_ON_MAP, description="How many museums at most."),
        ] = _MOST_ON_MAP,
    ) -> Response:
        """Places of the collection's museums on a map: alike ones are close."""
        content, packed = packed_map(most)
        headers = {"Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = packed, "gzip"
        return Response(content, media_type="application/json", headers=headers)

    @app.get("/api/picture", response_class=Response, responses=_PROBLEMS)
    def picture(museum: str, room: int, number: int) -> Response:
        """A picture in a museum's room; the museum's JSON has the addresses."""
        if pictures is None:
            raise HTTPException(404, "this server has no pictures")
        try:
            content, media_type = pictures.read(museum, room, number)
        except FileNotFoundError as error:
            raise HTTPException(404, f"picture: {error}") from None
        age = {"Cache-Control": "private, max-age=3600"}
        return Response(content, media_type=media_type, headers=age)

    @app.get("/healthz")
    async def healthz() -> Health:
        """Whether the server works."""
        return Health("ok", len(collection))

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Figures about the server for Prometheus."""
        return Response(measures.text(), media_type=CONTENT_TYPE)

    app.mount("/", StaticFiles(directory=_PAGE, html=True), name="page")
    return app


def _handle_errors(app: FastAPI) -> None:
    """Makes every error a JSON object with one line."""

    @app.exception_handler(RequestValidationError)
    async def refused(request: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"error": problem_line(error.errors()[0])}, 422)

    # Errors of FastAPI, and those of Starlette below it.
    @app.exception_handler(AnyHTTPException)
    async def known(request: Request, error: AnyHTTPException) -> Response:
        status, line = error.status_code, error.detail
        if isinstance(error.__cause__, UnicodeDecodeError | RecursionError):
            # FastAPI tells these from other bodies that are no JSON.
            status, line = (
                422,
                "request body: expected JSON in UTF-8, not nested deeply",
            )
        return JSONResponse({"error": line}, status, error.headers)


def _must_exist(collection: Collection, museum: str) -> None:
    if museum not in collection:
        raise HTTPException(
            404, f"museum: expected the id of one here, found {_short(museum)}"
        )


def _unprocessable(line: str) -> HTTPException:
    return HTTPException(422, line)


def _unavailable(line: str, seconds: int) -> HTTPException:
    return HTTPException(503, line, {"Retry-After": str(seconds)})


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
