"""The feature store on disk: names of its files and its manifest.

A store is a folder. `manifest.json` says what is in it; the other files are

| file | contents |
|---|---|
| `museum_ids.txt` | museum ids, one per line |
| `theme_index.npy` | (museums,) int32, index into the manifest's themes |
| `split_NAME.npy` | (museums in the split,) int64 museum indices, in published order |
| `room_offsets.npy` | (museums + 1,) int64: rooms of museum i are [i]:[i + 1] |
| `sentences.npy`, `sentences_offsets.npy` | features by museum |
| `sentence_texts.npy`, `sentence_texts_offsets.npy` | UTF-8 bytes by sentence |
| `sentence_rooms.npy` | (sentences,) int32, room in its museum, or -1 (optional) |
| `views.npy`, `views_offsets.npy` | features by room |
| `images.npy`, `image_ids.txt` | each image once: feature, id (videos likewise) |
| `images_hung.npy`, `images_hung_offsets.npy` | int32 rows of `images.npy` by room |
| `extraction_report.json` | what `extract` left out, and why (optional) |
| `extraction_plan.json` | which files the features are of, to add to them (optional) |

Museums without sentences are in no split.

A ragged column is `values` beside `offsets` (int64, one more than there are owners):
the values of owner i are `values[offsets[i]:offsets[i + 1]]`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.facts import FileFacts, check_inside
from hm3_jax.files.json_files import checksum_of, json_text, parse_json

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MUSEUM_IDS = "museum_ids.txt"
DTYPES = ("float16", "float32")
ATTACHMENTS = ("extraction_report.json", "extraction_plan.json")
"""Files that a store may have besides, for people and for `extract` itself."""


def artwork_ids_name(kind: str) -> str:
    """File of the ids of `kind` ("images" or "videos")."""
    return f"{kind[:-1]}_ids.txt"


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureFacts:
    """Where one kind of feature came from; None where the source does not say.

    Attributes:
        feature_size: Size of a feature.
        model: Architecture, in open_clip's naming where it has a name for it.
        weights: Name of the pretrained weights.
        preprocessing: What was done to the input before the model saw it.
        pooling: How several outputs became one feature.
        details: Whatever else it takes to compute the same features (JSON values).
    """

    feature_size: int
    model: str | None = None
    weights: str | None = None
    preprocessing: str | None = None
    pooling: str | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What a store says about itself.

    Attributes:
        dataset_name: Name of the data set.
        kind: "real", or "synthetic" if they were generated.
        dtype: "float16" or "float32", of all features.
        splits: Number of museums of each split; those without a description are in
            none.
        themes: Theme names, sorted; `theme_index.npy` refers to them.
        counts: Numbers of museums, rooms, sentences, views, and for each kind of
            artwork of artworks ("images") and of places they hang ("images_hung");
            and of bytes of sentence texts, and of sentences whose room is known, where
            the store has them.
        features: Facts for each kind of feature in the store.
        origin: How the store was made (JSON values).
        files: Facts of each file but the manifest itself.
        format_version: Version of this layout.
        xxh3: Fast checksum of each file; empty where an earlier version wrote the
            store. Being of the same bytes as `files`, they are no part of what the
            manifest says.
    """

    dataset_name: str
    kind: str
    dtype: str
    splits: Mapping[str, int]
    themes: tuple[str, ...]
    counts: Mapping[str, int]
    features: Mapping[str, FeatureFacts]
    origin: Mapping[str, Any]
    files: Mapping[str, FileFacts]
    format_version: int = FORMAT_VERSION
    xxh3: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """The manifest's text.

        It ends in checksums of the rest, and there is one text for a manifest, so a
        file that differs anywhere from the text of what it says has been changed.
        """
        values = {**self._said, "checksum": self.checksum}
        if self.xxh3:
            values |= {"xxh3": self.xxh3, "xxh3_checksum": checksum_of(self.xxh3)}
        return json_text(values)

    @property
    def checksum(self) -> str:
        """SHA-256 of all that the manifest says, and so of all that is in the store."""
        return checksum_of(self._said)

    @property
    def _said(self) -> dict[str, Any]:
        said = dataclasses.asdict(self)
        del said["xxh3"]
        return said

    @classmethod
    def from_json(cls, text: str, path: Path) -> Manifest:
        """Reads `to_json`'s text.

        Args:
            text: The text.
            path: Where it came from, for messages.

        Raises:
            ValueError: If `text` is not a manifest, one of a newer format, or not as
                it was written.
        """
        values = parse_json(text, path)
        version = values.get("format_version") if isinstance(values, dict) else None
        if not isinstance(version, int):
            raise ValueError(
                f"{path}: expected a store's manifest with a format_version, found none"
            )
        if version > FORMAT_VERSION:
            raise ValueError(
                f"{path}: expected format version {FORMAT_VERSION} or older, found "
                f"{version}: this store was written by a newer version of hm3_jax"
            )
        checksums = [values.pop(name, None) for name in ("checksum", "xxh3_checksum")]
        try:
            values["themes"] = tuple(values["themes"])
            values["features"] = {
                kind: FeatureFacts(**facts)
                for kind, facts in values["features"].items()
            }
            values["files"] = {
                name: FileFacts(**facts) for name, facts in values["files"].items()
            }
            manifest = cls(**values)
            of_files = checksum_of(manifest.xxh3) if manifest.xxh3 else None
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: expected the fields of format version {FORMAT_VERSION}, "
                f"found {error}"
            ) from None
        if checksums != [manifest.checksum, of_files]:
            raise ValueError(f"{path}: damaged or edited: differs from its checksum")
        check_inside(manifest.files, path)
        return manifest
