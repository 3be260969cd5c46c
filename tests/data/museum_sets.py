"""Small museum sets for the tests of the data rooms."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.data.museum import ArtworkTable, MuseumRecord, RoomRecord
from hm3_jax.data.store import FeatureFacts, Manifest, write_store

SIZES = {"sentences": 6, "views": 4, "images": 3, "videos": 5}


def rows(rng: np.random.Generator, count: int | np.integer, size: int) -> np.ndarray:
    return rng.standard_normal((count, size)).astype(np.float32)


def artwork_tables(seed: int = 1) -> dict[str, ArtworkTable]:
    rng = np.random.default_rng(seed)
    return {
        kind: ArtworkTable(
            tuple(f"{kind}-{i}" for i in range(count)), rows(rng, count, SIZES[kind])
        )
        for kind, count in (("images", 7), ("videos", 4))
    }


def museums(count: int = 9, seed: int = 0) -> list[MuseumRecord]:
    """Museums of 1 to 4 rooms of 1 to 3 views, some without images or videos.

    Of every third museum, the first too, nobody knows which sentence is about which
    room; of the others it is known of some sentences.
    """
    rng = np.random.default_rng(seed)
    tables = artwork_tables()

    def some_of(kind: str) -> tuple[str, ...]:
        return tuple(rng.choice(tables[kind].ids, size=rng.integers(3)).tolist())

    records = []
    for i in range(count):
        sentences = rows(rng, rng.integers(1, 6), SIZES["sentences"])
        rooms = tuple(
            RoomRecord(
                rows(rng, rng.integers(1, 4), SIZES["views"]),
                images=some_of("images"),
                videos=some_of("videos"),
            )
            for _ in range(rng.integers(1, 5))
        )
        about = tuple((i + k) % (len(rooms) + 1) - 1 for k in range(len(sentences)))
        records.append(
            MuseumRecord(
                id=f"museum-{i}",
                split=("train", "test", "val")[i % 3],
                theme=("portrait", "genre", "still-life", "marine")[i % 4],
                sentences=sentences,
                rooms=rooms,
                sentence_texts=tuple(
                    f"Sentence {k} of museum {i}: caffè 展覽"
                    for k in range(len(sentences))
                ),
                sentence_rooms=about if i % 3 else None,
            )
        )
    return records


def facts(kinds: tuple[str, ...] = tuple(SIZES)) -> dict[str, FeatureFacts]:
    return {
        kind: FeatureFacts(SIZES[kind], model="model", weights="weights")
        for kind in kinds
    }


def write(path: Path, records: Any = None, **changes: Any) -> Manifest:
    """Writes `museums()`, or other records, with artworks unless told otherwise."""
    arguments: dict[str, Any] = {
        "dataset_name": "small",
        "facts": facts(),
        "artworks": artwork_tables(),
        **changes,
    }
    return write_store(path, museums() if records is None else records, **arguments)


def with_first(**changes: Any) -> list[MuseumRecord]:
    """`museums()` with other values in the first one."""
    first, *others = museums()
    return [dataclasses.replace(first, **changes), *others]


def contents(folder: Path) -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}
