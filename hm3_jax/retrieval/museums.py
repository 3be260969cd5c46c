"""Embedded museums, as an index holds them: what all have, and those of one vector.

`retrieval.item_museums` has those of many vectors.
"""

from __future__ import annotations

import abc
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Int, UInt8

from hm3_jax.files.json_files import parse_json
from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.objective.similarity import unit_vectors
from hm3_jax.retrieval.index_format import ONE_VECTOR, IndexLayout

# How far the length of a stored vector may be from 1.
_LENGTH_TOLERANCE = 1e-3
# Vectors whose lengths are checked at a time.
_CHUNK = 2**16


@dataclasses.dataclass(frozen=True, slots=True)
class Answering:
    """The item of a museum that answers a sentence best.

    Attributes:
        room: Number of its room in the museum.
        kind: What it is, of `files.input_kinds.ROOM_KINDS`.
        place: Its number among those of its kind in its room.
        cosine: Of the sentence and the item.
    """

    room: int
    kind: str
    place: int
    cosine: float


@dataclasses.dataclass(frozen=True, slots=True)
class Carried:
    """Why a museum matched a query.

    Attributes:
        sentences: What each sentence of the query adds to the score.
        rooms: By how much the score would be smaller without each of the museum's
            rooms; 0 for an only one.
        answering: For each sentence the item that answers it best; empty where a museum
            is one vector.
    """

    sentences: Sequence[float]
    rooms: Sequence[float]
    answering: Sequence[Answering] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class KnownMuseums(abc.ABC):
    """Embedded museums of any family, in memory or mapped from an index's files.

    Attributes:
        ids: Of the museums.
        themes: Theme names, sorted.
        theme_index: Of each museum, into `themes`.
        details: UTF-8 bytes of a JSON object for each museum.
        details_offsets: Museum i has bytes [i]:[i + 1].
    """

    ids: Sequence[str]
    themes: tuple[str, ...]
    theme_index: Int[np.ndarray, " museums"]
    details: UInt8[np.ndarray, " bytes"]
    details_offsets: Int[np.ndarray, " museums_plus_1"]

    layout: ClassVar[IndexLayout]

    def __len__(self) -> int:
        """Number of museums."""
        return len(self.theme_index)

    @property
    @abc.abstractmethod
    def vector_size(self) -> int:
        """Floats of the vectors that are compared."""

    @property
    @abc.abstractmethod
    def columns(self) -> dict[str, np.ndarray]:
        """All arrays, by the names that they have in `retrieval.index_format`."""

    @classmethod
    @abc.abstractmethod
    def of_columns(
        cls,
        ids: Sequence[str],
        themes: tuple[str, ...],
        columns: Mapping[str, np.ndarray],
        model: Mapping[str, Any],
    ) -> Self:
        """Joins what `columns` took apart.

        Args:
            ids: Of the museums.
            themes: Theme names, sorted.
            columns: The arrays.
            model: What the index says about the model that made them.
        """

    def reading_from(self, folder: Path) -> Self:
        """The same, reading from the index's files what no search holds in memory."""
        del folder
        return self

    @abc.abstractmethod
    def overview(self) -> Float[np.ndarray, "museums d"]:
        """One vector for each, for a map; float32."""

    @abc.abstractmethod
    def query_like(self, row: int) -> QueryVectors:
        """A query that asks for museums like this one."""

    @abc.abstractmethod
    def carried(
        self,
        query: QueryVectors,
        without: Float[np.ndarray, "sentences d"] | None,
        row: int,
        score: float,
    ) -> Carried:
        """Why a museum matched a query.

        Args:
            query: Embedded.
            without: `query.vector` of the query without each of its sentences; None
                where there is one only, or sentences have vectors of their own.
            row: Of the museum.
            score: Of the two.
        """

    @abc.abstractmethod
    def score(self, query: QueryVectors, theme_weight: float | None, row: int) -> float:
        """Score of a query and a museum, as a search finds it.

        Args:
            query: Embedded.
            theme_weight: As for `Search.search`.
            row: Of the museum.
        """

    @property
    def default_theme_weight(self) -> float | None:
        """What counts where a query has no weight of themes; None where none can."""
        return None

    @abc.abstractmethod
    def check_vectors(self, where: str) -> None:
        """Checks all vectors; raises as `check`."""

    def detail(self, row: int) -> dict[str, Any]:
        """What is known about one museum to show it (JSON values).

        Raises:
            RuntimeError: If it cannot be read, because the index's file is damaged.
        """
        first, last = self.details_offsets[row : row + 2]
        try:
            return parse_json(self.details[first:last].tobytes(), "JSON")
        except ValueError as error:
            # Not a ValueError, which would blame whoever asked.
            raise RuntimeError(
                f"details of museum {self.ids[row]!r}: damaged: {error}; "
                "build_index --verify checks the whole index"
            ) from None

    def check(self, where: str) -> None:
        """Checks what everything else relies on.

        Args:
            where: What messages call the museums.

        Raises:
            ValueError: If an id occurs twice or cannot be written in a line, or a
                vector is not finite or not of length 1; the message names the museum.
        """
        seen: set[str] = set()
        for name in self.ids:
            if name in seen:
                raise ValueError(
                    f"{where}: expected each id once, found {name!r} twice"
                )
            if not name or "\n" in name:
                raise ValueError(f"{where}: expected an id of one line, found {name!r}")
            seen.add(name)
        self.check_vectors(where)


@dataclasses.dataclass(frozen=True, eq=False)
class Museums(KnownMuseums):
    """Museums of one vector each.

    Attributes:
        vectors: Of each museum, of length 1.
        room_offsets: Museum i has rooms [i]:[i + 1].
        rooms: For each room, the unit vector that its museum would have without it;
            the museum's own where it is the only one.
    """

    vectors: Float[np.ndarray, "museums d"]
    room_offsets: Int[np.ndarray, " museums_plus_1"]
    rooms: Float[np.ndarray, "rooms d"]

    layout = ONE_VECTOR

    @property
    def vector_size(self) -> int:
        """See `KnownMuseums`."""
        return self.vectors.shape[1]

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """See `KnownMuseums`."""
        names = [field.name for field in dataclasses.fields(self)]
        return {
            name: getattr(self, name) for name in names if name not in ("ids", "themes")
        }

    @classmethod
    def of_columns(
        cls,
        ids: Sequence[str],
        themes: tuple[str, ...],
        columns: Mapping[str, np.ndarray],
        model: Mapping[str, Any],
    ) -> Museums:
        """See `KnownMuseums`."""
        del model
        return cls(ids=ids, themes=themes, **columns)

    def rooms_of(self, row: int) -> Float[np.ndarray, "rooms d"]:
        """For each room of one museum, the museum's unit vector without it; float32."""
        first, last = self.room_offsets[row : row + 2]
        return np.asarray(self.rooms[first:last], np.float32)

    def overview(self) -> Float[np.ndarray, "museums d"]:
        """See `KnownMuseums`."""
        return self.vectors

    def query_like(self, row: int) -> QueryVectors:
        """See `KnownMuseums`."""
        return whole_query(self.vectors[row])

    def carried(
        self,
        query: QueryVectors,
        without: Float[np.ndarray, "sentences d"] | None,
        row: int,
        score: float,
    ) -> Carried:
        """See `KnownMuseums`."""
        rooms = score - self.rooms_of(row) @ query.vector
        if without is None:
            return Carried([score], rooms.tolist())
        return Carried((score - without @ self.vectors[row]).tolist(), rooms.tolist())

    def score(self, query: QueryVectors, theme_weight: float | None, row: int) -> float:
        """See `KnownMuseums`."""
        del theme_weight
        vectors = np.stack([self.vectors[row], query.vector]).astype(np.float64)
        museum, asked = unit_vectors(vectors)
        return float(museum @ asked)

    def check_vectors(self, where: str) -> None:
        """See `KnownMuseums`."""
        row = first_wrong_length(self.vectors)
        if row is not None:
            raise ValueError(
                f"{where}: expected vectors of length 1, found "
                f"{np.linalg.norm(self.vectors[row]):.6g} for museum {self.ids[row]!r}"
            )


def of_one_vector(museums: KnownMuseums, where: str) -> Museums:
    """Museums that are to have one vector each.

    Args:
        museums: Of any family.
        where: What messages call them.

    Raises:
        ValueError: If they have many.
    """
    if not isinstance(museums, Museums):
        raise ValueError(
            f"{where}: expected {ONE_VECTOR.says}, found {museums.layout.says}"
        )
    return museums


def whole_query(vector: Float[np.ndarray, " d"]) -> QueryVectors:
    """The query of a model that has one vector for all that was typed."""
    nothing = np.empty(0, np.float32)
    return QueryVectors(np.empty((0, 0), np.float32), nothing, vector, nothing)


def first_wrong_length(vectors: Float[np.ndarray, "rows d"]) -> int | None:
    """The first row that is not finite, or not of length 1; None if all are."""
    for first in range(0, len(vectors), _CHUNK):
        rows = np.asarray(vectors[first : first + _CHUNK], np.float32)
        lengths = np.sqrt(np.einsum("rd,rd->r", rows, rows))
        wrong = ~(np.abs(lengths - 1) < _LENGTH_TOLERANCE)
        if wrong.any():
            return first + int(wrong.argmax())
    return None


def pack_details(
    details: Sequence[Mapping[str, Any]],
) -> tuple[UInt8[np.ndarray, " bytes"], Int[np.ndarray, " museums_plus_1"]]:
    """`Museums.details` and `details_offsets` of JSON objects."""
    texts = [
        json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
        for values in details
    ]
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), offsets
