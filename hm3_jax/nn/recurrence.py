"""The recurrence of a GRU or LSTM over a batch of sequences of different lengths.

Input products and weight gradients do not depend on the recurrence, so they are large
matrix products over all steps of the batch at once. What is left, one product with the
hidden weights a step, runs here over *packed* steps: sequences are sorted by length,
the longest first, and step t of those that have one lie side by side, so that
no work is spent on padding beyond what static shapes ask for. Loops end at the longest
sequence of the batch. The backward pass is written by hand for the same reason: it
keeps the gate values of the forward pass, and the loop lengths may be dynamic.

Both directions of a bidirectional layer run in the same loop (leading axis), the
reverse one over sequences that were turned around.
"""

import abc
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from hm3_jax.nn.layers import turned

# Row counts of the loop bodies: all sequences, the longest 7/8 of them, ... More parts
# mean less padding and a longer compilation.
_PARTS = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packing:
    """How the steps of a batch of sequences are laid out, the longest sequence first.

    Under `vmap` over runs a packing is shared by all runs: it is made of the longest
    sequence of any run, the second longest of any run, and so on, so that loop bounds
    and offsets stay plain scalars.

    Attributes:
      lengths: int32 (sequences,), descending.
      max_length: static upper bound of `lengths`.
      capacity: static upper bound of the sum of `lengths`.
    """

    lengths: Int[Array, " sequences"]
    max_length: int = dataclasses.field(metadata={"static": True})
    capacity: int = dataclasses.field(metadata={"static": True})

    @property
    def counts(self) -> Int[Array, " max_length"]:
        """Sequences that have a step t."""
        steps = jnp.arange(self.max_length, dtype=jnp.int32)
        return jnp.sum(self.lengths > steps[:, None], axis=1, dtype=jnp.int32)

    @property
    def starts(self) -> Int[Array, " max_length"]:
        """Packed row where step t begins."""
        counts = self.counts
        return jnp.cumsum(counts) - counts

    @property
    def rows(self) -> int:
        """Static number of packed rows.

        A loop body reads as many rows as any of its steps has, so up to one part of the
        sequences more than a step has, behind the last step too.
        """
        sequences = self.lengths.shape[0]
        return max(self.capacity + -(-sequences // self._parts), sequences)

    @property
    def _parts(self) -> int:
        return min(_PARTS, self.lengths.shape[0])

    def positions(self) -> tuple[Int[Array, " rows"], Int[Array, " rows"]]:
        """Step and sequence (by rank of length) of each packed row."""
        ends = jnp.cumsum(self.counts)
        rows = jnp.arange(self.rows, dtype=jnp.int32)
        step = jnp.searchsorted(ends, rows, side="right").astype(jnp.int32)
        inside = jnp.minimum(step, self.max_length - 1)
        return step, rows - (ends - self.counts)[inside]

    def loops(self) -> list[tuple[int, Int[Array, ""], Int[Array, ""]]]:
        """(static number of rows, first step, step after the last) of each loop."""
        sequences = self.lengths.shape[0]
        parts = self._parts
        sizes = [-(-sequences * (parts - i) // parts) for i in range(parts)]
        ends = [self.lengths[size] for size in sizes[1:]] + [self.lengths[0]]
        starts = [jnp.zeros((), jnp.int32), *ends[:-1]]
        return list(zip(sizes, starts, ends, strict=True))


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


def run(
    cell: Cell,
    inputs: Float[Array, "dirs rows gates_h"],
    kernel: Float[Array, "dirs h gates_h"],
    bias: Float[Array, "dirs gates_h"],
    lengths: Int[Array, " sequences"],
    packing: Packing,
) -> Float[Array, "dirs sequences h"]:
    """Last hidden states of packed sequences, from a zero initial state.

    Args:
      cell: GRU or LSTM.
      inputs: input products (with bias) of the packed steps, finite everywhere.
      kernel: hidden weights.
      bias: hidden bias.
      lengths: of the sequences, descending; at most `packing.lengths`, place by place.
      packing: layout of the rows.

    Returns:
      Hidden state after the last step of each sequence; zero where its length is 0.
    """
    return _run(cell, inputs, kernel, bias, lengths, packing)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(cell, inputs, kernel, bias, lengths, packing):
    return _forward(cell, inputs, kernel, bias, lengths, packing, keep=False)[0]


def _forward(cell, inputs, kernel, bias, lengths, packing, *, keep):
    directions, _, width = inputs.shape
    size = width // cell.gates
    dtype = inputs.dtype
    sequences = lengths.shape[0]
    starts = packing.starts
    state = tuple(
        jnp.zeros((directions, sequences, size), dtype) for _ in range(cell.carries)
    )
    # An array each, so that a step's rows are read and written in one piece.
    kept = tuple(
        jnp.zeros((directions, packing.rows, blocks * size), dtype)
        for blocks in ((*cell.saved, *(1,) * cell.carries) if keep else ())
    )
    for rows, first, end in packing.loops():

        def step(t, carry, rows=rows):
            state, kept = carry
            x = _slice_rows(inputs, starts[t], rows)
            before = tuple(s[:, :rows] for s in state)
            hidden = jnp.einsum("dnh,dhk->dnk", before[0], kernel) + bias[:, None]
            after, saved = cell.forward(x, hidden, before)
            running = (t < lengths[:rows])[None, :, None]
            after = tuple(
                jnp.where(running, a, b) for a, b in zip(after, before, strict=True)
            )
            if keep:
                kept = tuple(
                    _put_rows(k, rows_of_step, starts[t])
                    for k, rows_of_step in zip(kept, (*saved, *before), strict=True)
                )
            state = tuple(_put_rows(s, a, 0) for s, a in zip(state, after, strict=True))
            return state, kept

        state, kept = lax.fori_loop(first, end, step, (state, kept))
    return state[0], kept


def _run_forward(cell, inputs, kernel, bias, lengths, packing):
    last, kept = _forward(cell, inputs, kernel, bias, lengths, packing, keep=True)
    return last, (kernel, lengths, packing, kept)


def _run_backward(cell, residuals, grad):
    kernel, lengths, packing, kept = residuals
    directions, size, width = kernel.shape
    dtype = grad.dtype
    starts = packing.starts
    # The loop multiplies by the transpose at every step: turn it once.
    transposed = turned(kernel)
    grads = (grad, *(jnp.zeros_like(grad) for _ in range(cell.carries - 1)))
    buffers = tuple(
        jnp.zeros((directions, packing.rows, width), dtype)
        for _ in range(1 if cell.shares_gate_gradient else 2)
    )
    for rows, first, end in reversed(packing.loops()):

        def step(i, carry, rows=rows, end=end):
            grads, buffers = carry
            t = end - 1 - i
            of_step = tuple(_slice_rows(k, starts[t], rows) for k in kept)
            saved, before = of_step[: len(cell.saved)], of_step[len(cell.saved) :]
            after = tuple(g[:, :rows] for g in grads)
            running = (t < lengths[:rows])[None, :, None]
            d_inputs, d_hidden, passed = cell.backward(
                saved, before, tuple(jnp.where(running, g, 0) for g in after)
            )
            d_hidden = lax.optimization_barrier(d_hidden)
            through = jnp.einsum("dnk,dkh->dnh", d_hidden, transposed)
            passed = (passed[0] + through, *passed[1:])
            grads = tuple(
                _put_rows(g, jnp.where(running, p, a), 0)
                for g, p, a in zip(grads, passed, after, strict=True)
            )
            # Rows past the running sequences belong to the next step, which is done.
            fresh = (d_hidden, d_inputs)[: len(buffers)]
            buffers = tuple(
                _put_rows(
                    b,
                    jnp.where(running, f, _slice_rows(b, starts[t], rows)),
                    starts[t],
                )
                for b, f in zip(buffers, fresh, strict=True)
            )
            return grads, buffers

        grads, buffers = lax.fori_loop(0, end - first, step, (grads, buffers))
    d_hidden, d_inputs = buffers[0], buffers[-1]
    before = kept[len(cell.saved)]
    d_kernel = turned(before) @ d_hidden
    d_bias = jnp.sum(d_hidden, axis=1)
    no_grad = functools.partial(jax.tree.map, _no_gradient)
    return d_inputs, d_kernel, d_bias, no_grad(lengths), no_grad(packing)


_run.defvjp(_run_forward, _run_backward)


def _slice_rows(x: Array, start: Any, rows: int) -> Array:
    directions, _, width = x.shape
    return lax.dynamic_slice(x, (0, start, 0), (directions, rows, width))


def _put_rows(x: Array, rows: Array, start: Any) -> Array:
    return lax.dynamic_update_slice(x, rows, (0, start, 0))


def _no_gradient(x: Array) -> np.ndarray:
    """What JAX takes as the gradient of an integer array."""
    return np.zeros(jnp.shape(x), jax.dtypes.float0)
