"""Initial weights as torch draws them.

torch's `Linear`, `Conv1d`, `GRU` and `LSTM` draw every tensor, biases too, from a
uniform distribution on (-bound, bound) with bound = 1 / sqrt(fan_in); recurrent layers
use their hidden size instead of the fan-in.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


def uniform(rngs: nnx.Rngs, shape: tuple[int, ...], fan_in: int) -> Float[Array, "..."]:
    """Draws from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), float32.

    Args:
        rngs: source of randomness; its `params` stream is used.
        shape: of the result.
        fan_in: number of inputs of one unit (conv: channels times kernel size), or the
            hidden size for recurrent layers.
    """
    bound = 1.0 / math.sqrt(fan_in)
    return jax.random.uniform(rngs.params(), shape, jnp.float32, -bound, bound)
