"""An index in memory: what a server answers from, whatever happens to the files."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from numpy.lib import format as npy

from hm3_jax.files.facts import FileFacts
from hm3_jax.retrieval.index import Index, IndexHead, check_file
from hm3_jax.retrieval.index_format import WORDS
from hm3_jax.retrieval.words import Words

# More than the header of any array here.
_HEADER_BYTES = 4096
_Head = TypeVar("_Head", bound=IndexHead)


def load_index(index: Index) -> Index:
    """A copy of an index that is not mapped from its files.

    A mapped file that is cut short ends the process that reads it, and one that is
    written over gives other answers. Columns that are not held in memory are compared
    with their checksums now, and read later.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If the bytes that were read are not those of the manifest.
    """
    folder = index.path / index.manifest.generation
    files = index.manifest.files
    held, museums = dict(index.museums.columns), index.museums
    for column in index.manifest.layout.columns:
        file = folder / f"{column.name}.npy"
        if column.in_memory:
            held[column.name] = _load(file, files[file.name])
        else:
            check_file(file, files[file.name])
    places = held.pop("map")
    loaded = museums.of_columns(
        museums.ids, museums.themes, held, index.manifest.facts.model
    )
    return dataclasses.replace(
        load_words(index), museums=loaded.reading_from(folder), map=places
    )


def load_words(head: _Head) -> _Head:
    """The same with its words in memory; raises as `load_index`."""
    if head.words is None:
        return head
    file = head.path / head.manifest.generation / WORDS
    content = _read(file, head.manifest.files[WORDS])
    return dataclasses.replace(head, words=Words.of_bytes(content.data))


def _load(file: Path, facts: FileFacts) -> np.ndarray:
    """A .npy file's array, read-only."""
    content = _read(file, facts)
    header = io.BytesIO(content[:_HEADER_BYTES].tobytes())
    npy.read_magic(header)
    shape, _, dtype = npy.read_array_header_1_0(header)
    array = content[header.tell() :].view(dtype).reshape(shape)
    array.flags.writeable = False
    return array


def _read(file: Path, facts: FileFacts) -> UInt8[np.ndarray, " bytes"]:
    """A file's bytes, which were compared."""
    content = np.fromfile(file, np.uint8)
    found = hashlib.sha256(content.data).hexdigest()
    if found != facts.sha256:
        raise ValueError(
            f"{file}: damaged: expected SHA-256 {facts.sha256}, found {found}"
        )
    return content
