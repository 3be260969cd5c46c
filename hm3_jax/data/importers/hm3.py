"""Imports feature sets in the layout of the published HM3 code.

A folder with `featureSets/NAME.json`, which names one pickle for each kind of
feature, and a museum list (`hm3_jax.data.importers.museum_list`) beside it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.data.importers.common import (
    UNSTATED,
    ImportedSet,
    ModelFacts,
    require_folder,
)
from hm3_jax.data.importers.museum_list import MuseumList
from hm3_jax.data.museum import ARTWORK_KINDS, ArtworkTable, MuseumRecord, RoomRecord
from hm3_jax.data.store_format import FeatureFacts
from hm3_jax.files.json_files import read_object
from hm3_jax.files.words import counted
from hm3_jax.interop.torch_files import load_tensors

VIDEO_POOLINGS = ("mean", "first_frame")

# Our kinds by the names of the published JSON.
_ENTRIES = {
    "sentences": "descriptions",
    "views": "povs",
    "images": "image_art",
    "videos": "video_art",
}

# Models and weights behind the names of the published extractors, in open_clip's
# naming: OpenAI's own CLIP takes the quick GELU.
_EXTRACTORS = {
    "OPEN_CLIP": ModelFacts("ViT-B-32", "laion2b_s34b_b79k"),
    "CLIP_VIT_BASE_32": ModelFacts("ViT-B-32-quickgelu", "openai"),
    "C4C_VIT_BASE_32": ModelFacts("ViT-B-32-quickgelu", "openai"),
}
_NO_EXTRACTOR = "NONE"

# The strategy whose features are windows over the text rather than sentences.
_WINDOWS = "BY_MAX_LENGTH"


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    """One kind of feature as the published JSON describes it."""

    path: Path
    extractor: str
    feature_size: int
    split_strategy: str | None

    def facts(self, model: ModelFacts, pooling: str | None = None) -> FeatureFacts:
        details: dict[str, Any] = {"extractor": self.extractor}
        if self.split_strategy is not None:
            details["split_strategy"] = self.split_strategy
        model = model.or_else(_EXTRACTORS.get(self.extractor, UNSTATED))
        return model.facts(self.feature_size, pooling=pooling, details=details)


def read_hm3(
    folder: Path,
    feature_set: str,
    museum_list: MuseumList,
    *,
    video_pooling: str = "mean",
    model: ModelFacts = UNSTATED,
) -> ImportedSet:
    """Reads a published feature set.

    A museum's theme is the last two `_`-separated fields of its id. Artworks that hang
    nowhere are left out, and so are museums of no split.

    Args:
        folder: The feature set's folder.
        feature_set: NAME of `featureSets/NAME.json`.
        museum_list: Splits, artworks by room and sentences.
        video_pooling: What to make of videos with a feature for each frame, "mean" or
            "first_frame".
        model: Model names that override the source's.

    Raises:
        FileNotFoundError: If the folder or a file that it should have is missing.
        ValueError: If a file does not hold what it should, or the feature set and the
            museum list do not fit each other. More is found while the museums are
            iterated and written; see `hm3_jax.data.store.write_store`.
    """
    require_folder(folder, "features")
    if video_pooling not in VIDEO_POOLINGS:
        raise ValueError(
            f"expected video_pooling {' or '.join(VIDEO_POOLINGS)}, found "
            f"{video_pooling!r}"
        )
    name = feature_set.removesuffix(".json")
    dataset_name, entries = _read_entries(folder, name)
    notes: list[str] = []
    artworks: dict[str, ArtworkTable] = {}
    facts = {kind: entries[kind].facts(model) for kind in ("sentences", "views")}
    for kind, hung in museum_list.hung.items():
        entry = entries.get(kind)
        if entry is None or entry.extractor == _NO_EXTRACTOR:
            notes.append(f"{kind} left out: the feature set has no features of them")
            continue
        table, pooling = _read_artworks(entry, hung, museum_list, video_pooling)
        artworks[kind] = table
        facts[kind] = entry.facts(model, pooling)
        if pooling is not None:
            notes.append(f"{kind}: features of frames pooled by {pooling}")

    sentences = _load_by_id(entries["sentences"].path)
    rooms = _load_by_id(entries["views"].path)
    _check_museums(museum_list, sentences, rooms, entries)
    listed = sum(map(len, museum_list.splits.values()))
    if len(rooms) > listed:
        notes.append(f"{counted(len(rooms) - listed, 'museum')} left out: in no split")
    texts, about = museum_list.sentences, museum_list.sentence_rooms
    if entries["sentences"].split_strategy == _WINDOWS:
        given = {"texts": texts is not None, "rooms": bool(about)}
        for what in (name for name, there in given.items() if there):
            notes.append(
                f"sentence {what} left out: the features are windows over the text"
            )
        texts, about = None, {}
    return ImportedSet(
        dataset_name=dataset_name,
        museums=_museums(museum_list, sentences, rooms, texts, about, tuple(artworks)),
        facts=facts,
        artworks=artworks,
        origin={"source": "hm3", "feature_set": name},
        notes=tuple(notes),
    )


def theme_of(museum: str) -> str:
    """The theme that a published museum id ends in.

    >>> theme_of("train00000_TYPE_Light-Luxury")
    'TYPE_Light-Luxury'
    """
    return "_".join(museum.split("_")[-2:])


def _read_entries(folder: Path, name: str) -> tuple[str, dict[str, _Entry]]:
    path = folder / "featureSets" / f"{name}.json"
    if not path.is_file():
        found = sorted(file.stem for file in path.parent.glob("*.json"))
        raise FileNotFoundError(
            f"{path}: expected a feature set, found none of this name, but "
            f"{', '.join(found) or 'no other'}"
        )
    values = read_object(path, strict=True)
    entries: dict[str, _Entry] = {}
    try:
        for kind, key in _ENTRIES.items():
            if kind in ARTWORK_KINDS and key not in values:
                continue
            entries[kind] = _Entry(
                path=folder / values[key]["data_fn"],
                extractor=str(values[key]["extractor"]),
                feature_size=int(values[key]["feature_size"]),
                split_strategy=values[key].get("split_strategy"),
            )
        return str(values["dataset_name"]), entries
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected dataset_name and for each kind data_fn, extractor and "
            f"feature_size, found a problem with {error}"
        ) from None


def _load_by_id(path: Path) -> dict[str, Any]:
    values = load_tensors(path)
    if isinstance(values, dict) and isinstance(values.get("features"), dict):
        values = values["features"]
    if not isinstance(values, dict):
        raise ValueError(
            f"{path}: expected features by id, found a {type(values).__name__}"
        )
    return values


def _read_artworks(
    entry: _Entry,
    hung: Mapping[str, Sequence[Sequence[str]]],
    museum_list: MuseumList,
    video_pooling: str,
) -> tuple[ArtworkTable, str | None]:
    """The artworks that hang somewhere, and how frames were pooled if any were."""
    features = _load_by_id(entry.path)
    used: dict[str, None] = {}
    for museum in itertools.chain(*museum_list.splits.values()):
        for artwork in itertools.chain(*hung.get(museum, ())):
            if artwork not in features:
                raise ValueError(
                    f"{museum_list.source}: museum {museum!r}: expected artworks that "
                    f"{entry.path} holds, found {artwork!r}"
                )
            used[artwork] = None
    pooled = False
    table = np.empty((len(used), entry.feature_size), np.float32)
    for row, artwork in enumerate(used):
        value = features[artwork]
        if not isinstance(value, np.ndarray) or value.shape[-1:] != table.shape[1:]:
            found = getattr(value, "shape", type(value).__name__)
            raise ValueError(
                f"{entry.path}: {artwork!r}: expected a feature of size "
                f"{entry.feature_size}, found {found}"
            )
        frames = value.reshape(-1, entry.feature_size).astype(np.float32)
        if len(frames) == 0:
            raise ValueError(
                f"{entry.path}: {artwork!r}: expected a feature, found none"
            )
        pooled |= len(frames) > 1
        table[row] = frames.mean(0) if video_pooling == "mean" else frames[0]
    return ArtworkTable(tuple(used), table), video_pooling if pooled else None


def _check_museums(
    museum_list: MuseumList,
    sentences: Mapping[str, Any],
    rooms: Mapping[str, Any],
    entries: Mapping[str, _Entry],
) -> None:
    """Raises ValueError unless every museum of a split is in both pickles."""
    for split, museums in museum_list.splits.items():
        for museum in museums:
            missing = [
                str(entries[kind].path)
                for kind, features in (("sentences", sentences), ("views", rooms))
                if museum not in features
            ]
            if missing:
                raise ValueError(
                    f"{museum_list.source}: split {split!r} names museum {museum!r}: "
                    f"expected it in {' and '.join(missing)}, found no such id there"
                )
            if museum.count("_") < 2:
                raise ValueError(
                    f"{museum_list.source}: expected ids whose last two of three or "
                    f"more '_'-separated fields name the theme, found {museum!r}"
                )


def _museums(
    museum_list: MuseumList,
    sentences: dict[str, Any],
    rooms: dict[str, Any],
    texts: Mapping[str, Sequence[str]] | None,
    about: Mapping[str, Sequence[int]],
    kinds: tuple[str, ...],
) -> Iterator[MuseumRecord]:
    """The records; takes the features out of the dicts to free them as it goes."""
    for split, museums in museum_list.splits.items():
        for museum in museums:
            here = f"{museum_list.source}: museum {museum!r}"
            views = rooms.pop(museum)
            if not isinstance(views, (list, tuple)):
                raise ValueError(
                    f"{here}: expected rooms as a list of tensors, found "
                    f"{type(views).__name__}"
                )
            hung = {
                kind: museum_list.hung[kind].get(museum, [()] * len(views))
                for kind in kinds
            }
            for kind, by_room in hung.items():
                if len(by_room) != len(views):
                    raise ValueError(
                        f"{here}: expected {kind} for each of {len(views)} rooms, "
                        f"found them for {len(by_room)}"
                    )
            if texts is not None and museum not in texts:
                raise ValueError(f"{here}: expected sentences, found none")
            if len(sentences[museum]) == 0:
                raise ValueError(
                    f"{here}, sentences: expected at least one row, found none"
                )
            yield MuseumRecord(
                id=museum,
                split=split,
                theme=theme_of(museum),
                sentences=sentences.pop(museum),
                rooms=tuple(
                    RoomRecord(
                        room,
                        **{kind: tuple(by_room[i]) for kind, by_room in hung.items()},
                    )
                    for i, room in enumerate(views)
                ),
                sentence_texts=None if texts is None else tuple(texts[museum]),
                sentence_rooms=tuple(about[museum]) if museum in about else None,
            )
