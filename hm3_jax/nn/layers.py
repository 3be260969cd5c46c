"""The two layers every encoder is made of."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int

from hm3_jax.nn import init
from hm3_jax.nn.precision import of_products


def turned(x: Float[Array, "*b rows columns"]) -> Float[Array, "*b columns rows"]:
    """Transpose that is computed, for products that are slow on one that is not.

    XLA would fold it into the product; on CPU that is up to twice as slow.
    """
    return lax.optimization_barrier(jnp.swapaxes(x, -1, -2))


def multiplied(
    x: Float[Array, "*b rows in_size"], kernel: Float[Array, "*b in_size out"]
) -> Float[Array, "*b rows out"]:
    """`x @ kernel`, as precisely as `nn.precision` says."""
    return jnp.matmul(x, kernel, precision=of_products())


@jax.custom_vjp
def product(
    x: Float[Array, "*b rows in_size"], kernel: Float[Array, "*b in_size out"]
) -> Float[Array, "*b rows out"]:
    """`multiplied`, with gradients that suit the CPU.

    Left to itself, JAX asks for the transpose of the kernel's gradient and turns it
    back, and multiplies by transposes as they lie.
    """
    return multiplied(x, kernel)


def _product_forward(x, kernel):
    return multiplied(x, kernel), (x, kernel)


def _product_backward(residuals, grad):
    x, kernel = residuals
    return multiplied(grad, turned(kernel)), multiplied(turned(x), grad)


product.defvjp(_product_forward, _product_backward)


class Linear(nnx.Module):
    """`x @ kernel + bias` with torch's initialisation.

    Parameters: kernel (in_size, out_size), bias (out_size,), float32.
    """

    def __init__(self, in_size: int, out_size: int, *, rngs: nnx.Rngs):
        """Draws the parameters.

        Args:
            in_size: floats of an input row.
            out_size: floats of an output row.
            rngs: source of randomness.
        """
        self.kernel = nnx.Param(init.uniform(rngs, (in_size, out_size), in_size))
        self.bias = nnx.Param(init.uniform(rngs, (out_size,), in_size))

    def __call__(self, x: Float[Array, "rows in_size"]) -> Float[Array, "rows out"]:
        """Maps every row."""
        return product(x, self.kernel[...]) + self.bias[...]


class SequenceConv(nnx.Module):
    """1-D convolution along each sequence of a ragged batch, zero padded at its ends.

    Parameters: kernel (kernel_size, in_size, channels), bias (channels,), float32. The
    kernel is applied as torch's Conv1d does: tap j sees the step j - (k - 1) / 2 away.
    """

    def __init__(
        self, in_size: int, channels: int, kernel_size: int, *, rngs: nnx.Rngs
    ):
        """Draws the parameters.

        Args:
            in_size: floats of a step.
            channels: floats of an output step.
            kernel_size: odd number of taps.
            rngs: source of randomness.
        """
        fan_in = in_size * kernel_size
        shape = (kernel_size, in_size, channels)
        self.kernel = nnx.Param(init.uniform(rngs, shape, fan_in))
        self.bias = nnx.Param(init.uniform(rngs, (channels,), fan_in))

    def __call__(
        self,
        steps: Float[Array, "capacity in_size"],
        membership: Int[Array, " capacity"],
    ) -> Float[Array, "capacity channels"]:
        """Convolves every sequence, none seeing its neighbours.

        Args:
            steps: sequences one after another, finite.
            membership: sequence of each row, as `ragged.row_owner` gives it.
        """
        kernel = self.kernel[...]
        taps, in_size, channels = kernel.shape
        # One product for all taps, then shifts of its (narrower) results.
        side_by_side = jnp.moveaxis(kernel, 0, 1).reshape(in_size, taps * channels)
        products = product(steps, side_by_side)
        products = products.reshape(steps.shape[0], taps, channels)
        total = jnp.broadcast_to(self.bias[...], (steps.shape[0], channels))
        for tap in range(taps):
            away = tap - (taps - 1) // 2
            same = _shift(membership, away, fill=-1) == membership
            total = total + jnp.where(
                same[:, None], _shift(products[:, tap], away, fill=0), 0
            )
        return total


def _shift(rows: Array, away: int, fill: int) -> Array:
    """Row i becomes row i + away, `fill` where there is none."""
    away = max(-rows.shape[0], min(rows.shape[0], away))
    padding = jnp.full((abs(away), *rows.shape[1:]), fill, rows.dtype)
    if away >= 0:
        return jnp.concatenate([rows[away:], padding])
    return jnp.concatenate([padding, rows[:away]])
