"""Single museums and their pictures."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from hm3_jax.retrieval.server.collection import Museum
from hm3_jax.retrieval.server.errors import PROBLEMS
from hm3_jax.retrieval.server.pictures import MEDIA_TYPES, PictureFile
from hm3_jax.retrieval.server.service import Served, Service

_KEPT_BY_BROWSERS = {"Cache-Control": "private, max-age=3600"}
router = APIRouter()


@router.get("/api/museums/{museum:path}", responses=PROBLEMS)
def one_museum(
    service: Served,
    museum: Annotated[str, Path(description="Id of a museum.")],
) -> Museum:
    """All that is known about one museum."""
    service.check_museum(museum)
    found = service.collection.museum(museum)
    if service.pictures is None:
        return found
    rooms = service.pictures.add_to(museum, found.rooms)
    return dataclasses.replace(found, rooms=rooms)


@router.get("/api/picture", response_class=Response, responses=PROBLEMS)
async def picture(service: Served, museum: str, room: int, number: int) -> Response:
    """A picture or video in a museum's room; the museum's JSON has the addresses."""
    file = await _file(service, museum, room, number)
    return FileResponse(
        file.path,
        headers=_KEPT_BY_BROWSERS,
        media_type=file.media_type,
        stat_result=file.status,
    )


@router.get("/api/thumbnail", response_class=Response, responses=PROBLEMS)
async def thumbnail(service: Served, museum: str, room: int, number: int) -> Response:
    """A small copy of a picture, as WebP."""
    file = await _file(service, museum, room, number)
    if file.media_type not in MEDIA_TYPES:
        raise HTTPException(404, "picture: videos have no small copies")
    try:
        content = await service.thumbnails.of(file)
    except FileNotFoundError as error:
        raise HTTPException(404, f"picture: {error}") from None
    return Response(content, media_type="image/webp", headers=_KEPT_BY_BROWSERS)


async def _file(service: Service, museum: str, room: int, number: int) -> PictureFile:
    if service.pictures is None:
        raise HTTPException(404, "this server has no pictures")
    try:
        return await run_in_threadpool(service.pictures.find, museum, room, number)
    except FileNotFoundError as error:
        raise HTTPException(404, f"picture: {error}") from None
