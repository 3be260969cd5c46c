"""Pictures of museums, from inside their collection's folder and from nowhere else.

Clients name a picture by museum, room and number, never by a path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

from hm3_jax.retrieval.server.collection import Picture, Room

_MOST_BYTES = 2**26


@dataclasses.dataclass(frozen=True, slots=True)
class Hung:
    """A picture of a museum list.

    Attributes:
        reference: What the list says, an artwork id or a path.
        kind: "view" of the room, or "painting" in it.
        title: What the painting is called, or None.
    """

    reference: str
    kind: str
    title: str | None = None


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

    def first(self, museum: str) -> str | None:
        """Address of the picture that stands for a museum, or None."""
        for number, room in enumerate(self.rooms(museum)):
            if room:
                return _url(museum, number, 0)
        return None

    def add_to(self, museum: str, rooms: Sequence[Room]) -> list[Room]:
        """A museum's rooms with their pictures."""
        hung = self.rooms(museum)
        return [
            dataclasses.replace(
                room,
                pictures=[
                    Picture(_url(museum, number, i), picture.kind, picture.title)
                    for i, picture in enumerate(hung[number])
                ],
            )
            if number < len(hung)
            else room
            for number, room in enumerate(rooms)
        ]

    def read(self, museum: str, room: int, number: int) -> tuple[bytes, str]:
        """Reads a picture.

        Returns:
            Its bytes and media type.

        Raises:
            FileNotFoundError: If there is no such picture, or it lies outside the
                folder, or is none that browsers show.
        """
        hung = self.rooms(museum)
        if not (0 <= room < len(hung) and 0 <= number < len(hung[room])):
            raise FileNotFoundError("no such picture")
        try:
            # Links may have changed since the list was read.
            path = self.path_of(hung[room][number].reference).resolve(strict=True)
        except (OSError, ValueError):
            raise FileNotFoundError("no such picture") from None
        if not path.is_relative_to(self.root) or not path.is_file():
            raise FileNotFoundError("no such picture")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        kind = media_type(content)
        if kind is None or len(content) > _MOST_BYTES:
            raise FileNotFoundError("no picture that browsers show")
        return content, kind


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


def _url(museum: str, room: int, number: int) -> str:
    place = {"museum": museum, "room": room, "number": number}
    return f"/api/picture?{urlencode(place)}"
