"""Museum records: what one museum consists of, and what makes it valid.

Importers, the extraction and the synthetic set all hand museums over in this form;
`hm3_jax.data.store.write_store` checks each record before it writes it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np
from jaxtyping import Float

from hm3_jax.files.input_kinds import ARTWORK_KINDS, artworks_of

SPLITS = ("train", "val", "test")

UNKNOWN_ROOM = -1
"""Stands for the room of a sentence that is about none, or nobody knows which."""

# Ids and themes are kept one per line in UTF-8, which lone surrogates do not have.
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# What Unicode says may be left out when drawn: two ids would look the same. Names for
# people take some of them, in Persian and Hebrew; the selectors U+FE00 to U+FE0F are in
# many an emoji, so ids take those too.
_NOT_IN_IDS = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


@dataclasses.dataclass(frozen=True, slots=True)
class RoomRecord:
    """One room of a museum.

    Attributes:
        views: (views, d) features of the room's screenshots, in order.
        images: Ids of the images hung in the room, in order.
        videos: Ids of the videos shown in the room, in order.
    """

    views: Float[np.ndarray, "views d"]
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()

    def hung(self, kind: str) -> tuple[str, ...]:
        """Ids of the artworks of `kind`, one of `ARTWORK_KINDS`."""
        return artworks_of(self, kind)


@dataclasses.dataclass(frozen=True, slots=True)
class MuseumRecord:
    """One museum with its description.

    Attributes:
        id: Unique name of the museum.
        split: One of `SPLITS`.
        theme: Name of the museum's theme (category).
        sentences: (sentences, d) features of the description's sentences, in order;
            none of a museum without a description, which is in no split of a store.
        rooms: The museum's rooms, in order.
        sentence_texts: The sentences themselves, one for each feature, or None.
        sentence_rooms: Number of the room that each sentence is about, from 0, or
            `UNKNOWN_ROOM`; None where that is known of no sentence.
    """

    id: str
    split: str
    theme: str
    sentences: Float[np.ndarray, "sentences d"]
    rooms: tuple[RoomRecord, ...]
    sentence_texts: tuple[str, ...] | None = None
    sentence_rooms: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ArtworkTable:
    """Images or videos, each once.

    Attributes:
        ids: Unique names of the artworks.
        features: (artworks, d) one feature per artwork.
    """

    ids: tuple[str, ...]
    features: Float[np.ndarray, "artworks d"]


def rooms_of_sentences(by_room: Iterable[int], rooms: int) -> tuple[int, ...] | None:
    """The room of each sentence of a description that is given by room.

    Args:
        by_room: Number of sentences in each part of the description.
        rooms: Number of the museum's rooms.

    Returns:
        Numbers of rooms; None unless there is one part for each room.

    >>> rooms_of_sentences([2, 0, 1], rooms=3)
    (0, 0, 2)
    """
    counts = list(by_room)
    if len(counts) != rooms:
        return None
    return tuple(room for room, count in enumerate(counts) for _ in range(count))


def check_features(features: np.ndarray, size: int | None, what: str) -> None:
    """Checks rows of features.

    Args:
        features: (rows, d) floats.
        size: The d that is expected, or None where any will do.
        what: What the rows are, for the message (path, museum, kind).

    Raises:
        ValueError: If `features` is not a matrix of finite floats, has no row, has
            another size, or has a row of zeros (which has no direction).
    """
    if not isinstance(features, np.ndarray):
        raise ValueError(
            f"{what}: expected a matrix of floats, found {type(features).__name__}"
        )
    if features.ndim != 2 or features.dtype.kind != "f":
        raise ValueError(
            f"{what}: expected a matrix of floats, found {features.dtype} of shape "
            f"{features.shape}"
        )
    if features.shape[0] == 0:
        raise ValueError(f"{what}: expected at least one row, found none")
    if size is not None and features.shape[1] != size:
        raise ValueError(
            f"{what}: expected features of size {size}, found {features.shape[1]}"
        )
    bad = bad_row(features)
    if bad is not None:
        raise ValueError(
            f"{what}: expected finite features with a direction, row {bad[0]} holds "
            f"{bad[1]}"
        )


def bad_row(features: np.ndarray) -> tuple[int, str] | None:
    """The first unusable row of a (rows, d) matrix and what it holds, or None."""
    # One reduction finds NaN, infinity and rows of zeros alike.
    peaks = np.abs(features).max(axis=1, initial=0)
    if np.isfinite(peaks).all() and peaks.all():
        return None
    row = int(np.flatnonzero(~np.isfinite(peaks) | (peaks == 0))[0])
    return row, "only zeros" if peaks[row] == 0 else "NaN or infinity"


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that has occurred before, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def check_name(name: object, what: str) -> None:
    """Raises ValueError unless `name` is a non-empty string on one line."""
    if not isinstance(name, str) or not name or _NOT_IN_NAMES.search(name):
        raise ValueError(
            f"{what}: expected a non-empty name without control characters, "
            f"found {name!r}"
        )


def check_id(name: object, what: str) -> None:
    """Raises ValueError unless `name` is a name without invisible characters."""
    check_name(name, what)
    if _NOT_IN_IDS.search(str(name)):
        raise ValueError(
            f"{what}: expected an id without invisible characters, found {name!r}"
        )


def check_table(
    table: ArtworkTable, size: int | None, kind: str, source: object
) -> None:
    """Checks a table of artworks.

    Args:
        table: The table.
        size: Expected feature size, or None.
        kind: "images" or "videos".
        source: Path that the table came from, for messages.

    Raises:
        ValueError: For an id that occurs twice, for features that `check_features`
            refuses, or for a number of ids that is not that of the features.
    """
    for artwork in table.ids:
        check_id(artwork, f"{source}: id among the {kind}")
    repeated = first_repeated(table.ids)
    if repeated is not None:
        raise ValueError(
            f"{source}: {kind}: expected every id once, found {repeated!r} twice"
        )
    if len(table.ids) != len(table.features):
        raise ValueError(
            f"{source}: {kind}: expected one feature for each of {len(table.ids)} "
            f"ids, found {len(table.features)}"
        )
    check_features(table.features, size, f"{source}: {kind}")


def check_museum(
    museum: MuseumRecord,
    sizes: Mapping[str, int],
    artworks: Mapping[str, Collection[str]],
    source: object,
) -> None:
    """Checks one museum; uniqueness among museums is the store writer's to check.

    Args:
        museum: The record.
        sizes: Expected feature size of "sentences" and "views".
        artworks: Known artwork ids of each kind; a missing kind knows none.
        source: Path that the museum came from, for messages.

    Raises:
        ValueError: For anything a store must not hold; the message names the source,
            the museum, what was expected and what was found.
    """
    check_id(museum.id, f"{source}: museum id")
    here = f"{source}: museum {museum.id!r}"
    if museum.split not in SPLITS:
        raise ValueError(
            f"{here}: expected a split of {', '.join(SPLITS)}, found {museum.split!r}"
        )
    check_name(museum.theme, f"{here}: theme")
    if np.shape(museum.sentences) != (0, sizes["sentences"]):
        check_features(museum.sentences, sizes["sentences"], f"{here}, sentences")
    texts = museum.sentence_texts
    if texts is not None and len(texts) != len(museum.sentences):
        raise ValueError(
            f"{here}: expected one text for each of {len(museum.sentences)} sentence "
            f"features, found {len(texts)}"
        )
    if not museum.rooms:
        raise ValueError(f"{here}: expected at least one room, found none")
    _check_sentence_rooms(museum, here)
    for number, room in enumerate(museum.rooms):
        check_features(room.views, sizes["views"], f"{here}, room {number}, views")
        for kind in ARTWORK_KINDS:
            known = artworks.get(kind, ())
            for artwork in room.hung(kind):
                if artwork not in known:
                    raise ValueError(
                        f"{here}, room {number}: expected a known id among the "
                        f"{kind}, found {artwork!r}"
                    )


def _check_sentence_rooms(museum: MuseumRecord, here: str) -> None:
    rooms = museum.sentence_rooms
    if rooms is None:
        return
    if len(rooms) != len(museum.sentences):
        raise ValueError(
            f"{here}: expected one room for each of {len(museum.sentences)} sentence "
            f"features, found {len(rooms)}"
        )
    for number, room in enumerate(rooms):
        if not UNKNOWN_ROOM <= room < len(museum.rooms):
            raise ValueError(
                f"{here}, sentence {number}: expected a room from 0 to "
                f"{len(museum.rooms) - 1}, or {UNKNOWN_ROOM} where it is not known, "
                f"found {room}"
            )
