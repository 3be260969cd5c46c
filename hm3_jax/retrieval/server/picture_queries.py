"""Pictures that are searched with: read a few at a time, away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from hm3_jax.retrieval.server.errors import unavailable, unprocessable
from hm3_jax.retrieval.server.pictures import media_type

# Decoders that run at a time, and pictures that are in memory.
_AT_A_TIME = 2
_MOST = 16
_BODY_SECONDS = 60


class PictureReader:
    """Reads the pictures of requests."""

    def __init__(self, read: Callable[[bytes], Any]):
        """Takes what decodes a picture: `Collection.read_picture`."""
        self._read = read
        self._free = asyncio.Semaphore(_AT_A_TIME)
        self._open = 0

    async def read(self, body: Callable[[], Awaitable[bytes]]) -> Any:
        """The picture of a request's body, for `Query.picture`.

        Raises:
            HTTPException: If too many are read already, or it is none.
        """
        if self._open >= _MOST:
            raise unavailable("the server is busy; try again", 1)
        self._open += 1
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                content = await body()
            if media_type(content) is None:
                raise unprocessable(
                    "picture: expected a JPEG, PNG, GIF, WebP, AVIF or BMP, found "
                    "something else"
                )
            async with self._free:
                return await run_in_threadpool(self._read, content)
        except TimeoutError:
            raise unprocessable(
                f"request body: expected all of it within {_BODY_SECONDS} s"
            ) from None
        except ValueError as error:
            raise unprocessable(f"picture: {error}") from None
        finally:
            self._open -= 1
