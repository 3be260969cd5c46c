"""The index on disk: names of its files and its manifest.

An index is a folder. `manifest.json` names the *generation*, the folder below it that
holds the files; a change writes the next generation and then replaces the manifest, so
a reader sees all of a change or nothing of it. The files of a generation are

| file | holds |
|---|---|
| `vectors.npy` | (museums, d) float32, unit vectors |
| `museum_ids.txt` | museum ids, one a line |
| `theme_index.npy` | (museums,) int32, index into the manifest's themes |
| `room_offsets.npy` | (museums + 1,) int64: rooms of museum i are [i]:[i + 1] |
| `rooms.npy` | (rooms, d) float16, the museum's unit vector without this room |
| `details.npy`, `details_offsets.npy` | JSON of each museum, UTF-8 bytes |
| `map.npy` | (museums, 2) float32, a place for each on a map of the collection |

`words.sqlite` (`retrieval.words`) where museums have descriptions,

and whatever else the builder gave it, such as the text tower.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.facts import FileFacts, check_inside
from hm3_jax.files.json_files import json_text, parse_json

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MUSEUM_IDS = "museum_ids.txt"
WORDS = "words.sqlite"
ARRAYS = (
    "vectors",
    "theme_index",
    "room_offsets",
    "rooms",
    "details",
    "details_offsets",
    "map",
)
"""Names of the arrays; each is in NAME.npy."""


@dataclasses.dataclass(frozen=True, slots=True)
class IndexFacts:
    """Where the vectors of an index came from (JSON values).

    Attributes:
        model: What decides a vector beside the features; museums are only added to an
            index of an equal one.
        encoder: What it takes to turn a text into features; likewise.
        origin: Whatever else is known about the museums first put in.
    """

    model: Mapping[str, Any]
    encoder: Mapping[str, Any]
    origin: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class IndexManifest:
    """What an index says about itself.

    Attributes:
        generation: Name of the folder with the files.
        size: Floats a vector.
        counts: Numbers of "museums", "rooms" and bytes of "details".
        themes: Theme names, sorted; `theme_index.npy` refers to them.
        facts: Where the vectors came from.
        files: Facts of each file of the generation.
        format_version: Version of this layout.
    """

    generation: str
    size: int
    counts: Mapping[str, int]
    themes: tuple[str, ...]
    facts: IndexFacts
    files: Mapping[str, FileFacts]
    format_version: int = FORMAT_VERSION

    @property
    def checksum(self) -> str:
        """SHA-256 of all that the manifest says, and so of all that is in the index."""
        return hashlib.sha256(json_text(dataclasses.asdict(self)).encode()).hexdigest()

    def to_json(self) -> str:
        """The manifest's text; it ends in a checksum of the rest."""
        return json_text({**dataclasses.asdict(self), "checksum": self.checksum})

    @classmethod
    def from_json(cls, text: str, path: Path) -> IndexManifest:
        """Reads `to_json`'s text.

        Args:
            text: The text.
            path: Where it came from, for messages.

        Raises:
            ValueError: If it is not a manifest, of a newer format, or was changed.
        """
        values = parse_json(text, path)
        version = values.get("format_version") if isinstance(values, dict) else None
        if not isinstance(version, int) or "generation" not in values:
            raise ValueError(
                f"{path}: expected the manifest of an index, found another file"
            )
        if version > FORMAT_VERSION:
            raise ValueError(
                f"{path}: expected format version {FORMAT_VERSION} or older, found "
                f"{version}: this index was written by a newer version of hm3_jax"
            )
        checksum = values.pop("checksum", None)
        try:
            values["themes"] = tuple(values["themes"])
            values["facts"] = IndexFacts(**values["facts"])
            values["files"] = {
                name: FileFacts(**facts) for name, facts in values["files"].items()
            }
            manifest = cls(**values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: expected the fields of format version {FORMAT_VERSION}, "
                f"found {error}"
            ) from None
        if manifest.checksum != checksum:
            raise ValueError(
                f"{path}: damaged: expected checksum {checksum}, found "
                f"{manifest.checksum}"
            )
        check_inside((manifest.generation, *manifest.files), path)
        return manifest
