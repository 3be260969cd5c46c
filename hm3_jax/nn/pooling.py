"""Mean pooling of processed items (HM3's `MeanPoolingProcessed`)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hm3_jax.nn import ragged
from hm3_jax.nn.layers import Linear
from hm3_jax.nn.packing import Packing
from hm3_jax.nn.strategy import PoolConfig


class SetPool(nnx.Module):
    """Mean of `relu(linear(item))` for each kind of input, kinds concatenated.

    An empty set counts as one zero item: it gives relu(bias).

    Parameters: one `Linear` for each input kind under the kind's name, and `out`
    unless the configuration leaves it away.
    """

    def __init__(self, config: PoolConfig, *, rngs: nnx.Rngs):
        """Draws the parameters.

        Args:
            config: sizes, input kinds, last layer or none.
            rngs: source of randomness.
        """
        self.kinds = tuple(config.kinds)
        for kind, in_size in config.kinds.items():
            setattr(self, kind, Linear(in_size, config.size, rngs=rngs))
        if config.out_size is not None:
            self.out = Linear(config.concatenated_size, config.out_size, rngs=rngs)

    def __call__(
        self,
        items: Mapping[str, ragged.Ragged],
        packing: Packing | None = None,
    ) -> Float[Array, "sets out"]:
        """Pools every set.

        Args:
            items: for each kind the items of the same sets.
            packing: not used; every encoder of a museum is called alike.
        """
        del packing
        pooled = []
        for kind in self.kinds:
            layer: Linear = getattr(self, kind)
            rows, membership = items[kind].rows()
            pooled.append(
                ragged.set_mean(
                    jax.nn.relu(layer(rows)),
                    membership,
                    items[kind].lengths,
                    empty=jax.nn.relu(layer.bias[...]),
                )
            )
        joined = jnp.concatenate(pooled, axis=-1)
        return self.out(joined) if hasattr(self, "out") else joined
