"""Reads Museums3k and the apartments, which both have two files per museum.

One holds the features of the views of all rooms, one those of the sentences. Splits are
index tensors into a list of names. Each museum is its own theme; no artworks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from hm3_jax.data.importers.common import ImportedSet, ModelFacts, refuse_duplicates
from hm3_jax.data.museum import SPLITS, MuseumRecord, RoomRecord
from hm3_jax.files.words import counted
from hm3_jax.interop.torch_files import load_tensors


@dataclasses.dataclass(frozen=True, slots=True)
class TensorFiles:
    """One museum's files.

    Attributes:
        name: The museum's id.
        views: File of a (views of all rooms, d) tensor.
        sentences: File of a (sentences, d) tensor.
    """

    name: str
    views: Path
    sentences: Path


def read_tensor_files(
    dataset_name: str,
    files: Sequence[TensorFiles],
    indices: Path,
    views_per_room: int | None,
    model: ModelFacts,
) -> ImportedSet:
    """Makes a data set of museums with two files each.

    Args:
        dataset_name: Name of the data set.
        files: The museums that `indices` refer to.
        indices: Pickled {split: tensor of indices}.
        views_per_room: Views of each room, or None where a museum is one room.
        model: Model of all features.

    Raises:
        FileNotFoundError: If `indices` or the first museum's file is missing.
        ValueError: If one of these does not hold what it should.
    """
    refuse_duplicates((file.name for file in files), f"{indices.parent}")
    splits = load_split_indices(indices, len(files))
    listed = [files[i] for column in splits.values() for i in column]
    if not listed:
        raise ValueError(f"{indices}: expected museums in the splits, found none")
    notes = []
    if len(listed) < len(files):
        notes.append(
            f"{counted(len(files) - len(listed), 'museum')} left out: in no split"
        )
    return ImportedSet(
        dataset_name=dataset_name,
        museums=_museums(files, splits, views_per_room),
        facts={
            "sentences": model.facts(load_matrix(listed[0].sentences).shape[1]),
            "views": model.facts(load_matrix(listed[0].views).shape[1]),
        },
        artworks={},
        origin={"source": dataset_name},
        notes=tuple(notes),
    )


def load_matrix(path: Path) -> np.ndarray:
    """Reads a file of one (rows, d) tensor.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else, or cannot be read safely.
    """
    matrix = load_tensors(path)
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2:
        found = getattr(matrix, "shape", type(matrix).__name__)
        raise ValueError(f"{path}: expected a tensor (rows, d), found {found}")
    return matrix


def load_split_indices(path: Path, count: int) -> dict[str, list[int]]:
    """Reads a pickled {split: tensor of indices}.

    Args:
        path: The file.
        count: Number of items that the indices refer to.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else, an unknown split, an index of no item,
            or an index twice.
    """
    indices = load_tensors(path)
    if not isinstance(indices, dict) or not set(indices) <= set(SPLITS):
        found = list(indices) if isinstance(indices, dict) else type(indices).__name__
        raise ValueError(
            f"{path}: expected indices for splits {', '.join(SPLITS)}, found {found}"
        )
    splits: dict[str, list[int]] = {}
    for split in (split for split in SPLITS if split in indices):
        column = np.asarray(indices[split])
        if column.ndim != 1 or column.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: split {split!r}: expected whole numbers, found "
                f"{column.dtype} of shape {column.shape}"
            )
        outside = column[(column < 0) | (column >= count)]
        if len(outside):
            raise ValueError(
                f"{path}: split {split!r}: expected indices below {count}, found "
                f"{outside[0]}"
            )
        splits[split] = column.tolist()
    refuse_duplicates(
        (f"index {i}" for column in splits.values() for i in column), f"{path}"
    )
    return splits


def _museums(
    files: Sequence[TensorFiles],
    splits: Mapping[str, Sequence[int]],
    views_per_room: int | None,
) -> Iterator[MuseumRecord]:
    for split, indices in splits.items():
        for file in (files[i] for i in indices):
            views = load_matrix(file.views)
            per_room = views_per_room or len(views)
            if len(views) == 0 or len(views) % per_room:
                raise ValueError(
                    f"{file.views}: museum {file.name!r}: expected {per_room} views "
                    f"for each room, found {len(views)} views in all"
                )
            sentences = load_matrix(file.sentences)
            if len(sentences) == 0:
                raise ValueError(
                    f"{file.sentences}: museum {file.name!r}: expected at least one "
                    "sentence, found none"
                )
            yield MuseumRecord(
                id=file.name,
                split=split,
                theme=file.name,
                sentences=sentences,
                rooms=tuple(
                    RoomRecord(views[first : first + per_room])
                    for first in range(0, len(views), per_room)
                ),
            )
