"""GRU and LSTM encoders of sequences (HM3's `GRUNet`, `LSTMNet`)."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hm3_jax.nn import init, recurrence
from hm3_jax.nn.cells import GRUCell, LSTMCell
from hm3_jax.nn.layers import product
from hm3_jax.nn.packing import Packing
from hm3_jax.nn.ragged import Ragged
from hm3_jax.nn.strategy import RecurrentConfig

_CELLS = {"gru": GRUCell(), "lstm": LSTMCell()}


class RecurrentEncoder(nnx.Module):
    """Last hidden state of a one-layer GRU or LSTM, both directions averaged.

    Parameters, float32, in torch's gate order (GRU r, z, n; LSTM i, f, g, o), with
    forward and reverse direction along the first axis: kernel_ih (dirs, in, gates * h),
    kernel_hh (dirs, h, gates * h), bias_ih and bias_hh (dirs, gates * h).
    """

    def __init__(self, config: RecurrentConfig, *, rngs: nnx.Rngs):
        """Draws the parameters.

        Args:
            config: cell, sizes, directions.
            rngs: source of randomness.
        """
        self.cell = _CELLS[config.cell]
        directions = 2 if config.bidirectional else 1
        size = config.hidden_size
        width = self.cell.gates * size

        def draw(*shape: int):
            return nnx.Param(init.uniform(rngs, (directions, *shape), size))

        self.kernel_ih = draw(config.in_size, width)
        self.kernel_hh = draw(size, width)
        self.bias_ih = draw(width)
        self.bias_hh = draw(width)

    def __call__(
        self,
        items: Mapping[str, Ragged],
        packing: Packing | None,
    ) -> Float[Array, "sequences h"]:
        """Encodes every sequence of a batch.

        Args:
            items: the steps of the sequences, of one kind; empty ones give zero.
            packing: layout made with `pack` from at least these lengths.

        Raises:
            ValueError: no packing, or several kinds of steps.
        """
        if packing is None or len(items) != 1:
            raise ValueError(
                "a recurrent encoder needs steps of one kind and a packing, found "
                f"{', '.join(items)} and {'a' if packing else 'no'} packing"
            )
        (sequences,) = items.values()
        lengths = sequences.lengths
        order = jnp.argsort(-lengths, stable=True)
        by_length = lengths[order]
        step, rank = packing.positions()
        length = by_length[rank]
        valid = step < length
        first = sequences.starts[order][rank]
        turns = [step, length - 1 - step][: self.kernel_ih.shape[0]]
        # Unused rows are zeroed before any product, so that NaN cannot pass.
        steps = jnp.stack(
            [
                jnp.where(
                    valid[:, None],
                    sequences.values[jnp.where(valid, first + turn, 0)],
                    0,
                )
                for turn in turns
            ]
        )
        inputs = product(steps, self.kernel_ih[...]) + self.bias_ih[...][:, None]
        last = recurrence.run(
            self.cell,
            inputs,
            self.kernel_hh[...],
            self.bias_hh[...],
            by_length,
            packing,
        )
        return jnp.mean(last, axis=0)[jnp.argsort(order)]
