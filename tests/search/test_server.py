"""The HTTP API: what it answers, and what it refuses."""

import concurrent.futures
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hm3_jax.search.server.app import Queueing
from hm3_jax.search.server.pictures import Hung, Pictures, media_type
from hm3_jax.search.server.run import listen
from tests.search.serving import THEMES, WordCollection, served

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture(scope="module")
def collection() -> WordCollection:
    return WordCollection()


@pytest.fixture(scope="module")
def client(collection: WordCollection) -> Iterator[httpx.Client]:
    with served(collection) as url, httpx.Client(base_url=url) as client:
        yield client


def test_search_returns_what_the_collection_finds(
    client: httpx.Client, collection: WordCollection
) -> None:
    answer = client.get("/api/search", params={"query": "harbour storm"}).json()
    assert answer["sentences"] == ["harbour storm"]
    assert [hit["id"] for hit in answer["hits"]] == [
        *(f"museum-{i:02d}" for i in (0, 6, 12, 18, 24)),  # both words
        *(f"museum-{i:02d}" for i in (1, 5, 7, 11, 13)),  # one of them
    ]
    assert [hit["score"] for hit in answer["hits"]] == [1.0] * 5 + [0.5] * 5
    first = answer["hits"][0]
    assert first["theme"] == "landscape" and first["picture"] is None
    assert (first["sentences"], first["rooms"]) == ([1.0], [0.1, 0.3, -0.05])


def test_a_body_asks_the_same_as_an_address(client: httpx.Client) -> None:
    asked = {"query": "king. queen", "top_k": 4, "theme": "marine"}
    posted = client.post("/api/search", json=asked).json()
    assert posted == client.get("/api/search", params=asked).json()
    assert len(posted["hits"]) == 4
    assert {hit["theme"] for hit in posted["hits"]} == {"marine"}


def test_like_leaves_the_museum_itself_out(client: httpx.Client) -> None:
    hits = client.get("/api/like/museum-03", params={"top_k": 30}).json()["hits"]
    assert len(hits) == 29
    assert hits[0]["id"] == "museum-09"  # shows the same words
    assert "museum-03" not in {hit["id"] for hit in hits}


def test_a_museum_the_map_and_the_summary(client: httpx.Client) -> None:
    museum = client.get("/api/museums/museum-01").json()
    assert museum["title"] == "Museum of king and storm, number 1"
    assert museum["rooms"][2] == {
        "pictures": [],
        "counts": {"views": 2, "images": 1, "videos": 0},
    }
    places = client.get("/api/map").json()
    assert {len(column) for column in places.values()} == {30}
    assert len(client.get("/api/map", params={"most": 7}).json()["ids"]) == 7
    plain = client.get("/api/map", headers={"Accept-Encoding": "identity"})
    assert plain.json() == places and "content-encoding" not in plain.headers
    assert client.get("/api/collection").json() == {
        "museums": 30,
        "themes": [{"name": name, "museums": 10} for name in THEMES],
        "pictures": False,
        "examples": ["A harbour.", "A storm."],
    }
    assert client.get("/healthz").json() == {"status": "ok", "museums": 30}


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({}, "query: expected a value, found none"),
        ({"query": ""}, "query: expected a query that says something, found an empty"),
        ({"query": " \n\t"}, "query: expected a query that says something"),
        ({"query": "a\x00b"}, "found the control character U+0000"),
        ({"query": "a\x1b[31m"}, "found the control character U+001B"),
        ({"query": "x" * 20_000}, "at most 10000 characters, found 20000"),
        ({"query": "king", "top_k": "0"}, "top_k: expected at least 1, found '0'"),
        ({"query": "king", "top_k": "-3"}, "top_k: expected at least 1, found '-3'"),
        (
            {"query": "king", "top_k": "9" * 30},
            "top_k: expected at most 1000, found",
        ),
        ({"query": "king", "top_k": "9" * 5000}, "top_k: expected an integer of fewer"),
        ({"query": "king", "top_k": "ten"}, "top_k: expected an integer, found 'ten'"),
        (
            {"query": "king", "theme": "cubism"},
            "theme: expected one of landscape, marine, portrait, found 'cubism'",
        ),
        ({"query": "king", "theme": ""}, "theme: expected one of landscape"),
        ({"query": "123"}, "query: expected words, found digits only"),
    ],
)
def test_wrong_queries_are_refused_in_one_line(
    client: httpx.Client, parameters: dict[str, str], line: str
) -> None:
    answer = client.get("/api/search", params=parameters)
    assert answer.status_code == 422
    assert line in answer.json()["error"]
    assert len(answer.json()["error"].splitlines()) == 1


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        (b"{", 422, "request body: expected JSON"),
        (b'{"query": "\xff"}', 422, "request body: expected JSON in UTF-8"),
        (b"", 422, "request body: expected a value, found none"),
        (b"[]", 422, "request body: expected a JSON object"),
        (b"null", 422, "request body: expected a JSON object"),
        (b'{"query": 5}', 422, "query: expected text, found 5"),
        (b'{"query": ["king"]}', 422, "query: expected text, found ['king']"),
        (b'{"query": null}', 422, "query: expected text, found None"),
        (b'{"query": "\\ud800"}', 422, "query: "),
        (b'{"query": "king", "top_k": "5"}', 422, "top_k: expected an integer"),
        (b'{"query": "king", "top_k": 2.5}', 422, "top_k: expected an integer"),
        (b'{"query": "king", "top_k": true}', 422, "top_k: expected an integer"),
        (b'{"query": "king", "top_k": 1e999}', 422, "top_k: "),
        (b'{"query": "king", "depth": 1}', 422, "depth: expected only query, top_k"),
        (b"[" * 50_000, 422, "request body: expected JSON in UTF-8, not nested"),
        (json.dumps({"query": "x" * 100_000}).encode(), 413, "at most 65536 bytes"),
        (json.dumps({"query": "x" * 60_000}).encode(), 422, "at most 10000 characters"),
    ],
)
def test_wrong_bodies_are_refused_in_one_line(
    client: httpx.Client, body: bytes, status: int, line: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/search", content=body, headers=headers)
    assert (answer.status_code, line in answer.json()["error"]) == (status, True), (
        answer.text
    )


def test_a_very_long_address_is_refused(client: httpx.Client) -> None:
    # httpx itself refuses to send such a one.
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port or 80), timeout=10) as connection:
        line = f"GET /api/search?query={'x' * 100_000} HTTP/1.1\r\nHost: here\r\n\r\n"
        connection.sendall(line.encode())
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 4")
    assert client.get("/healthz").status_code == 200


def test_a_body_of_undeclared_length_is_limited_too(client: httpx.Client) -> None:
    answer = client.post(
        "/api/search",
        content=(b" " * 1000 for _ in range(100)),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 413


def test_a_body_that_is_no_json_is_not_read_as_such(client: httpx.Client) -> None:
    # A page of another origin may send this type without asking.
    answer = client.post(
        "/api/search",
        content=b'{"query": "king"}',
        headers={"Content-Type": "text/plain"},
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("query", ["海と船", "Ναυάγιο στην καταιγίδα", "🏛️ king", "ä"])
def test_other_scripts_are_queries(client: httpx.Client, query: str) -> None:
    answer = client.get("/api/search", params={"query": query})
    assert answer.status_code == 200
    assert answer.json()["sentences"] == [query]


@pytest.mark.parametrize(
    "path",
    [
        "/api/museums/nobody",
        "/api/museums/",
        "/api/like/nobody",
        "/api/like/%00",
        "/api/nothing",
        "/nothing.html",
        "/../server/app.py",
        "/%2e%2e/server/app.py",
        "/..%2f..%2findex.py",
        "//etc/passwd",
        "/api/picture?museum=museum-01&room=0&number=0",
    ],
)
def test_what_is_not_there_is_404(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "error" in answer.json()


@pytest.mark.parametrize(
    "address", ["/api/search?query=%ff", "/api/search?query=king&top%80_k=1"]
)
def test_bytes_that_are_no_text_are_refused(client: httpx.Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 422
    assert answer.json() == {"error": "address: expected UTF-8 text, found other bytes"}


def test_a_map_has_a_limit_of_its_own(client: httpx.Client) -> None:
    for most, line in (("0", "at least 1"), ("20001", "at most 20000")):
        answer = client.get("/api/map", params={"most": most})
        assert answer.status_code == 422
        assert answer.json()["error"] == f"most: expected {line}, found '{most}'"


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/metrics", "/api/museums/museum-01", "/api/like/nobody"]
)
def test_head_is_get_without_its_body(client: httpx.Client, path: str) -> None:
    answer, head = client.get(path), client.head(path)
    assert head.status_code == answer.status_code
    assert head.content == b""
    assert head.headers["content-type"] == answer.headers["content-type"]
    # The connection goes on as if nothing were left on it.
    assert client.get("/healthz").json()["status"] == "ok"


def test_wrong_methods_are_refused(client: httpx.Client) -> None:
    assert client.delete("/api/search").status_code == 405
    assert client.put("/api/museums/museum-01").status_code == 405


def test_a_fault_is_no_traceback_and_not_the_end(client: httpx.Client) -> None:
    answer = client.get("/api/search", params={"query": "crash"})
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "the server could not answer this; its log says why"
    }
    assert client.get("/api/search", params={"query": "king"}).status_code == 200


def test_an_unreachable_backend_is_503_and_recovers(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/api/search", params={"query": "unreachable"})
    assert answer.status_code == 503
    assert answer.json() == {
        "error": "what searches for this server cannot be reached; try again later"
    }
    assert answer.headers["retry-after"] == "10"
    assert [record.message for record in caplog.records if record.exc_info is None] == [
        "http://10.0.0.1:19530: Milvus: no answer"
    ]
    assert client.get("/api/search", params={"query": "king"}).status_code == 200


def test_200_connections_at_once_are_answered_together() -> None:
    collection = WordCollection(slow=0.01)
    start = threading.Barrier(200)

    def ask(url: str) -> int:
        with httpx.Client(base_url=url, timeout=30) as client:
            start.wait()
            answer = client.get("/api/search", params={"query": "king queen"})
        assert len(answer.json()["hits"]) == 10
        return answer.status_code

    with (
        served(collection) as url,
        concurrent.futures.ThreadPoolExecutor(200) as threads,
    ):
        statuses = list(threads.map(ask, [url] * 200))
    assert statuses == [200] * 200
    assert sum(collection.calls) == 200
    assert max(collection.calls) <= 64
    assert len(collection.calls) < 100


def test_clients_that_dawdle_or_go_away_hold_nobody_up() -> None:
    collection = WordCollection(slow=0.01)
    line = b"GET /api/search?query=king HTTP/1.1\r\nHost: here\r\n"
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(served(collection))
        address = (httpx.URL(url).host, httpx.URL(url).port or 80)
        for _ in range(100):
            slow = stack.enter_context(socket.create_connection(address, timeout=10))
            slow.sendall(line + b"X-")
        for _ in range(100):
            with socket.create_connection(address, timeout=10) as gone:
                gone.sendall(line + b"\r\n")
        with httpx.Client(base_url=url, timeout=30) as client:
            answer = client.get("/api/search", params={"query": "storm"})
            assert answer.status_code == 200
            waiting = client.get("/metrics").text
    assert "hm3_waiting_queries 0.0" in waiting.splitlines()


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"127.0.0.1, port {port}: Address alread"):
            listen("127.0.0.1", port)


def test_a_full_queue_is_503_and_recovers() -> None:
    collection = WordCollection(slow=0.5)
    queueing = Queueing(largest=1, limit=2)

    def ask(client: httpx.Client) -> httpx.Response:
        return client.get("/api/search", params={"query": "king"})

    with (
        served(collection, queueing=queueing) as url,
        httpx.Client(base_url=url, timeout=30) as client,
        concurrent.futures.ThreadPoolExecutor(8) as threads,
    ):
        answers = list(threads.map(ask, [client] * 8))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} == {200, 503}
        assert refused[0].json() == {"error": "the server is busy; try again"}
        assert refused[0].headers["retry-after"] == "1"
        assert ask(client).status_code == 200


_SLOW_SERVER = """
from hm3_jax.search.server.app import make_app
from hm3_jax.search.server.run import address_of, listen, run
from tests.search.serving import WordCollection

listening = listen("127.0.0.1", 0)
print(address_of(listening), flush=True)
run(make_app(WordCollection(slow=1.0)), listening)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_asked_is_answered_before_the_end(
    repository: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW_SERVER],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        with (
            httpx.Client(base_url=url, timeout=30) as client,
            concurrent.futures.ThreadPoolExecutor(1) as thread,
        ):
            assert client.get("/healthz").status_code == 200
            query = {"query": "king"}
            asked = thread.submit(client.get, "/api/search", params=query)
            time.sleep(0.3)
            process.send_signal(number)
            assert len(asked.result().json()["hits"]) == 10
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_every_answer_has_headers_for_browsers(client: httpx.Client) -> None:
    for path in ("/", "/api/search?query=king", "/api/search", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers or headers["server"] == "uvicorn"


def test_the_openapi_document_names_all_that_there_is(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert {
        "/api/search",
        "/api/like/{museum}",
        "/api/museums/{museum}",
        "/api/map",
        "/api/collection",
        "/api/picture",
        "/healthz",
        "/metrics",
    } == set(document["paths"])
    search = document["paths"]["/api/search"]["get"]
    top_k = next(p for p in search["parameters"] if p["name"] == "top_k")["schema"]
    assert (top_k["minimum"], top_k["maximum"]) == (1, 1000)
    wrong = search["responses"]["422"]["content"]["application/json"]["schema"]
    assert wrong == {"$ref": "#/components/schemas/Problem"}


def test_metrics_count_requests_by_route() -> None:
    with served(WordCollection()) as url, httpx.Client(base_url=url) as client:
        for _ in range(3):
            client.get("/api/search", params={"query": "king"})
        client.get("/api/museums/nobody")
        client.get("/any/name/at/all")
        text = client.get("/metrics").text
    lines = text.splitlines()
    assert 'hm3_requests_total{route="/api/search",status="200"} 3.0' in lines
    assert (
        'hm3_requests_total{route="/api/museums/{museum:path}",status="404"} 1.0'
        in lines
    )
    assert "hm3_batch_queries_count 3.0" in lines
    assert "hm3_museums 30.0" in lines
    assert "any/name" not in text


@pytest.fixture
def hung(tmp_path: Path) -> Pictures:
    """Good and bad pictures in room 0 of museum-00."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "good.png").write_bytes(PNG)
    (root / "secret.txt").write_text("no picture")
    (root / "script.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "outside.png").write_bytes(PNG)
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "folder.png").mkdir()
    names = ["good.png", "secret.txt", "script.svg", "../outside.png", "link.png"]
    names += ["missing.png", "folder.png", str(tmp_path / "outside.png")]
    room = [Hung(name, "view") for name in names]
    return Pictures(
        root,
        lambda museum: [[], room] if museum == "museum-00" else [],
        lambda reference: root / reference,
    )


def test_pictures_come_from_inside_the_collection_only(hung: Pictures) -> None:
    with served(WordCollection(), hung) as url, httpx.Client(base_url=url) as client:
        museum = client.get("/api/museums/museum-00").json()
        pictures = museum["rooms"][1]["pictures"]
        answers = [client.get(picture["url"]) for picture in pictures]
        hits = client.get("/api/search", params={"query": "harbour storm"}).json()
        outside = [
            client.get("/api/picture", params={"museum": "museum-00", **place})
            for place in (
                {"room": 1, "number": -1},
                {"room": -1, "number": 0},
                {"room": 9, "number": 0},
                {"room": 10**30, "number": 0},
            )
        ]
    assert [answer.status_code for answer in answers] == [200, *[404] * 7]
    assert answers[0].content == PNG
    assert answers[0].headers["content-type"] == "image/png"
    assert {answer.status_code for answer in outside} == {404}
    assert hits["hits"][0]["picture"] == pictures[0]["url"]
    assert hits["hits"][1]["picture"] is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (PNG, "image/png"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"RIFF....WAVEfmt ", None),
        (b"....ftypavif", "image/avif"),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_media_types(content: bytes, kind: str | None) -> None:
    assert media_type(content) == kind
