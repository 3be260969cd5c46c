"""The files of one generation of an index, put together from museums here and there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from hm3_jax.files.arrays import RowFile, map_array, owned_rows
from hm3_jax.files.errors import naming
from hm3_jax.files.facts import file_facts
from hm3_jax.files.lines import write_lines
from hm3_jax.retrieval.index_format import (
    MUSEUM_IDS,
    WORDS,
    Column,
    IndexFacts,
    IndexManifest,
)
from hm3_jax.retrieval.museums import KnownMuseums
from hm3_jax.retrieval.projection import project
from hm3_jax.retrieval.words import Told, write_words

# Museums that are copied at a time.
_CHUNK = 8192

Parts = Sequence[tuple[KnownMuseums, Int[np.ndarray, " _chosen"]]]
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
    first = parts[0][0]
    themes = tuple(sorted(set(_used_themes(parts))))
    columns = [(museums.columns, rows) for museums, rows in parts]
    size = first.vector_size
    counts = {"museums": total}
    for column in first.layout.columns:
        if column.name == "map":
            continue
        width = columns[0][0][column.name].shape[1:]
        with RowFile(folder / f"{column.name}.npy", column.dtype, width) as out:
            if column.name == "theme_index":
                for rows in _theme_index(parts, themes):
                    out.append(rows)
            elif column.bounds is not None:
                lengths = [np.diff(held[column.name])[rows] for held, rows in columns]
                out.append(np.cumsum(np.concatenate([[0], *lengths])))
            else:
                for rows in _chunks(column, columns):
                    out.append(rows)
        if column.bounds is None:
            counts[column.rows] = out.length
        if isinstance(column.width, str) and column.width != "size":
            counts[column.width] = width[0]
    written = {
        column.name: map_array(folder / f"{column.name}.npy")
        for column in first.layout.columns
        if column.name != "map"
    }
    ids = [museums.ids[int(row)] for museums, rows in parts for row in rows]
    whole = type(first).of_columns(ids, themes, written, facts.model)
    with RowFile(folder / "map.npy", "<f4", (2,)) as out:
        out.append(project(whole.overview(), whole.theme_index))
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
        format_version=first.layout.version,
    )


def _told(parts: Parts) -> Iterator[Told]:
    for museums, rows in parts:
        for row in rows:
            yield Told.of(museums.ids[int(row)], museums.detail(int(row)))


def _chunks(
    column: Column,
    parts: Sequence[tuple[Mapping[str, np.ndarray], Int[np.ndarray, " _chosen"]]],
) -> Iterator[np.ndarray]:
    """Rows of a column that belong to the museums meant, some at a time."""
    for held, museums in parts:
        for first in range(0, len(museums), _CHUNK):
            some = museums[first : first + _CHUNK]
            if column.offsets is not None:
                some = owned_rows(held[column.offsets], some)
            yield held[column.name][some]


def _theme_index(parts: Parts, themes: Sequence[str]) -> Iterator[np.ndarray]:
    """Numbers of the museums' themes among those that the index has."""
    for museums, rows in parts:
        new = [themes.index(t) if t in themes else -1 for t in museums.themes]
        yield np.array(new, np.int32)[museums.theme_index[rows]]


def _used_themes(parts: Parts) -> Iterator[str]:
    for museums, rows in parts:
        for number in np.unique(museums.theme_index[rows]):
            yield museums.themes[number]
