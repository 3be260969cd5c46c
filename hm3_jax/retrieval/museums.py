"""Embedded museums, as an index holds them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from hm3_jax.files.json_files import parse_json

# How far the length of a stored vector may be from 1.
_LENGTH_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Museums:
    """Embedded museums, in memory or mapped from an index's files.

    Attributes:
        ids: Of the museums.
        themes: Theme names, sorted.
        theme_index: Of each museum, into `themes`.
        vectors: Of each museum, of length 1.
        room_offsets: Museum i has rooms [i]:[i + 1].
        rooms: For each room, the unit vector that its museum would have without it;
            the museum's own where it is the only one.
        details: UTF-8 bytes of a JSON object for each museum.
        details_offsets: Museum i has bytes [i]:[i + 1].
    """

    ids: Sequence[str]
    themes: tuple[str, ...]
    theme_index: Int[np.ndarray, " museums"]
    vectors: Float[np.ndarray, "museums d"]
    room_offsets: Int[np.ndarray, " museums_plus_1"]
    rooms: Float[np.ndarray, "rooms d"]
    details: UInt8[np.ndarray, " bytes"]
    details_offsets: Int[np.ndarray, " museums_plus_1"]

    def __len__(self) -> int:
        """Number of museums."""
        return len(self.theme_index)

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

    def rooms_of(self, row: int) -> Float[np.ndarray, "rooms d"]:
        """For each room of one museum, the museum's unit vector without it; float32."""
        first, last = self.room_offsets[row : row + 2]
        return np.asarray(self.rooms[first:last], np.float32)

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
        lengths = np.sqrt(np.einsum("md,md->m", self.vectors, self.vectors))
        wrong = ~(np.abs(lengths - 1) < _LENGTH_TOLERANCE)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"{where}: expected vectors of length 1, found {lengths[row]:.6g} for "
                f"museum {self.ids[row]!r}"
            )


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
