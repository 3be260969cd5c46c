"""The kinds of input of a museum: what each is called, and where it comes from.

A new kind is a line here, a field of the records that hold a museum (`data.museum`,
`data.raw_museum`, `data.store`, `extraction.plan`), and its spellings in strategies
(`nn`), in PyTorch's weights (`interop.torch_weights`) and in `museum.schema.json`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, slots=True)
class InputKind:
    """One kind of input.

    Attributes:
        name: Of its features in stores, of a room's field, and of a strategy's input.
        encoded_as: Items of the extraction that become its features.
        in_table: Whether rooms name its items, which a table holds once each; otherwise
            each belongs to its room.
        called: What one of them is called where people see it.
    """

    name: str
    encoded_as: Literal["pictures", "videos"]
    in_table: bool
    called: str


INPUT_KINDS = {
    kind.name: kind
    for kind in (
        InputKind("views", "pictures", in_table=False, called="view"),
        InputKind("images", "pictures", in_table=True, called="painting"),
        InputKind("videos", "videos", in_table=True, called="video"),
    )
}
"""By name, in the order in which strategies concatenate them."""

ROOM_KINDS = tuple(INPUT_KINDS)
"""Names of all kinds."""

ARTWORK_KINDS = tuple(name for name, kind in INPUT_KINDS.items() if kind.in_table)
"""Names of those that hang in rooms by reference."""

KINDS = ("sentences", *ROOM_KINDS)
"""Kinds of feature: those of a museum's description and of its rooms."""


def artworks_of(holder: Any, kind: str) -> Any:
    """What a room or store holds of a kind of artwork: its field of that name.

    Raises:
        ValueError: If artworks are not of this kind.
    """
    if kind not in ARTWORK_KINDS:
        raise ValueError(
            f"expected a kind of artwork, {' or '.join(ARTWORK_KINDS)}, found {kind!r}"
        )
    return getattr(holder, kind)
