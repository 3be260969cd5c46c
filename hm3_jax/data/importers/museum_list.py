"""Which museum is in which split, and which artworks hang in which room.

The published feature sets leave this to the data set's own repository. It is read
either from a `museums.json`, or from that repository's `utils.py`, which is code.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hm3_jax.data.importers.common import refuse_duplicates
from hm3_jax.data.importers.museum_package import MuseumPackage, Rooms
from hm3_jax.data.museum import ARTWORK_KINDS, SPLITS, rooms_of_sentences
from hm3_jax.files.json_files import read_object

_ROOMS = "sentence_rooms"


@dataclasses.dataclass(frozen=True, slots=True)
class MuseumList:
    """Splits, artworks by room and sentences of a set of museums.

    Attributes:
        source: The file or folder it came from.
        splits: Museum ids of each split, in published order.
        hung: For "images" and "videos", artwork ids by room of each museum; a kind
            that the data set does not have is left out.
        sentences: Sentences of each museum, or None.
        sentence_rooms: Room of each sentence, as a `MuseumRecord` has them, of the
            museums where they are known.
    """

    source: Path
    splits: Mapping[str, Sequence[str]]
    hung: Mapping[str, Mapping[str, Rooms]]
    sentences: Mapping[str, Sequence[str]] | None
    sentence_rooms: Mapping[str, Sequence[int]] = dataclasses.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown split, no museum, or one named twice."""
        if not self.splits or not set(self.splits) <= set(SPLITS):
            raise ValueError(
                f"{self.source}: expected splits of {', '.join(SPLITS)}, found "
                f"{', '.join(self.splits) or 'none'}"
            )
        refuse_duplicates(
            (museum for ids in self.splits.values() for museum in ids),
            f"{self.source}: splits",
        )


def read_museum_json(path: Path) -> MuseumList:
    """Reads `museums.json`.

    Args:
        path: A file `{"splits": {split: [id]}, "videos": {id: [[video id] by room]},
            "images": {same, optional}, "sentences": {id: [text]} (optional),
            "sentence_rooms": {id: [room of each sentence, from 0; -1 if not known]}
            (optional)}`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is anything else.
    """
    values = read_object(path, strict=True)
    unknown = set(values) - {"splits", "sentences", _ROOMS, *ARTWORK_KINDS}
    if unknown or "splits" not in values:
        raise ValueError(
            f"{path}: expected the keys splits, videos, images, sentences, {_ROOMS}, "
            f"found {', '.join(values)}"
        )
    for key, column in values.items():
        depth = 2 if key in ARTWORK_KINDS else 1
        of, name = (int, "whole numbers") if key == _ROOMS else (str, "strings")
        if not isinstance(column, dict) or not all(
            _is_nested(item, depth, of) for item in column.values()
        ):
            raise ValueError(
                f"{path}: {key}: expected an object of {'lists of ' * depth}{name}"
            )
    return MuseumList(
        source=path,
        splits={name: values["splits"][name] for name in _by_order(values["splits"])},
        hung={
            kind: values[kind]
            for kind in ARTWORK_KINDS
            if _any_hung(values.get(kind, {}))
        },
        sentences=values.get("sentences"),
        sentence_rooms=values.get(_ROOMS, {}),
    )


def read_museum_package(folder: Path) -> MuseumList:
    """Asks a data set's own `utils.py`. This runs its code.

    Args:
        folder: A folder whose `utils.py` offers, as functions or as methods of its
            only such class, `getMuseumList(split)`, `getMuseumArtWorksPerRoom(id)`
            and possibly `loadDesc()` with `flattenDescriptionList(nested)`.

    Raises:
        FileNotFoundError: If there is no `utils.py` in the folder.
        ValueError: If it does not offer these, fails, or answers with other things.
    """
    package = MuseumPackage(folder)
    splits = {split: package.museums(split) for split in SPLITS}
    hung: dict[str, dict[str, Rooms]] = {kind: {} for kind in ARTWORK_KINDS}
    for museum in (museum for ids in splits.values() for museum in ids):
        for kind, rooms in package.artworks_by_room(museum).items():
            hung[kind][museum] = rooms
    sentences, sentence_rooms = None, {}
    if package.has_descriptions():
        descriptions = package.descriptions()
        sentences = {museum: texts for museum, (texts, _) in descriptions.items()}
        for museum, (texts, by_room) in descriptions.items():
            # In another order, or without some, nobody knows which is whose.
            if by_room and texts == list(itertools.chain(*by_room)):
                rooms = len(next(iter(hung.values())).get(museum, ()))
                about = rooms_of_sentences(map(len, by_room), rooms)
                if about is not None:
                    sentence_rooms[museum] = about
    return MuseumList(
        source=package.file,
        splits={split: ids for split, ids in splits.items() if ids},
        hung={kind: by_id for kind, by_id in hung.items() if _any_hung(by_id)},
        sentences=sentences,
        sentence_rooms=sentence_rooms,
    )


def _any_hung(by_id: Mapping[str, Rooms]) -> bool:
    return any(room for rooms in by_id.values() for room in rooms)


def _by_order(splits: Mapping[str, Any]) -> list[str]:
    """The known splits in their order, then any unknown one."""
    return sorted(splits, key=lambda name: (*SPLITS, name).index(name))


def _is_nested(value: object, depth: int, of: type) -> bool:
    """Whether `value` is a list of lists ... of `of`, `depth` lists deep."""
    if depth == 0:
        return type(value) is of
    return isinstance(value, list) and all(
        _is_nested(item, depth - 1, of) for item in value
    )
