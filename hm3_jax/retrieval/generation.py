"""The files of one generation of an index, put together from museums here and there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from hm3_jax.files.arrays import RowFile, owned_rows
from hm3_jax.files.errors import naming
from hm3_jax.files.facts import file_facts
from hm3_jax.files.lines import write_lines
from hm3_jax.retrieval.index_format import MUSEUM_IDS, WORDS, IndexFacts, IndexManifest
from hm3_jax.retrieval.museums import Museums
from hm3_jax.retrieval.projection import project
from hm3_jax.retrieval.words import Told, write_words

# Museums that are copied at a time.
_CHUNK = 8192

Parts = Sequence[tuple[Museums, Int[np.ndarray, " _chosen"]]]
"""Museums, and the rows of those of them that are meant."""


def write_generation(
    folder: Path,
    name: str,
    parts: Parts,
    facts: IndexFacts,
    files: Mapping[str, bytes],
) -> IndexManifest:
    """Writes the files of a generation.

    Args:
        folder: Empty folder to write into.
        name: What the manifest is to call the generation.
        parts: Which museums, one part after the other.
        facts: Where the vectors came from.
        files: Small files to keep with them, by name.

    Returns:
        The manifest, which is not written.

    Raises:
        ValueError: If there is no museum.
    """
    total = sum(len(rows) for _, rows in parts)
    if total == 0:
        raise ValueError("expected museums for the index, found none")
    size = parts[0][0].vectors.shape[1]
    themes = tuple(sorted(set(_used_themes(parts))))

    def column(
        file: str,
        dtype: str,
        shape: tuple[int, ...],
        of: Callable[[Museums, np.ndarray], np.ndarray],
    ) -> int:
        with RowFile(folder / f"{file}.npy", dtype, shape) as out:
            for museums, rows in parts:
                for first in range(0, len(rows), _CHUNK):
                    out.append(of(museums, rows[first : first + _CHUNK]))
        return out.length

    def offsets(file: str, name: str) -> None:
        lengths = [np.diff(getattr(museums, name))[rows] for museums, rows in parts]
        ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
        with RowFile(folder / f"{file}.npy", "<i8", ()) as out:
            out.append(ends)

    def themes_of(museums: Museums, rows: np.ndarray) -> np.ndarray:
        new = [themes.index(t) if t in themes else -1 for t in museums.themes]
        return np.array(new, np.int32)[museums.theme_index[rows]]

    column("vectors", "<f4", (size,), lambda museums, rows: museums.vectors[rows])
    column("theme_index", "<i4", (), themes_of)
    offsets("room_offsets", "room_offsets")
    offsets("details_offsets", "details_offsets")
    counts = {
        "museums": total,
        "rooms": column(
            "rooms",
            "<f2",
            (size,),
            lambda m, rows: m.rooms[owned_rows(m.room_offsets, rows)],
        ),
        "details": column(
            "details",
            "|u1",
            (),
            lambda m, rows: m.details[owned_rows(m.details_offsets, rows)],
        ),
    }
    vectors, theme_index = (
        np.load(folder / f"{file}.npy", mmap_mode="r")
        for file in ("vectors", "theme_index")
    )
    with RowFile(folder / "map.npy", "<f4", (2,)) as out:
        out.append(project(vectors, theme_index))
    ids = (museums.ids[int(row)] for museums, rows in parts for row in rows)
    write_lines(folder / MUSEUM_IDS, ids)
    write_words(folder / WORDS, _told(parts))
    for file, content in files.items():
        with naming(folder / file):
            (folder / file).write_bytes(content)
    return IndexManifest(
        generation=name,
        size=size,
        counts=counts,
        themes=themes,
        facts=facts,
        files={file.name: file_facts(file) for file in sorted(folder.iterdir())},
    )


def _told(parts: Parts) -> Iterator[Told]:
    for museums, rows in parts:
        for row in rows:
            yield Told.of(museums.ids[row], museums.detail(int(row)))


def _used_themes(parts: Parts) -> Iterator[str]:
    for museums, rows in parts:
        for number in np.unique(museums.theme_index[rows]):
            yield museums.themes[number]
