"""Whether the best item of a museum lies in the room that a sentence is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.objective.late_interaction import MuseumVectors

KEY = "room_R@1"
"""Of metrics; not one of the published ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class RoomRecall:
    """How often sentences find their room among those of their own museum.

    Attributes:
        recall: share of sentences whose best item is in their room, in percent.
        chance: mean share of a museum's items that are in the sentence's room, in
            percent: what an item drawn blindly reaches.
        sentences: number of sentences whose room is known.
    """

    recall: float
    chance: float
    sentences: int


def room_recall(
    descriptions: Iterable[Float[np.ndarray, "_sentences d"]],
    rooms: Sequence[Int[np.ndarray, " _sentences"]],
    museums: MuseumVectors,
) -> RoomRecall | None:
    """Asks each sentence, alone, which item of its own museum is the best one.

    Args:
        descriptions: unit vectors of the sentences of each museum's description.
        rooms: number within its museum of the room that each sentence is about;
            negative where that is not known.
        museums: embedded, as many, in the same order.

    Returns:
        None if no sentence knows its room. The best item is the one of the highest
        cosine, the first of several.
    """
    hits, shares = [], []
    for number, (vectors, wanted) in enumerate(zip(descriptions, rooms, strict=True)):
        own = slice(*museums.offsets[number : number + 2])
        known = wanted >= 0
        items = museums.items[own].astype(np.float64)
        best = np.argmax(vectors[known].astype(np.float64) @ items.T, axis=1)
        in_room = museums.rooms[own] == wanted[known, None]
        hits.append(in_room[np.arange(len(best)), best])
        shares.append(in_room.mean(axis=1))
    hit, share = np.concatenate(hits), np.concatenate(shares)
    if not len(hit):
        return None
    return RoomRecall(100 * float(hit.mean()), 100 * float(share.mean()), len(hit))
