"""Every error is a JSON object with one line, and those that the API has."""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from hm3_jax.files.arrays import ChangedFileError
from hm3_jax.retrieval.server.queries import Problem, problem_line

_LOG = logging.getLogger(__name__)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": what}
    for status, what in (
        (404, "Not found"),
        (413, "The request is too large"),
        (422, "The request is not valid"),
        (503, "Too many requests wait, or the search does not respond"),
    )
}
"""What the OpenAPI document says of each status."""

_NO_JSON = (
    "request body: expected JSON in UTF-8, not nested deeply, with numbers of fewer "
    "digits"
)


def handle_errors(app: FastAPI) -> None:
    """Makes the app answer errors as `Problem`."""
    app.add_exception_handler(RequestValidationError, _refused)
    # Errors of FastAPI, and those of Starlette below it.
    app.add_exception_handler(AnyHTTPException, _known)
    app.add_exception_handler(ConnectionError, _unreachable)
    app.add_exception_handler(ChangedFileError, _changed)


def unprocessable(line: str) -> HTTPException:
    """The error of a request that is not what it should be."""
    return HTTPException(422, line)


def unavailable(line: str, seconds: int) -> HTTPException:
    """The error of a request that may be answered later."""
    return HTTPException(503, line, {"Retry-After": str(seconds)})


def search_stopped() -> HTTPException:
    """The error of a server whose search has ended, which only a new start mends."""
    return HTTPException(503, "the search has stopped; the server's log says why")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": problem_line(error.errors()[0])}, 422)


async def _unreachable(request: Request, error: Exception) -> Response:
    # Its address is for those who run the server, not for those who ask.
    _LOG.error("%s", error)
    line = "the search engine of this server cannot be reached; try again later"
    return JSONResponse({"error": line}, 503, {"Retry-After": "10"})


async def _changed(request: Request, error: Exception) -> Response:
    _LOG.error("%s", error)
    line = "a file of the index was changed in its place; the server's log says which"
    return JSONResponse({"error": line}, 503)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    status, line, cause = error.status_code, error.detail, error.__cause__
    # What json.loads raises but FastAPI does not tell from faults of its own.
    if isinstance(cause, ValueError | RecursionError) and not isinstance(
        cause, json.JSONDecodeError
    ):
        status, line = 422, _NO_JSON
    return JSONResponse({"error": line}, status, error.headers)
