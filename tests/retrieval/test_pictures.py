"""Pictures over HTTP: those of the collection, and no other file."""

from pathlib import Path

import httpx
import pytest

from hm3_jax.retrieval.server.pictures import Hung, Pictures, media_type
from tests.retrieval.serving import WordCollection, served

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


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
