"""Museums of many vectors each: one for every item (view, painting, clip)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float16, Int, Int8, UInt8

from hm3_jax.files.arrays import StoredRows, offsets_of, owned_rows
from hm3_jax.files.input_kinds import ROOM_KINDS
from hm3_jax.objective.late_interaction import (
    MuseumVectors,
    QueryVectors,
    extra,
    soft_maximum,
)
from hm3_jax.retrieval.index_format import MANY_VECTORS
from hm3_jax.retrieval.museums import (
    Answering,
    Carried,
    KnownMuseums,
    first_wrong_length,
)
from hm3_jax.retrieval.products import products

# Items that are converted at a time.
_CHUNK = 2**14
# Items of a museum that ask for museums like it: more take longer and add little.
_MOST_ASKING = 64


@dataclasses.dataclass(frozen=True, eq=False)
class ItemMuseums(KnownMuseums):
    """Museums of many vectors each.

    Attributes:
        embedded: Their vectors; the items' are float16, and nothing finer counts.
        codes: The items in 8 bits: ``codes * scales[:, None]`` is near them.
        scales: Of the codes.
        errors: For each museum, how long the difference of an item and its codes is at
            most.
        sharpness: Of the soft maximum that compares them.
        theme_weight: Of the themes in a score, where a query does not say.
        stored: Where single items are read; None to take them from `embedded`.
    """

    embedded: MuseumVectors
    codes: Int8[np.ndarray, "items d"]
    scales: Float[np.ndarray, " items"]
    errors: Float[np.ndarray, " museums"]
    sharpness: float
    theme_weight: float
    stored: StoredRows | None = None

    layout = MANY_VECTORS

    @property
    def vector_size(self) -> int:
        """See `KnownMuseums`."""
        return self.embedded.items.shape[1]

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """See `KnownMuseums`."""
        vectors = self.embedded
        return {
            "theme_index": self.theme_index,
            "details": self.details,
            "details_offsets": self.details_offsets,
            "items": vectors.items,
            "item_offsets": vectors.offsets,
            "item_rooms": vectors.rooms,
            "item_kinds": vectors.kinds,
            "item_places": vectors.places,
            "bias": vectors.bias,
            "vectors": vectors.vectors,
            "log_themes": vectors.themes,
            "codes": self.codes,
            "scales": self.scales,
            "errors": self.errors,
        }

    @classmethod
    def of_columns(
        cls,
        ids: Sequence[str],
        themes: tuple[str, ...],
        columns: Mapping[str, np.ndarray],
        model: Mapping[str, Any],
    ) -> ItemMuseums:
        """See `KnownMuseums`."""
        return cls(
            ids=ids,
            themes=themes,
            theme_index=columns["theme_index"],
            details=columns["details"],
            details_offsets=columns["details_offsets"],
            codes=columns["codes"],
            scales=columns["scales"],
            errors=columns["errors"],
            embedded=MuseumVectors(
                items=columns["items"],
                offsets=columns["item_offsets"],
                rooms=columns["item_rooms"],
                kinds=columns["item_kinds"],
                places=columns["item_places"],
                bias=columns["bias"],
                vectors=columns["vectors"],
                themes=columns["log_themes"],
            ),
            sharpness=model["sharpness"],
            theme_weight=model["theme_weight"],
        )

    def reading_from(self, folder: Path) -> ItemMuseums:
        """See `KnownMuseums`."""
        return dataclasses.replace(self, stored=StoredRows(folder / "items.npy"))

    def overview(self) -> Float[np.ndarray, "museums d"]:
        """The mean of each museum's items; float32."""
        offsets = self.embedded.offsets
        means = np.empty((len(self), self.embedded.items.shape[1]), np.float32)
        for first, last in museum_blocks(offsets, _CHUNK):
            start, end = offsets[first], offsets[last]
            items = self.embedded.items[start:end].astype(np.float32)
            sums = np.add.reduceat(items, offsets[first:last] - start, axis=0)
            means[first:last] = sums / np.diff(offsets[first : last + 1])[:, None]
        return means

    def query_like(self, row: int) -> QueryVectors:
        """Every item of the museum, or 64 spread over them, asks for its like."""
        items = self.items_of(row)
        if len(items) > _MOST_ASKING:
            items = items[np.linspace(0, len(items) - 1, _MOST_ASKING).astype(int)]
        return QueryVectors(
            sentences=items.astype(np.float32),
            weights=np.full(len(items), 1 / len(items), np.float32),
            vector=np.asarray(self.embedded.vectors[row]),
            themes=np.asarray(self.embedded.themes[row]),
        )

    def cosines(
        self, query: QueryVectors, row: int
    ) -> Float[np.ndarray, "sentences items"]:
        """Of each sentence of a query and each item of a museum, in float64.

        Equal museums have equal bits, whatever else is searched.
        """
        items = self.items_of(row).astype(np.float64)
        return products(query.sentences.astype(np.float64), items)

    @property
    def default_theme_weight(self) -> float | None:
        """See `KnownMuseums`."""
        return self.theme_weight if self.embedded.themes.shape[1] else None

    def score(self, query: QueryVectors, theme_weight: float | None, row: int) -> float:
        """See `KnownMuseums`; has the bits of `cosines`."""
        if theme_weight is None:
            theme_weight = self.theme_weight
        best = soft_maximum(self.cosines(query, row), self.sharpness)
        one = rows_of(self.embedded, row, row + 1)
        return float((best * query.weights).sum() + extra(query, one, theme_weight)[0])

    def carried(
        self,
        query: QueryVectors,
        without: Float[np.ndarray, "sentences d"] | None,
        row: int,
        score: float,
    ) -> Carried:
        """See `KnownMuseums`."""
        del without, score
        first, last = self.embedded.offsets[row : row + 2]
        cosines = self.cosines(query, row)
        adds = query.weights * soft_maximum(cosines, self.sharpness)
        rooms = self.embedded.rooms[first:last]
        lost = np.zeros(int(rooms.max()) + 1)
        for room in np.unique(rooms):
            others = cosines[:, rooms != room]
            if others.shape[1]:
                lost[room] = adds.sum() - query.weights @ soft_maximum(
                    others, self.sharpness
                )
        best = cosines.argmax(axis=1)
        return Carried(
            adds.tolist(),
            lost.tolist(),
            [
                Answering(
                    room=int(rooms[item]),
                    kind=ROOM_KINDS[self.embedded.kinds[first + item]],
                    place=int(self.embedded.places[first + item]),
                    cosine=float(of_sentence[item]),
                )
                for of_sentence, item in zip(cosines, best, strict=True)
            ],
        )

    def check_vectors(self, where: str) -> None:
        """See `KnownMuseums`."""
        vectors = self.embedded
        empty = np.diff(vectors.offsets) < 1
        if empty.any():
            raise ValueError(
                f"{where}: expected items, found none in museum "
                f"{self.ids[int(empty.argmax())]!r}"
            )
        item = first_wrong_length(vectors.items)
        if item is not None:
            row = int(np.searchsorted(vectors.offsets, item, side="right")) - 1
            raise ValueError(
                f"{where}: expected vectors of length 1, found "
                f"{np.linalg.norm(vectors.items[item].astype(np.float64)):.6g} for an "
                f"item of museum {self.ids[row]!r}"
            )
        for name in ("bias", "vectors"):
            values = getattr(vectors, name).reshape(len(self), -1)
            bad = ~np.isfinite(values).all(axis=1)
            if bad.any():
                raise ValueError(
                    f"{where}: expected a finite {name}, found NaN or infinity for "
                    f"museum {self.ids[int(bad.argmax())]!r}"
                )

    def items_of(self, row: int) -> Float16[np.ndarray, "items d"]:
        """Vectors of a museum's items."""
        first, last = self.embedded.offsets[row : row + 2].tolist()
        if self.stored is None:
            return self.embedded.items[first:last]
        return self.stored.read(first, last)

    def vectors_of(self, rows: Int[np.ndarray, " museums"]) -> MuseumVectors:
        """Some museums, in their order."""
        vectors = self.embedded
        items = [self.items_of(int(row)) for row in rows]
        own = owned_rows(np.asarray(vectors.offsets), rows)
        return MuseumVectors(
            items=np.concatenate(items),
            offsets=offsets_of([len(of_museum) for of_museum in items]),
            rooms=vectors.rooms[own],
            kinds=vectors.kinds[own],
            places=vectors.places[own],
            bias=vectors.bias[rows],
            vectors=vectors.vectors[rows],
            themes=vectors.themes[rows],
        )


def item_museums(
    ids: Sequence[str],
    themes: tuple[str, ...],
    theme_index: Int[np.ndarray, " museums"],
    embedded: MuseumVectors,
    details: UInt8[np.ndarray, " bytes"],
    details_offsets: Int[np.ndarray, " museums_plus_1"],
    *,
    sharpness: float,
    theme_weight: float = 0.0,
) -> ItemMuseums:
    """Museums as an index holds them: items in 16 bits, and in 8.

    Args:
        ids: Of the museums.
        themes: Theme names, sorted.
        theme_index: Of each museum, into `themes`.
        embedded: The museums.
        details: See `KnownMuseums`.
        details_offsets: See `KnownMuseums`.
        sharpness: Of the soft maximum.
        theme_weight: Of the themes, where a query does not say.
    """
    items = np.asarray(embedded.items, np.float16)
    codes, scales, lengths = _in_8_bits(items)
    errors = np.zeros(len(embedded), np.float32)
    # Museums without items are refused when they are written, like other wrong ones.
    filled = np.diff(embedded.offsets) > 0
    errors[filled] = np.maximum.reduceat(lengths, embedded.offsets[:-1][filled])
    return ItemMuseums(
        ids=ids,
        themes=themes,
        theme_index=theme_index,
        details=details,
        details_offsets=details_offsets,
        embedded=dataclasses.replace(embedded, items=items),
        codes=codes,
        scales=scales,
        errors=errors,
        sharpness=sharpness,
        theme_weight=theme_weight,
    )


def check_query_vectors(query: QueryVectors, museums: MuseumVectors) -> None:
    """Checks that a query can be compared with museums.

    Raises:
        ValueError: As `hm3_jax.retrieval.exact.Search`.
    """
    for what, found, expected in (
        ("sentences", query.sentences, museums.items),
        ("a vector", query.vector, museums.vectors),
        ("log probabilities of themes", query.themes, museums.themes),
    ):
        if found.shape[-1] != expected.shape[1]:
            raise ValueError(
                f"expected {what} of {expected.shape[1]} numbers, found "
                f"{found.shape[-1]}"
            )
    if not len(query.sentences):
        raise ValueError("expected a query of some sentences, found none")
    for numbers in (query.sentences, query.weights, query.vector):
        if not np.isfinite(numbers).all():
            raise ValueError("expected finite queries, found one with NaN or infinity")


def rows_of(museums: MuseumVectors, first: int, last: int) -> MuseumVectors:
    """What `extra` reads of some museums: all but the items."""
    return dataclasses.replace(
        museums,
        bias=museums.bias[first:last],
        vectors=museums.vectors[first:last],
        themes=museums.themes[first:last],
    )


def concatenated(parts: Sequence[MuseumVectors]) -> MuseumVectors:
    """Museums of several parts, one after the other."""
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    return MuseumVectors(
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(MuseumVectors)
            if field.name != "offsets"
        },
    )


def museum_blocks(
    offsets: Int[np.ndarray, " museums_plus_1"], items: int
) -> list[tuple[int, int]]:
    """Cuts museums into blocks of so many items, or of one museum that has more."""
    blocks, first, museums = [], 0, len(offsets) - 1
    while first < museums:
        last = int(np.searchsorted(offsets, offsets[first] + items, side="right")) - 1
        blocks.append((first, max(last, first + 1)))
        first = blocks[-1][1]
    return blocks


def _in_8_bits(
    items: Float16[np.ndarray, "items d"],
) -> tuple[
    Int8[np.ndarray, "items d"],
    Float[np.ndarray, " items"],
    Float[np.ndarray, " items"],
]:
    """Codes, scales, and the length of the difference, rounded up."""
    codes = np.empty(items.shape, np.int8)
    scales, lengths = np.empty((2, len(items)), np.float32)
    for first in range(0, len(items), _CHUNK):
        part = slice(first, first + _CHUNK)
        rows = items[part].astype(np.float32)
        scale = np.maximum(np.abs(rows).max(axis=1) / 127, np.finfo(np.float32).tiny)
        with np.errstate(invalid="ignore"):  # NaN is refused later, with its museum
            np.rint(rows / scale[:, None], out=codes[part], casting="unsafe")
        scales[part] = scale
        apart = rows - codes[part] * scale[:, None]
        # Made larger than all that the differences, in float32, are rounded by.
        lengths[part] = 1.001 * np.sqrt(np.einsum("rd,rd->r", apart, apart)) + 1e-6
    return codes, scales, lengths
