"""What every request goes through: limits, counting, and headers for browsers."""

from __future__ import annotations

import logging
import time
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hm3_jax.retrieval.server.hosts import Hosts
from hm3_jax.retrieval.server.measures import Measures
from hm3_jax.retrieval.server.queries import (
    MOST_BYTES,
    MOST_PICTURE_BYTES,
    PICTURE_SEARCH,
)

HEADERS = {
    # Scripts, styles and pictures of this server only, and none written into the page.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

_LOG = logging.getLogger(__name__)
_FAILED = "the server could not answer this; its log says why"
_SHOWN = 60
_NO_TEXT = "address: expected UTF-8 text, found other bytes"


class Frame:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, measures: Measures, hosts: Hosts, root_path: str):
        """Wraps an app; the arguments are those of `make_app`."""
        self._app = app
        self._measures = measures
        self._hosts = hosts
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        started_answering = False

        async def send_on(message: Message) -> None:
            nonlocal started_answering, status
            if message["type"] == "http.response.start":
                status = message["status"]
                started_answering = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # Otherwise browsers may guess, and mix files of two versions.
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        # Routes are found with it and without it in front of the request's path.
        scope = {**scope, "root_path": self._root_path}
        if scope["method"] == "HEAD":
            # Answered as GET; the server leaves the body out.
            scope = {**scope, "method": "GET"}
        try:
            refused = self._refusal(scope)
            if refused is not None:
                await _refuse(send_on, *refused)
                return
            await self._app(scope, _Limited(receive, _most_bytes(scope)), send_on)
        except Exception:
            # Left to others, this would end the connection, and with it requests that
            # the client has sent on it meanwhile.
            client, *_ = scope.get("client") or ("?",)
            _LOG.exception(
                "%s %s from %s failed", scope["method"], scope["path"], client
            )
            if started_answering:
                raise
            await _refuse(send_on, 500, _FAILED)
        finally:
            # A route's pattern, not the address: names would be without end.
            route = getattr(scope.get("route"), "path", "other")
            self._measures.request(route, status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and line for a request that nothing else is to see, or None."""
        host = Headers(scope=scope).get("host", "")
        if not self._hosts.allow(host):
            return 400, (
                "host: expected a name of this server (--allowed_hosts), found "
                f"{host[:_SHOWN]!r}"
            )
        most = _most_bytes(scope)
        if _declared_length(scope) > most:
            return 413, _too_large(most)
        if not _is_text(scope["query_string"]):
            return 422, _NO_TEXT
        return None


class _Limited:
    """Receives a body up to its limit, also where no length was declared."""

    def __init__(self, receive: Receive, most: int):
        self._receive, self._most = receive, most
        self._bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most:
            raise HTTPException(413, _too_large(self._most))
        return message


def _most_bytes(scope: Scope) -> int:
    path = scope["path"].removeprefix(scope["root_path"])
    return MOST_PICTURE_BYTES if path == PICTURE_SEARCH else MOST_BYTES


def _too_large(most: int) -> str:
    return f"request body: expected at most {most} bytes, found more"


def _declared_length(scope: Scope) -> int:
    declared = Headers(scope=scope).get("content-length", "0")
    return int(declared) if declared.isdecimal() else 0


def _is_text(query_string: bytes) -> bool:
    # What reads parameters later puts a question mark for bytes that are none.
    try:
        unquote_to_bytes(query_string).decode()
    except UnicodeDecodeError:
        return False
    return True


async def _refuse(send: Send, status: int, line: str) -> None:
    body = orjson.dumps({"error": line})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 413:  # its body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
