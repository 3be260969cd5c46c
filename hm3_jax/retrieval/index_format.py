"""The index on disk: names of its files and its manifest.

An index is a folder. `manifest.json` names the *generation*, the folder below it that
holds the files; a change writes the next generation and then replaces the manifest, so
a reader sees all of a change or nothing of it. The files of a generation are

| file | contents |
|---|---|
| `museum_ids.txt` | museum ids, one per line |
| `theme_index.npy` | (museums,) int32, index into the manifest's themes |
| `details.npy`, `details_offsets.npy` | JSON of each museum, UTF-8 bytes |
| `map.npy` | (museums, 2) float32, a place for each on a map of the collection |

beside, for museums of one vector (format version 1),

| file | contents |
|---|---|
| `vectors.npy` | (museums, d) float32, unit vectors |
| `room_offsets.npy` | (museums + 1,) int64: rooms of museum i are [i]:[i + 1] |
| `rooms.npy` | (rooms, d) float16, the museum's unit vector without this room |

or, for museums of many (format version 2),

| file | contents |
|---|---|
| `items.npy` | (items, d) float16, unit vectors |
| `item_offsets.npy` | (museums + 1,) int64: items of museum i are [i]:[i + 1] |
| `item_rooms.npy` | (items,) int32, number of the item's room in its museum |
| `item_kinds.npy` | (items,) uint8, index into `files.input_kinds.ROOM_KINDS` |
| `item_places.npy` | (items,) int32, number among those of its kind in its room |
| `codes.npy` | (items, d) int8: an item is near its codes times its scale |
| `scales.npy` | (items,) float32 |
| `errors.npy` | (museums,) float32, how far an item is from that at most |
| `bias.npy` | (museums,) float32, added to every score of a museum |
| `vectors.npy` | (museums, g) float32, of each museum as a whole; g may be 0 |
| `log_themes.npy` | (museums, t) float32, log probability of each theme that the |
| | model knows; t may be 0 |

with `words.sqlite` (`retrieval.words`) where museums have descriptions,

and whatever else the builder gave it, such as the text tower.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.facts import FileFacts, check_inside
from hm3_jax.files.json_files import checksum_of, json_text, parse_json, sealed

MANIFEST = "manifest.json"
MUSEUM_IDS = "museum_ids.txt"
WORDS = "words.sqlite"


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """An array of an index, in NAME.npy.

    Attributes:
        name: Of the file, and in `KnownMuseums.columns`.
        dtype: NumPy's code for it.
        rows: What there is a row of: a name in the manifest's counts.
        width: Of a row: a name in the counts, "size", or a number; None for one number.
        offsets: Where each museum's rows are: the name of that column; None where there
            is one per museum.
        bounds: The rows whose places in the museums this column says, or None; it has
            one row more than there are museums.
        in_memory: Whether a server holds it there; else it reads what it needs.
    """

    name: str
    dtype: str
    rows: str = "museums"
    width: str | int | None = None
    offsets: str | None = None
    bounds: str | None = None
    in_memory: bool = True

    def shape(self, counts: Mapping[str, int], size: int) -> tuple[int, ...]:
        """Shape in an index of such counts; KeyError if one is missing."""
        length = counts[self.rows] + (self.bounds is not None)
        if self.width is None:
            return (length,)
        if isinstance(self.width, int):
            return (length, self.width)
        return (length, size if self.width == "size" else counts[self.width])


@dataclasses.dataclass(frozen=True, slots=True)
class IndexLayout:
    """What an index of one family of models holds.

    Attributes:
        version: Of the format.
        says: What it has of each museum, in words.
        columns: The arrays.
    """

    version: int
    says: str
    columns: tuple[Column, ...]


_THEME_INDEX = Column("theme_index", "<i4")
_DETAILS = (
    Column("details", "|u1", "details", offsets="details_offsets"),
    Column("details_offsets", "<i8", bounds="details"),
)
_MAP = Column("map", "<f4", width=2)

ONE_VECTOR = IndexLayout(
    1,
    "one vector for each museum",
    (
        Column("vectors", "<f4", width="size"),
        _THEME_INDEX,
        Column("room_offsets", "<i8", bounds="rooms"),
        Column("rooms", "<f2", "rooms", "size", offsets="room_offsets"),
        *_DETAILS,
        _MAP,
    ),
)
MANY_VECTORS = IndexLayout(
    2,
    "a vector for each item of a museum",
    (
        Column(
            "items", "<f2", "items", "size", offsets="item_offsets", in_memory=False
        ),
        Column("item_offsets", "<i8", bounds="items"),
        Column("item_rooms", "<i4", "items", offsets="item_offsets"),
        Column("item_kinds", "|u1", "items", offsets="item_offsets"),
        Column("item_places", "<i4", "items", offsets="item_offsets"),
        Column("codes", "|i1", "items", "size", offsets="item_offsets"),
        Column("scales", "<f4", "items", offsets="item_offsets"),
        Column("errors", "<f4"),
        Column("bias", "<f4"),
        Column("vectors", "<f4", width="vector"),
        Column("log_themes", "<f4", width="log_themes"),
        _THEME_INDEX,
        *_DETAILS,
        _MAP,
    ),
)
LAYOUTS = {layout.version: layout for layout in (ONE_VECTOR, MANY_VECTORS)}
"""By format version."""


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
        counts: Numbers of rows of columns, by `Column.rows`, and of numbers in a row
            where that is not `size`, by `Column.width`.
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
    format_version: int

    @property
    def layout(self) -> IndexLayout:
        """What the index holds."""
        return LAYOUTS[self.format_version]

    @property
    def query_files(self) -> list[str]:
        """Names of the files that the builder added, for embedding queries."""
        columns = (f"{column.name}.npy" for column in self.layout.columns)
        known = {MUSEUM_IDS, WORDS, *columns}
        return [name for name in self.files if name not in known]

    @property
    def head_files(self) -> list[str]:
        """Names of the files that a machine needs that searches by an engine."""
        words = [WORDS] if WORDS in self.files else []
        return [*self.query_files, *words]

    @property
    def checksum(self) -> str:
        """SHA-256 of all that the manifest says, and so of all that is in the index."""
        return checksum_of(dataclasses.asdict(self))

    def to_json(self) -> str:
        """The manifest's text; it ends in a checksum of the rest."""
        return json_text(sealed(dataclasses.asdict(self)))

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
        if version not in LAYOUTS:
            raise ValueError(
                f"{path}: expected format version {max(LAYOUTS)} or older, found "
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
                f"{path}: expected the fields of format version {version}, found "
                f"{error}"
            ) from None
        if manifest.checksum != checksum:
            raise ValueError(
                f"{path}: damaged: expected checksum {checksum}, found "
                f"{manifest.checksum}"
            )
        check_inside((manifest.generation, *manifest.files), path)
        return manifest
