"""Pictures over HTTP: those of the collection, and no other file."""

import asyncio
import concurrent.futures
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from hm3_jax.retrieval.server import thumbnails
from hm3_jax.retrieval.server.collection import AnsweringItem, Hit
from hm3_jax.retrieval.server.pictures import (
    Hung,
    PictureFile,
    Pictures,
    media_type,
    video_type,
)
from hm3_jax.retrieval.server.thumbnails import Thumbnails, make_thumbnail
from tests.retrieval.serving import WordCollection, served

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
RED, BLUE = (255, 0, 0), (0, 0, 255)


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
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "folder.png").mkdir()
    names = ["good.png", "secret.txt", "script.svg", "../outside.png", "link.png"]
    names += ["missing.png", "folder.png", "loop.png", str(tmp_path / "outside.png")]
    return pictures_of(root, names)


def pictures_of(root: Path, names: list[str]) -> Pictures:
    room = [Hung(name, "view") for name in names]
    return Pictures(
        root,
        lambda museum: [[], room] if museum == "museum-00" else [],
        lambda reference: root / reference,
    )


def test_what_answers_has_its_picture(tmp_path: Path) -> None:
    room = [
        Hung("a", "view"),
        Hung("b", "painting", "The Dot"),
        Hung("c", "view"),
        Hung("d", "painting"),
    ]
    pictures = Pictures(tmp_path, lambda museum: [[], room], lambda name: tmp_path)

    def shown(room: int, kind: str, place: int) -> tuple[str | None, str | None]:
        answer = AnsweringItem(room, kind, place, 0.5)
        hit = Hit("a/b", "", "", 0.5, 0, 0, [], [], answers=[answer])
        (answer,) = pictures.add_to_hit(hit).answers
        assert (answer.picture is None) == (answer.thumbnail is None)
        number = None if answer.picture is None else answer.picture.rpartition("=")[2]
        return number, answer.title

    assert shown(1, "views", 1) == ("2", None)
    assert shown(1, "images", 0) == ("1", "The Dot")
    assert shown(1, "images", 1) == ("3", None)
    # Without a picture: what the list does not have.
    for missing in (
        (1, "videos", 0),
        (1, "views", 2),
        (0, "views", 0),
        (2, "views", 0),
    ):
        assert shown(*missing) == (None, None)


MP4, AVIF = b"\0\0\0\x18ftypisom", b"\0\0\0\x18ftypavif"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (MP4, "video/mp4"),
        (b"\x1a\x45\xdf\xa3", "video/webm"),
        (b"OggS", "video/ogg"),
        (AVIF, None),
        (b"RIFF\0\0\0\0AVI ", None),
        (PNG, None),
        (b"<html>", None),
    ],
)
def test_videos_are_told_by_their_first_bytes(
    content: bytes, found: str | None
) -> None:
    assert video_type(content) == found


def test_videos_are_sent_as_such_and_in_parts(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(MP4 + bytes(100))
    (tmp_path / "page.mp4").write_text("<html>")
    room = [Hung("clip.mp4", "video", "The Waves"), Hung("page.mp4", "video")]
    room += [Hung("clip.mp4", "view"), Hung("good.png", "view")]
    (tmp_path / "good.png").write_bytes(PNG)
    pictures = Pictures(tmp_path, lambda museum: [room], lambda name: tmp_path / name)
    hit = pictures.add_to_hit(Hit("museum-00", "", "", 0.5, 0, 0, [], []))
    # A video does not stand for a museum.
    assert str(hit.picture).endswith("number=2")
    with (
        served(WordCollection(), pictures) as url,
        httpx.Client(base_url=url) as client,
    ):
        shown = client.get("/api/museums/museum-00").json()["rooms"][0]["pictures"]
        assert [item["kind"] for item in shown[:2]] == ["video", "video"]
        assert [item["thumbnail"] for item in shown[:2]] == [None, None]
        part = client.get(shown[0]["url"], headers={"Range": "bytes=4-11"})
        assert (part.status_code, part.content) == (206, b"ftypisom")
        assert part.headers["content-type"] == "video/mp4"
        # What is no video, a video in the place of a picture, a small video.
        small = shown[0]["url"].replace("picture", "thumbnail")
        for address in (shown[1]["url"], shown[2]["url"], small):
            assert client.get(address).status_code == 404


def test_pictures_come_from_inside_the_collection_only(hung: Pictures) -> None:
    with served(WordCollection(), hung) as url, httpx.Client(base_url=url) as client:
        museum = client.get("/api/museums/museum-00").json()
        pictures = museum["rooms"][1]["pictures"]
        answers = [client.get(picture["url"]) for picture in pictures]
        small = [client.get(picture["thumbnail"]) for picture in pictures]
        hits = client.get("/api/search", params={"query": "harbour storm"}).json()
        outside = [
            client.get(address, params={"museum": "museum-00", **place})
            for address in ("/api/picture", "/api/thumbnail")
            for place in (
                {"room": 1, "number": -1},
                {"room": -1, "number": 0},
                {"room": 9, "number": 0},
                {"room": 10**30, "number": 0},
            )
        ]
    assert [answer.status_code for answer in answers] == [200, *[404] * 8]
    assert answers[0].content == PNG
    assert answers[0].headers["content-type"] == "image/png"
    # The good one has the first bytes of a picture only.
    assert [answer.status_code for answer in small] == [404] * 9
    assert {answer.status_code for answer in outside} == {404}
    assert hits["hits"][0]["picture"] == pictures[0]["url"]
    assert hits["hits"][0]["thumbnail"] == pictures[0]["thumbnail"]
    assert hits["hits"][1]["picture"] is hits["hits"][1]["thumbnail"] is None


def test_a_folder_that_becomes_a_link_outside_while_served(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "museum", outside):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(PNG)
    asked = {"museum": "museum-00", "room": 1, "number": 0}
    codes = []
    with (
        served(WordCollection(), pictures_of(root, ["museum/a.png"])) as url,
        httpx.Client(base_url=url) as client,
    ):
        codes.append(client.get("/api/picture", params=asked).status_code)
        (root / "museum").rename(tmp_path / "moved")
        (root / "museum").symlink_to(outside)
        codes.append(client.get("/api/picture", params=asked).status_code)
        codes.append(client.get("/api/thumbnail", params=asked).status_code)
    assert codes == [200, 404, 404]


def test_large_originals_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(PNG)
        file.truncate(70 * 2**20)  # more than was once held in memory
    pictures = pictures_of(tmp_path, [path.name])
    place = {"museum": "museum-00", "room": 1, "number": 0}
    with served(WordCollection(), pictures) as url:
        with httpx.stream("GET", f"{url}/api/picture", params=place) as answer:
            assert answer.headers["content-length"] == str(70 * 2**20)
            assert next(answer.iter_bytes(len(PNG))) == PNG
        # A browser that goes on with half of a picture.
        part = httpx.get(
            f"{url}/api/picture", params=place, headers={"Range": "bytes=0-7"}
        )
    assert (part.status_code, part.content) == (206, PNG[:8])


def write(path: Path, picture: Image.Image, **options: Any) -> PictureFile:
    picture.save(path, **options)
    kind = media_type(path.read_bytes()[:12])
    assert kind is not None
    return PictureFile(path, path.stat(), kind)


def halves(width: int, height: int) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def small(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "WEBP"
    return picture.convert("RGBA")


def assert_colour(
    picture: Image.Image, place: tuple[int, int], colour: tuple[int, ...]
) -> None:
    found = np.asarray(picture)[place[1], place[0]].astype(int)
    np.testing.assert_allclose(found, colour, atol=12)


@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "webp", "avif", "bmp"])
def test_thumbnails_of_all_formats(tmp_path: Path, kind: str) -> None:
    file = write(tmp_path / f"picture.{kind}", halves(1600, 1000))
    picture = small(make_thumbnail(file))
    assert picture.size == (640, 400)
    assert_colour(picture, (160, 200), (*RED, 255))
    assert_colour(picture, (480, 200), (*BLUE, 255))


def test_thumbnails_are_upright_and_no_larger(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the left is the top
    file = write(tmp_path / "a.jpg", halves(200, 100), exif=exif)
    picture = small(make_thumbnail(file))
    assert picture.size == (100, 200)
    assert_colour(picture, (50, 40), (*RED, 255))
    assert_colour(picture, (50, 160), (*BLUE, 255))


def test_thumbnails_keep_transparency_and_deep_greys(tmp_path: Path) -> None:
    clear = write(tmp_path / "clear.png", Image.new("RGBA", (40, 40), (0, 0, 255, 0)))
    assert np.asarray(small(make_thumbnail(clear)))[..., 3].max() == 0
    greys = Image.fromarray(np.full((40, 40), 128 * 256, np.uint16))
    deep = write(tmp_path / "deep.png", greys)
    assert_colour(small(make_thumbnail(deep)), (20, 20), (128, 128, 128, 255))


def test_only_the_decoder_of_the_first_bytes_is_tried(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(OSError, match="cannot identify"):
        make_thumbnail(PictureFile(path, path.stat(), "image/png"))


def test_pictures_of_too_many_pixels_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_MOST_PIXELS", 1_000_000)
    with pytest.raises(ValueError, match="at most 1000000 pixels, found 2600 x 400"):
        make_thumbnail(write(tmp_path / "a.png", halves(2600, 400)))
    # A JPEG is decoded at a quarter.
    picture = small(make_thumbnail(write(tmp_path / "a.jpg", halves(5200, 2600))))
    assert picture.size == (640, 320)


def test_thumbnails_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(file: PictureFile) -> bytes:
        made.append(file.path)
        return make_thumbnail(file)

    monkeypatch.setattr(thumbnails, "make_thumbnail", make)
    path = tmp_path / "a.png"
    write(path, halves(8, 8))
    (tmp_path / "damaged.png").write_bytes(path.read_bytes()[:40])
    pictures = pictures_of(tmp_path, [path.name, "damaged.png"])
    with (
        served(WordCollection(), pictures) as url,
        httpx.Client(base_url=url) as client,
        concurrent.futures.ThreadPoolExecutor(8) as threads,
    ):

        def ask(number: int) -> httpx.Response:
            place = {"museum": "museum-00", "room": 1, "number": number}
            return client.get("/api/thumbnail", params=place)

        answers = list(threads.map(ask, [0, 1] * 8))
        assert [answer.status_code for answer in answers] == [200, 404] * 8
        assert answers[0].headers["content-type"] == "image/webp"
        assert answers[0].headers["cache-control"] == "private, max-age=3600"
        assert sorted(made) == [path, tmp_path / "damaged.png"]
        write(path, halves(16, 8))
        assert small(ask(0).content).size == (16, 8)


def test_as_many_thumbnails_are_kept_as_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def make(file: PictureFile) -> bytes:
        made.append(file.path.name)
        return bytes(10_000)

    monkeypatch.setattr(thumbnails, "make_thumbnail", make)
    files = {n: write(tmp_path / f"{n}.png", halves(8, 8)) for n in "abcd"}

    async def ask(names: str) -> None:
        kept = Thumbnails(kept_bytes=32_000)
        for name in names:
            assert await kept.of(files[name]) == bytes(10_000)
        kept.close()

    asyncio.run(ask("abcabcad" + "ac" + "b"))
    # The one that was asked for longest ago makes room.
    assert made == [f"{name}.png" for name in "abcd" + "b"]


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
