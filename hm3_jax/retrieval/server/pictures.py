"""Pictures of museums, from inside their collection's folder and from nowhere else.

Clients name a picture by museum, room and number, never by a path. So they do videos.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

from hm3_jax.files.input_kinds import INPUT_KINDS
from hm3_jax.retrieval.server.collection import AnsweringItem, Hit, Picture, Room

MEDIA_TYPES = frozenset(
    f"image/{name}" for name in ("jpeg", "png", "gif", "webp", "avif", "bmp")
)
"""Of pictures that browsers show; `media_type` tells them apart."""

# As many first bytes as tell what a file is.
_SIGNATURE_BYTES = 12


class NotShownError(FileNotFoundError):
    """A file is there that browsers do not show."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hung:
    """A picture of a museum list.

    Attributes:
        reference: What the list says, an artwork id or a path.
        kind: "view" of the room, or "painting" or "video" in it.
        title: What the painting or video is called, or None.
    """

    reference: str
    kind: str
    title: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture's file.

    Attributes:
        path: Where it is, without links.
        status: Of the file.
        media_type: Of its content.
    """

    path: Path
    status: os.stat_result
    media_type: str


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures of a museum list.

    Attributes:
        root: Folder that every picture lies in, links followed.
        rooms: The pictures of a museum by room; none where the museum is not known.
        path_of: The file of a reference; ValueError if outside the folder.
    """

    root: Path
    rooms: Callable[[str], Sequence[Sequence[Hung]]]
    path_of: Callable[[str], Path]

    def add_to_hit(self, hit: Hit) -> Hit:
        """A hit with pictures: one that stands for the museum, and what answers."""
        answers = [self._add_to_answer(hit.id, answer) for answer in hit.answers]
        hit = dataclasses.replace(hit, answers=answers)
        for number, room in enumerate(self.rooms(hit.id)):
            for i, hung in enumerate(room):
                if hung.kind != "video":
                    return dataclasses.replace(
                        hit,
                        picture=_url("picture", hit.id, number, i),
                        thumbnail=_url("thumbnail", hit.id, number, i),
                    )
        return hit

    def _add_to_answer(self, museum: str, answer: AnsweringItem) -> AnsweringItem:
        rooms = self.rooms(museum)
        room = rooms[answer.room] if answer.room < len(rooms) else []
        called = INPUT_KINDS[answer.kind].called
        of_kind = [i for i, hung in enumerate(room) if hung.kind == called]
        # A list may have changed since the index was made.
        if answer.place >= len(of_kind):
            return answer
        number = of_kind[answer.place]
        return dataclasses.replace(
            answer,
            picture=_url("picture", museum, answer.room, number),
            thumbnail=_thumbnail(room[number], museum, answer.room, number),
            title=room[number].title,
        )

    def add_to(self, museum: str, rooms: Sequence[Room]) -> list[Room]:
        """A museum's rooms with their pictures."""
        hung = self.rooms(museum)
        return [
            dataclasses.replace(
                room,
                pictures=[
                    Picture(
                        _url("picture", museum, number, i),
                        _thumbnail(picture, museum, number, i),
                        picture.kind,
                        picture.title,
                    )
                    for i, picture in enumerate(hung[number])
                ],
            )
            if number < len(hung)
            else room
            for number, room in enumerate(rooms)
        ]

    def find(self, museum: str, room: int, number: int) -> PictureFile:
        """Finds a picture's file, and reads no more than its first bytes.

        Raises:
            FileNotFoundError: If there is no such picture, or it lies outside the
                folder.
            NotShownError: If it is none that browsers show.
        """
        hung = self.rooms(museum)
        if not (0 <= room < len(hung) and 0 <= number < len(hung[room])):
            raise FileNotFoundError("no such picture")
        try:
            shown = hung[room][number]
            # Links may have changed since the list was read. A loop of them is a
            # RuntimeError before Python 3.13.
            path = self.path_of(shown.reference).resolve(strict=True)
            if not path.is_relative_to(self.root) or not path.is_file():
                raise FileNotFoundError
            with path.open("rb") as file:
                kind = _TYPES[shown.kind](file.read(_SIGNATURE_BYTES))
                status = os.fstat(file.fileno())
        except (OSError, RuntimeError, ValueError):
            raise FileNotFoundError("no such picture") from None
        if kind is None:
            raise NotShownError("no picture that browsers show")
        return PictureFile(path, status, kind)


def media_type(content: bytes) -> str | None:
    """Media type of a picture by its first bytes; None if browsers do not show it.

    SVG is not among them: it may carry scripts.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return "image/bmp" if content.startswith(b"BM") else None


def video_type(content: bytes) -> str | None:
    """Media type of a video by its first bytes; None if browsers do not play it.

    Whether they know how its pictures are coded, only they can say.
    """
    if content[4:8] == b"ftyp" and media_type(content) is None:
        return "video/mp4"
    if content.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm"  # or Matroska, which is the same but for what it may hold
    return "video/ogg" if content.startswith(b"OggS") else None


_TYPES = {"view": media_type, "painting": media_type, "video": video_type}


def _thumbnail(hung: Hung, museum: str, room: int, number: int) -> str | None:
    if hung.kind == "video":
        return None
    return _url("thumbnail", museum, room, number)


def _url(what: str, museum: str, room: int, number: int) -> str:
    place = {"museum": museum, "room": room, "number": number}
    # Relative to the page, which may be below a path of a proxy.
    return f"api/{what}?{urlencode(place)}"
