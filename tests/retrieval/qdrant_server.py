"""A server that speaks Qdrant's HTTP API, over the embedded mode in memory.

Its requests and answers are those of the client's own models, so that a test sees what
a real server would be sent.
"""

import contextlib
import json
import re
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qdrant_client import QdrantClient, models


class StandIn:
    """What the server holds, and how it behaves.

    Attributes:
        uri: Its address.
        version: What it says it is.
        token: API key that it asks for; empty for none.
        refused: Calls that get an error, as a regular expression; None for none.
        calls: Method and path of each request.
        largest: Bytes of the largest request.
    """

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.uri, self.version, self.token = "", "1.20.0", ""
        self.refused: str | None = None
        self.calls: list[str] = []
        self.largest = 0
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """What a request gets, as JSON values or a model."""
        parts = path.strip("/").split("/")
        if parts == ["collections"]:
            return self.client.get_collections()
        name, rest = parts[1], f"{method} {'/'.join(parts[2:])}".strip()
        if rest == "PUT":
            asked = models.CreateCollection(**body)
            return self.client.create_collection(
                name, vectors_config=asked.vectors, metadata=asked.metadata
            )
        if rest == "GET":
            return self.client.get_collection(name)
        if rest == "DELETE":
            return self.client.delete_collection(name)
        if rest == "GET exists":
            return {"exists": self.client.collection_exists(name)}
        if rest == "PUT index":
            models.CreateFieldIndex(**body)
            return models.UpdateResult(status=models.UpdateStatus.COMPLETED)
        if rest == "PUT points":
            return self.client.upsert(name, models.PointsList(**body).points)
        if rest == "POST points/count":
            return self.client.count(name)
        if rest == "POST points/scroll":
            asked = models.ScrollRequest(**body)
            page: Any
            points, page = self.client.scroll(
                name,
                scroll_filter=asked.filter,
                limit=asked.limit or 10,
                offset=asked.offset,
                with_payload=asked.with_payload or False,
            )
            return models.ScrollResult(points=points, next_page_offset=page)
        if rest == "POST points":
            asked = models.PointRequest(**body)
            return self.client.retrieve(
                name, asked.ids, with_payload=asked.with_payload or False
            )
        if rest == "POST points/query/batch":
            asked = models.QueryRequestBatch(**body)
            return self.client.query_batch_points(name, asked.searches)
        raise AssertionError(f"{method} {path}: not in this stand-in")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _handle(self) -> None:
        held, path = self.stand_in, self.path.partition("?")[0]
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        held.calls.append(f"{self.command} {path}")
        held.largest = max(held.largest, len(content))
        if held.token and self.headers.get("api-key") != held.token:
            self._send(401, {"status": {"error": "Must provide an API key"}})
        elif held.refused and re.search(held.refused, held.calls[-1]):
            self._send(507, {"status": {"error": "No space left\non device"}})
        elif path == "/":
            self._send(200, {"title": "qdrant", "version": held.version})
        else:
            try:
                with held.lock:
                    body = json.loads(content or b"{}")
                    result = _json(held.answer(self.command, path, body))
            except ValueError as error:
                self._send(404, {"status": {"error": str(error)}})
            else:
                self._send(200, {"result": result, "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_DELETE = _handle

    def _send(self, status: int, values: Any) -> None:
        content = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def qdrant_server() -> Iterator[StandIn]:
    """Runs one in a thread."""
    stand_in = StandIn()
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        stand_in.uri = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with warnings.catch_warnings():
                yield stand_in
        finally:
            server.shutdown()
            thread.join()
            stand_in.client.close()


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(one) for one in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value
