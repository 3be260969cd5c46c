"""What a recurrent layer computes at one step, and the derivative of that step."""

import abc
import dataclasses

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


class Cell(abc.ABC):
    """What a recurrent layer computes at one step, and its derivative.

    Attributes:
        gates: number of gate blocks of the weights.
        carries: number of hidden-size blocks of the state; the first is the output.
        saved: hidden-size blocks of each array that `forward` keeps for `backward`.
        shares_gate_gradient: whether the gradients of the input products and of the
            hidden products are always equal.
    """

    gates: int
    carries: int
    saved: tuple[int, ...]
    shares_gate_gradient: bool

    @abc.abstractmethod
    def forward(
        self,
        inputs: Float[Array, "dirs n gates_h"],
        hidden: Float[Array, "dirs n gates_h"],
        state: tuple[Float[Array, "dirs n h"], ...],
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """One step.

        Args:
            inputs: input products with their bias.
            hidden: hidden products with their bias.
            state: before the step.

        Returns:
            State after the step, and what `backward` needs.
        """

    @abc.abstractmethod
    def backward(
        self,
        saved: tuple[Float[Array, "dirs n h"], ...],
        previous: tuple[Float[Array, "dirs n h"], ...],
        grads: tuple[Float[Array, "dirs n h"], ...],
    ) -> tuple[Array, Array, tuple[Array, ...]]:
        """Derivative of one step.

        Args:
            saved: what `forward` kept.
            previous: state before the step.
            grads: gradient of the state after the step.

        Returns:
            Gradients of `inputs`, of `hidden`, and of the state before the step as far
            as it does not go through the hidden products.
        """


def _sigmoid(x: Array) -> Array:
    # One vectorised tanh; the logistic function takes an exp and a division on CPU.
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


@dataclasses.dataclass(frozen=True)
class GRUCell(Cell):
    """torch's GRU: gates r, z, n with n = tanh(W_in x + b_in + r (W_hn h + b_hn))."""

    gates: int = 3
    carries: int = 1
    saved: tuple[int, ...] = (2, 1, 1)
    shares_gate_gradient: bool = False

    def forward(self, inputs, hidden, state):
        """See `Cell.forward`."""
        (h,) = state
        size = h.shape[-1]
        rz = _sigmoid(inputs[..., : 2 * size] + hidden[..., : 2 * size])
        # Without the barrier the compiler computes r and z again in each use.
        rz = lax.optimization_barrier(rz)
        r, z = rz[..., :size], rz[..., size:]
        hidden_n = hidden[..., 2 * size :]
        n = jnp.tanh(inputs[..., 2 * size :] + r * hidden_n)
        return (n + z * (h - n),), (rz, n, hidden_n)

    def backward(self, saved, previous, grads):
        """See `Cell.backward`."""
        rz, n, hidden_n = saved
        r, z = jnp.split(rz, 2, axis=-1)
        (h,), (dh,) = previous, grads
        dn = dh * (1 - z) * (1 - n * n)
        dz = dh * (h - n) * z * (1 - z)
        dr = dn * hidden_n * r * (1 - r)
        d_inputs = jnp.concatenate([dr, dz, dn], axis=-1)
        d_hidden = jnp.concatenate([dr, dz, dn * r], axis=-1)
        return d_inputs, d_hidden, (dh * z,)


@dataclasses.dataclass(frozen=True)
class LSTMCell(Cell):
    """torch's LSTM: gates i, f, g, o; state h, c."""

    gates: int = 4
    carries: int = 2
    saved: tuple[int, ...] = (1, 1, 1, 1, 1)
    shares_gate_gradient: bool = True

    def forward(self, inputs, hidden, state):
        """See `Cell.forward`."""
        _, c = state
        size = c.shape[-1]
        total = lax.optimization_barrier(inputs + hidden)
        i, f, g, o = (total[..., j * size : (j + 1) * size] for j in range(4))
        i, f, o = _sigmoid(i), _sigmoid(f), _sigmoid(o)
        g = jnp.tanh(g)
        c = f * c + i * g
        squashed = jnp.tanh(c)
        return (o * squashed, c), (i, f, g, o, squashed)

    def backward(self, saved, previous, grads):
        """See `Cell.backward`."""
        i, f, g, o, squashed = saved
        (_, c), (dh, dc) = previous, grads
        dc = dc + dh * o * (1 - squashed * squashed)
        d_total = jnp.concatenate(
            [
                dc * g * i * (1 - i),
                dc * c * f * (1 - f),
                dc * i * (1 - g * g),
                dh * squashed * o * (1 - o),
            ],
            axis=-1,
        )
        return d_total, d_total, (jnp.zeros_like(dh), dc * f)
