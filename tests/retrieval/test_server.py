"""The HTTP API: what it answers."""

import httpx
import pytest

from tests.retrieval.serving import THEMES, WordCollection, served


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
        "title": None,
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
        "matches": ["pictures"],
        "theme_weight": None,
        "picture_queries": False,
    }
    assert client.get("/healthz").json() == {"status": "ok", "museums": 30}


def test_the_map_is_computed_once_and_cut() -> None:
    collection = WordCollection()
    with served(collection) as url, httpx.Client(base_url=url) as client:
        whole = client.get("/api/map").json()
        for most in (1, 2, 3, 29, 30, 31, 20_000):
            answer = client.get("/api/map", params={"most": most})
            places = answer.json()
            count = min(most, 30)
            # From the first to the last, evenly.
            rows = [int(i * 29 / max(1, count - 1)) for i in range(count)]
            assert places == {
                name: [column[row] for row in rows] for name, column in whole.items()
            }
            packed = answer.headers.get("content-encoding")
            assert packed == ("gzip" if count == 30 else None)
    assert collection.maps == [20_000]


@pytest.mark.parametrize("query", ["海と船", "Ναυάγιο στην καταιγίδα", "🏛️ king", "ä"])
def test_other_scripts_are_queries(client: httpx.Client, query: str) -> None:
    answer = client.get("/api/search", params={"query": query})
    assert answer.status_code == 200
    assert answer.json()["sentences"] == [query]


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
        "/api/search/picture",
        "/api/like/{museum}",
        "/api/museums/{museum}",
        "/api/map",
        "/api/collection",
        "/api/picture",
        "/api/thumbnail",
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
