"""Searches with pictures over HTTP: what is taken, and what is refused."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from fastapi import HTTPException

from hm3_jax.retrieval.server import picture_queries
from hm3_jax.retrieval.server.picture_queries import PictureReader
from hm3_jax.retrieval.server.queries import MOST_PICTURE_BYTES
from tests.retrieval.serving import ItemCollection, WordCollection, served

PNG = b"\x89PNG\r\n\x1a\n" + bytes(18)  # 26 bytes show word 2, the king
ADDRESS = "/api/search/picture"
TYPE = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def items() -> Iterator[tuple[httpx.Client, ItemCollection]]:
    collection = ItemCollection()
    with served(collection) as url, httpx.Client(base_url=url) as client:
        yield client, collection


def test_a_picture_finds_museums(items: tuple[httpx.Client, ItemCollection]) -> None:
    client, collection = items
    parameters = {"top_k": 3, "theme": "portrait", "theme_weight": 2}
    answer = client.post(ADDRESS, content=PNG, headers=TYPE, params=parameters)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["sentences"], found["match"]) == ([], "pictures")
    assert [hit["id"] for hit in found["hits"]] == [
        "museum-02",
        "museum-08",
        "museum-14",
    ]
    assert len(found["hits"][0]["answers"]) == 1
    asked = collection.asked[-1]
    assert (asked.picture, asked.theme_weight, asked.text) == ("king", 2, None)
    # Larger than any other body may be.
    large = PNG + bytes(6 * 2**16)
    assert client.post(ADDRESS, content=large, headers=TYPE).status_code == 200
    assert client.get("/api/collection").json()["picture_queries"] is True


@pytest.mark.parametrize(
    ("content", "kind", "status", "line"),
    [
        (PNG, "text/plain", 422, "expected a picture (Content-Type: one of image/"),
        (PNG, "multipart/form-data; boundary=a", 422, "found 'multipart/form-data'"),
        (PNG, None, 422, "found ''"),
        (PNG, "image/svg+xml", 422, "found 'image/svg+xml'"),
        (b"<svg/>", "image/png", 422, "picture: expected a JPEG, PNG, GIF, WebP"),
        (b"", "image/png", 422, "picture: expected a JPEG, PNG, GIF, WebP"),
        (PNG + b"damaged", "image/png", 422, "picture: expected a whole picture"),
        (PNG + bytes(2**24), "image/png", 413, "at most 16777216 bytes"),
    ],
)
def test_what_is_no_picture_is_refused(
    items: tuple[httpx.Client, ItemCollection],
    content: bytes,
    kind: str | None,
    status: int,
    line: str,
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = items[0].post(ADDRESS, content=content, headers=headers)
    assert (answer.status_code, line in answer.json()["error"]) == (status, True)
    assert len(answer.json()["error"].splitlines()) == 1


def test_other_sites_and_names_are_refused(
    items: tuple[httpx.Client, ItemCollection],
) -> None:
    client, _ = items
    host = client.post(ADDRESS, content=PNG, headers={**TYPE, "Host": "evil.example"})
    assert host.status_code == 400
    preflight = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = client.options(ADDRESS, headers=preflight)
    assert answer.status_code == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_body_of_undeclared_length_is_limited_too(
    items: tuple[httpx.Client, ItemCollection],
) -> None:
    parts = (bytes(2**20) for _ in range(1 + MOST_PICTURE_BYTES // 2**20))
    assert items[0].post(ADDRESS, content=parts, headers=TYPE).status_code == 413


def test_an_encoder_of_texts_says_so() -> None:
    with served(WordCollection()) as url, httpx.Client(base_url=url) as client:
        answer = client.post(ADDRESS, content=PNG, headers=TYPE)
        assert answer.status_code == 422
        assert answer.json()["error"] == (
            "picture: the index's encoder does not take pictures, only texts"
        )
        assert client.get("/api/collection").json()["picture_queries"] is False


def test_the_limit_below_a_path_of_a_proxy() -> None:
    with (
        served(ItemCollection(), root_path="/museums") as url,
        httpx.Client(base_url=url) as client,
    ):
        large = PNG + bytes(6 * 2**16)
        for path in ("", "/museums"):
            answer = client.post(path + ADDRESS, content=large, headers=TYPE)
            assert answer.status_code == 200, answer.text
        # No other address takes so much.
        for path in ("/api/search", "/other/api/search/picture"):
            answer = client.post(path, content=large, headers=TYPE)
            assert answer.status_code == 413


def test_only_so_many_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_queries, "_MOST", 3)

    async def ask() -> list[object]:
        coming = asyncio.Event()

        async def body() -> bytes:
            await coming.wait()
            return PNG

        reader = PictureReader(len)
        reads = [asyncio.create_task(reader.read(body)) for _ in range(5)]
        await asyncio.sleep(0)
        coming.set()
        answers = await asyncio.gather(*reads, return_exceptions=True)
        return [*answers, await reader.read(body)]

    *first, busy, again, last = asyncio.run(ask())
    assert first == [len(PNG)] * 3 and last == len(PNG)
    for error in (busy, again):
        assert isinstance(error, HTTPException) and error.status_code == 503


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_queries, "_BODY_SECONDS", 0.01)

    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    with pytest.raises(HTTPException, match="expected all of it within"):
        asyncio.run(PictureReader(len).read(never))
