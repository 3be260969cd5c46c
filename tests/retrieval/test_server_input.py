"""The HTTP API: what it refuses, in one line."""

import json
import socket

import httpx
import pytest

from hm3_jax.retrieval.server.hosts import Hosts


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({}, "query: expected a value, found none"),
        ({"query": ""}, "query: expected a query with some text, found an empty"),
        ({"query": " \n\t"}, "query: expected a query with some text"),
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
        (
            {"query": "king", "match": "words"},
            "match: expected pictures, found 'words'",
        ),
        (
            {"query": "king", "match": "all"},
            "match: expected 'both', 'pictures' or 'words', found 'all'",
        ),
        ({"query": "king", "theme_weight": "1"}, "theme_weight: expected none"),
        ({"query": "king", "theme_weight": "-1"}, "theme_weight: expected at least 0"),
        ({"query": "king", "theme_weight": "nan"}, "theme_weight: expected a finite"),
        ({"query": "king", "theme_weight": "x"}, "theme_weight: expected a number"),
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
        (b'{"query": "king", "top_k": ' + b"9" * 60_000 + b"}", 422, "fewer digits"),
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
    with socket.create_connection((host, port or 80), timeout=120) as connection:
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


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None],
)
def test_a_body_that_is_no_json_is_not_read_as_such(
    client: httpx.Client, kind: str | None
) -> None:
    # Pages of other origins may send these types without asking.
    answer = client.post(
        "/api/search",
        content=b'{"query": "king"}',
        headers={} if kind is None else {"Content-Type": kind},
    )
    assert answer.status_code == 422


def test_pages_of_other_origins_are_told_nothing(client: httpx.Client) -> None:
    asking = {"Origin": "http://evil.example"}
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answers = [
        client.get("/api/search?query=king", headers=asking),
        client.post("/api/search", json={"query": "king"}, headers=asking),
        client.options("/api/search", headers=asking | preflight),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 405]
    for answer in answers:
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert not [h for h in answer.headers if h.startswith("access-control")]


@pytest.mark.parametrize("host", ["localhost", "LocalHost:1", "127.0.0.1", "[::1]:80"])
def test_this_machine_is_answered_by_its_names(client: httpx.Client, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/collection", "/healthz", "/metrics"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example@localhost",
        "localhost@evil.example",
        "localhost:80:80",
        "192.0.2.1",
        "[::2]",
        "",
    ],
)
def test_other_names_for_this_machine_are_refused(
    client: httpx.Client, host: str, path: str
) -> None:
    # A page of evil.example that leads its name to 127.0.0.1 asks like this.
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    line = f"host: expected a name of this server (--allowed_hosts), found {host!r}"
    assert answer.json() == {"error": line}


@pytest.mark.parametrize(
    ("listens", "others", "allowed", "refused"),
    [
        ("museum.example", [], ["museum.example", "MUSEUM.example.:80"], ["192.0.2.1"]),
        ("192.0.2.1", [], ["192.0.2.1:8080"], ["192.0.2.2", "192.0.2.1.evil.example"]),
        ("2001:db8::1", [], ["[2001:db8::1]:80"], ["[2001:db8::2]"]),
        ("0.0.0.0", [], ["192.0.2.1", "[2001:db8::1]:80"], ["museum.example"]),
        ("127.0.0.1", ["a.example", "B.example"], ["a.example:1", "b.example"], ["c"]),
        ("127.0.0.1", ["*"], ["anything.example"], ["a@b", "a/b", "a b", ""]),
    ],
)
def test_names_that_a_server_goes_by(
    listens: str, others: list[str], allowed: list[str], refused: list[str]
) -> None:
    hosts = Hosts.of(listens, others)
    for host in ["localhost:8080", "127.0.0.1", "[::1]", "127.0.0.2", *allowed]:
        assert hosts.allow(host), host
    for host in refused:
        assert not hosts.allow(host), host


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "a/b", ""])
def test_names_have_no_scheme_and_port(name: str) -> None:
    with pytest.raises(ValueError, match="--allowed_hosts: expected names .*, found"):
        Hosts.of("127.0.0.1", [name])


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


def test_wrong_methods_are_refused(client: httpx.Client) -> None:
    assert client.delete("/api/search").status_code == 405
    assert client.put("/api/museums/museum-01").status_code == 405
