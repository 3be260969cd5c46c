"""1-D convolution over a sequence (HM3's `OneDimensionalCNN`)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hm3_jax.nn import ragged
from hm3_jax.nn.layers import Linear, SequenceConv, multiplied
from hm3_jax.nn.packing import Packing
from hm3_jax.nn.strategy import ConvConfig


class ConvEncoder(nnx.Module):
    """Mean over the steps of `relu(conv(step))` for each kind, kinds concatenated.

    An empty sequence counts as one zero step: it gives relu(bias).

    Parameters: one `SequenceConv` for each input kind under the kind's name, and `out`.
    """

    def __init__(self, config: ConvConfig, *, rngs: nnx.Rngs):
        """Draws the parameters.

        Args:
            config: sizes, input kinds and masking; for "channels" see
                `_published_mean`.
            rngs: source of randomness.
        """
        self.kinds = tuple(config.kinds)
        self.masking = config.masking
        for kind, in_size in config.kinds.items():
            conv = SequenceConv(in_size, config.channels, config.kernel_size, rngs=rngs)
            setattr(self, kind, conv)
        self.out = Linear(config.concatenated_size, config.out_size, rngs=rngs)

    def __call__(
        self,
        items: Mapping[str, ragged.Ragged],
        packing: Packing | None = None,
    ) -> Float[Array, "sequences out"]:
        """Encodes every sequence.

        Args:
            items: for each kind the steps of the same sequences.
            packing: not used; every encoder of a museum is called alike.
        """
        del packing
        mean = _mean if self.masking == "time" else _published_mean
        joined = [mean(getattr(self, kind), items[kind]) for kind in self.kinds]
        return self.out(jnp.concatenate(joined, axis=-1))


def _mean(conv: SequenceConv, sequences: ragged.Ragged) -> Float[Array, "sequences c"]:
    rows, membership = sequences.rows()
    return ragged.set_mean(
        jax.nn.relu(conv(rows, membership)),
        membership,
        sequences.lengths,
        empty=jax.nn.relu(conv.bias[...]),
    )


def _published_mean(
    conv: SequenceConv, sequences: ragged.Ragged
) -> Float[Array, "sequences c"]:
    """What the published release computes instead of the mean over steps.

    It pads all sequences to the longest of the batch and, where the padded *steps* were
    to be zeroed, zeroes the *channels* from the sequence's length on. So the sum runs
    over padded steps too (the first of them see the last real ones), is divided by the
    length, and depends on what else is in the batch.
    """
    lengths = jnp.maximum(sequences.lengths, 1)
    rows, membership = sequences.rows()
    real = ragged.set_mean(
        jax.nn.relu(conv(rows, membership)),
        membership,
        sequences.lengths,
        empty=jax.nn.relu(conv.bias[...]),
    )
    count = lengths.astype(real.dtype)[:, None]
    total = real * count
    kernel, bias = conv.kernel[...], conv.bias[...]
    reach = (kernel.shape[0] - 1) // 2
    padded = jnp.max(lengths) - lengths
    for step in range(reach):
        value = bias
        for tap in range(reach - step):
            # This tap of padded step `lengths + step` sees a real step.
            back = step + tap - reach
            place = sequences.starts + sequences.lengths + back
            exists = sequences.lengths + back >= 0
            seen = jnp.where(exists[:, None], rows[jnp.maximum(place, 0)], 0)
            value = value + multiplied(seen, kernel[tap])
        value = jax.nn.relu(value)
        total = total + jnp.where((step < padded)[:, None], value, 0)
    untouched = jnp.maximum(padded - reach, 0).astype(real.dtype)[:, None]
    total = total + untouched * jax.nn.relu(bias)
    live = jnp.arange(bias.shape[0]) < lengths[:, None]
    return jnp.where(live, total / count, 0)
