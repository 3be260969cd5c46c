"""What has to be encoded: each distinct text, picture and video once.

A plan is a pure function of a museum list and of how texts are cut. It numbers the
distinct items of each kind in the order of their first use, and says which items make
up which museum. Sharding, interruptions and workers only change who encodes an item
and when.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hm3_jax.data.museum import rooms_of_sentences
from hm3_jax.data.museum_jsonl import MuseumFiles
from hm3_jax.data.raw_museum import RawMuseum
from hm3_jax.extraction.texts import Description, TextPiece, count_empty
from hm3_jax.files.input_kinds import ARTWORK_KINDS, INPUT_KINDS, artworks_of
from hm3_jax.files.json_files import parse_json

Pieces = Callable[[Description], list[TextPiece]]
"""Cuts a museum's description into the texts that get a feature each."""


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedRoom:
    """A room by its items.

    Attributes:
        views: Numbers of pictures.
        images: Names of images, see `Plan.artworks`.
        videos: Names of videos.
    """

    views: tuple[int, ...]
    images: tuple[str, ...]
    videos: tuple[str, ...]

    def hung(self, kind: str) -> tuple[str, ...]:
        """Names of the artworks of `kind`, one of `ARTWORK_KINDS`."""
        return artworks_of(self, kind)


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedMuseum:
    """A museum by its items.

    Attributes:
        id: Of the museum.
        split: Its split.
        theme: Its theme.
        texts: Numbers of its texts, in order.
        rooms: Its rooms, in order.
        text_rooms: Number of the room that each text is about, or `UNKNOWN_ROOM`;
            None where that is known of none.
    """

    id: str
    split: str
    theme: str
    texts: tuple[int, ...]
    rooms: tuple[PlannedRoom, ...]
    text_rooms: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """All items, and what they make up.

    Attributes:
        texts: Distinct pieces of text.
        pictures: Distinct picture files, relative to the input root.
        videos: Distinct video files, relative to the input root.
        artworks: For "images" and "videos", the number of the picture or video of
            each name. A name is an artwork's id, or a path where it has none; several
            names may share a file.
        museums: The museums, in the list's order.
        empty_sentences: Number of sentences that were left out because they say
            nothing.
    """

    texts: tuple[TextPiece, ...]
    pictures: tuple[str, ...]
    videos: tuple[str, ...]
    artworks: Mapping[str, Mapping[str, int]]
    museums: tuple[PlannedMuseum, ...]
    empty_sentences: int

    def items(self, kind: str) -> tuple[Any, ...]:
        """The items of `kind`, one of `hm3_jax.extraction.chunks.KINDS`."""
        kinds = {"texts": self.texts, "pictures": self.pictures, "videos": self.videos}
        return kinds[kind]

    def to_json(self) -> str:
        """The plan's text; there is one for a plan."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: bytes, where: Path) -> Plan:
        """Reads `to_json`'s text.

        Raises:
            ValueError: It is something else; the message names `where`.
        """
        values = parse_json(text, where)
        try:
            return cls._of(values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{where}: expected the plan of an extraction, found {error!r}"
            ) from None

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Plan:
        return cls(
            texts=tuple(TextPiece(**_tuples(piece)) for piece in values["texts"]),
            pictures=tuple(values["pictures"]),
            videos=tuple(values["videos"]),
            artworks=values["artworks"],
            museums=tuple(
                PlannedMuseum(
                    museum["id"],
                    museum["split"],
                    museum["theme"],
                    tuple(museum["texts"]),
                    tuple(PlannedRoom(**_tuples(room)) for room in museum["rooms"]),
                    # Plans of older versions say nothing about it.
                    tuple(about) if (about := museum.get("text_rooms")) else None,
                )
                for museum in values["museums"]
            ),
            empty_sentences=values["empty_sentences"],
        )


def make_plan(files: MuseumFiles, pieces: Pieces) -> Plan:
    """Plans the extraction of a museum list.

    Args:
        files: The list.
        pieces: How descriptions are cut.

    Raises:
        ValueError: A path leaves the input root; names the museum and the path.
    """
    planner = _Planner(files)
    museums = tuple(planner.museum(museum, pieces) for museum in files.museums)
    return Plan(
        texts=tuple(planner.texts),
        pictures=tuple(planner.pictures),
        videos=tuple(planner.videos),
        artworks=planner.artworks,
        museums=museums,
        empty_sentences=sum(count_empty(raw.description) for raw in files.museums),
    )


class _Planner:
    """Numbers items as museums name them."""

    def __init__(self, files: MuseumFiles):
        self.files = files
        self.texts: dict[TextPiece, int] = {}
        self.pictures: dict[str, int] = {}
        self.videos: dict[str, int] = {}
        self.artworks: dict[str, dict[str, int]] = {kind: {} for kind in ARTWORK_KINDS}

    def museum(self, museum: RawMuseum, pieces: Pieces) -> PlannedMuseum:
        try:
            cut = pieces(museum.description)
            return PlannedMuseum(
                museum.id,
                museum.split,
                museum.theme,
                tuple(self.texts.setdefault(piece, len(self.texts)) for piece in cut),
                tuple(
                    PlannedRoom(
                        tuple(self.file(view, self.pictures) for view in room.views),
                        *(
                            tuple(
                                self.hang(name, kind)
                                for name in artworks_of(room, kind)
                            )
                            for kind in ARTWORK_KINDS
                        ),
                    )
                    for room in museum.rooms
                ),
                _rooms_of(museum, cut, pieces),
            )
        except ValueError as error:
            raise ValueError(
                f"{self.files.source}: museum {museum.id!r}: {error}"
            ) from None

    def hang(self, reference: str, kind: str) -> str:
        """The name of an artwork; notes which item it is."""
        name = reference
        if reference not in self.files.artworks:
            name = os.path.normpath(reference)
            if name in self.files.artworks:
                name = f"./{name}"  # the id is another artwork's
        numbers = {"pictures": self.pictures, "videos": self.videos}
        items = numbers[INPUT_KINDS[kind].encoded_as]
        self.artworks[kind].setdefault(name, self.file(reference, items))
        return name

    def file(self, reference: str, numbers: dict[str, int]) -> int:
        name = self.files.path_of(reference).relative_to(self.files.root).as_posix()
        return numbers.setdefault(name, len(numbers))


def _rooms_of(
    museum: RawMuseum, cut: Sequence[TextPiece], pieces: Pieces
) -> tuple[int, ...] | None:
    """The room of each piece of a description; windows reach over several rooms."""
    parts = [part for part in museum.description if not isinstance(part, str)]
    if not parts or any(piece.tokens is not None for piece in cut):
        return None
    return rooms_of_sentences((len(pieces(p)) for p in parts), len(museum.rooms))


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields from JSON, with tuples for its lists."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.items()
    }
