"""The least work an epoch can be: its matrix products, nothing padded.

Counted for `hier_by_room_rnn_meanPoolProc_video`: two floating-point operations for
each multiply-add of the forward pass and of the gradients that training needs (the
features themselves get none).
"""

import numpy as np

from hm3_jax.data.store import FeatureStore
from hm3_jax.nn.strategy import PoolConfig, RecurrentConfig, TowersConfig


def epoch_flops(
    store: FeatureStore, config: TowersConfig, museums: np.ndarray
) -> float:
    """Floating-point operations of the matrix products of one epoch.

    Args:
        store: the data.
        config: by room, with a recurrence over rooms.
        museums: indices of the museums trained on.
    """
    if config.room is None or not isinstance(config.museum, RecurrentConfig):
        raise ValueError(f"expected HM3's own strategy, found {config.name}")
    sentences = store.sentences.lengths[museums].sum()
    offsets = store.room_offsets.tolist()
    rooms = np.concatenate(
        [np.arange(offsets[i], offsets[i + 1]) for i in museums.tolist()]
    )
    items = {"views": store.views.lengths[rooms].sum()}
    for kind in config.uses[1:]:
        art = store.artworks(kind)
        assert art is not None
        items[kind] = art.hung.lengths[rooms].sum()
    return float(
        sentences * _recurrent_step(config.text, inputs_need_gradient=False)
        + len(rooms) * _recurrent_step(config.museum, inputs_need_gradient=True)
        + sum(
            items[kind] * 2 * 2 * in_size * config.room.size
            for kind, in_size in config.room.kinds.items()
        )
        + len(rooms) * 3 * 2 * _last_layer(config.room)
    )


def _recurrent_step(config: RecurrentConfig, *, inputs_need_gradient: bool) -> int:
    width = config.gates * config.hidden_size
    # Forward, gradient of the weights, and, where wanted, gradient of the input.
    input_products = 3 if inputs_need_gradient else 2
    products = input_products * config.in_size * width + 3 * config.hidden_size * width
    return config.directions * 2 * products


def _last_layer(config: PoolConfig) -> int:
    return 0 if config.out_size is None else config.concatenated_size * config.out_size
