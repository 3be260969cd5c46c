"""The recurrence of a GRU or LSTM over a batch of sequences of different lengths.

Input products and weight gradients do not depend on the recurrence, so they are large
matrix products over all steps of the batch at once. What is left, one product with the
hidden weights a step, runs here over *packed* steps: sequences are sorted by length,
the longest first, and step t of those that have one lie side by side, so that
no work is spent on padding beyond what static shapes ask for. Loops end at the longest
sequence of the batch, or, where the platform wants lengths that are known when loops
are compiled, of all planned batches. The backward pass is written by hand for the same
reason: it keeps the gate values of the forward pass, and the loop lengths may be
dynamic.

Both directions of a bidirectional layer run in the same loop (leading axis), the
reverse one over sequences that were turned around.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from hm3_jax.nn.cells import Cell
from hm3_jax.nn.layers import multiplied, turned
from hm3_jax.nn.packing import Packing


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
        lengths: of the sequences, descending; at most `packing.lengths`, place by
            place.
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
            hidden = multiplied(before[0], kernel) + bias[:, None]
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

        state, kept = lax.fori_loop(
            first, end, step, (state, kept), unroll=packing.unroll
        )
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
            through = multiplied(d_hidden, transposed)
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

        grads, buffers = lax.fori_loop(
            0, end - first, step, (grads, buffers), unroll=packing.unroll
        )
    d_hidden, d_inputs = buffers[0], buffers[-1]
    before = kept[len(cell.saved)]
    d_kernel = multiplied(turned(before), d_hidden)
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
