"""Whether sentences of a store's descriptions find the rooms that they are about."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.data.store import FeatureStore
from hm3_jax.objective.late_interaction import MuseumVectors, QueryVectors
from hm3_jax.objective.room_recall import RoomRecall, room_recall

EmbedSentences = Callable[
    [Sequence[Float[np.ndarray, "_sentences size"]]], list[QueryVectors]
]
"""Embeds descriptions, given by the features of their sentences."""

# Descriptions that are embedded at a time.
_SOME = 256


def sentence_room_recall(
    store: FeatureStore,
    museums: Int[np.ndarray, " museums"],
    tower: EmbedSentences,
    embedded: MuseumVectors,
) -> RoomRecall | None:
    """How often the best item of a museum lies in the room that a sentence is about.

    Args:
        store: features, and rooms of sentences.
        museums: numbers of the museums.
        tower: makes a vector of every sentence, whatever the others say.
        embedded: the same museums by the same model, in the same order.

    Returns:
        None where the store knows of no sentence which room it is about.
    """
    about = store.sentence_rooms
    if about is None:
        return None
    offsets = store.sentences.offsets
    rooms = [about[offsets[museum] : offsets[museum + 1]] for museum in museums]

    def descriptions() -> Iterator[Float[np.ndarray, "_sentences d"]]:
        for first in range(0, len(museums), _SOME):
            some = museums[first : first + _SOME]
            features = [store.sentences[i].astype(np.float32) for i in some.tolist()]
            yield from (query.sentences for query in tower(features))

    return room_recall(descriptions(), rooms, embedded)
