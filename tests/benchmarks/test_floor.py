"""The arithmetic floor against a count museum by museum."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.floor import epoch_flops
from tests import golden_data


def test_floor_counts_every_product_once():
    config = golden_data.strategy("hier_by_room_rnn_meanPoolProc_video")
    museums = golden_data.arrays("museums")

    def ragged(name):
        return SimpleNamespace(lengths=museums[name])

    store = SimpleNamespace(
        sentences=ragged("desc_len"),
        room_offsets=golden_data.offsets_of(museums["rooms"]),
        views=ragged("povs_per_room"),
        artworks=lambda kind: SimpleNamespace(hung=ragged(f"{kind}_per_room")),
    )
    chosen = np.array([0, 3, 7])
    total = 0
    for museum in chosen:
        first, last = store.room_offsets[museum : museum + 2]
        # Sizes of the golden models: 24 in, room vectors of 10, embeddings of 12.
        gates = 2 * 3 * 12
        sentence = (2 * 24 + 3 * 12) * gates
        room = (3 * 10 + 3 * 12) * gates + 3 * 20 * 10
        items = museums["povs_per_room"][first:last].sum()
        items += museums["videos_per_room"][first:last].sum()
        total += museums["desc_len"][museum] * sentence
        total += (last - first) * room + items * 2 * 24 * 10
    assert epoch_flops(cast(Any, store), config, chosen) == 2 * total


def test_other_strategies_are_refused():
    with pytest.raises(ValueError, match="rnn_meanPoolProc"):
        epoch_flops(
            cast(Any, None), golden_data.strategy("rnn_meanPoolProc"), np.arange(1)
        )
