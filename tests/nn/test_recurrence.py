"""The packed recurrence against torch's layers and against itself run otherwise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hm3_jax.nn.packing import UNROLLED, StaticLoops, pack, planned_loops
from hm3_jax.nn.ragged import Ragged
from hm3_jax.nn.recurrent import RecurrentEncoder
from hm3_jax.nn.strategy import RecurrentConfig

LENGTHS = [3, 0, 7, 1, 7, 2, 5, 4, 0, 1]
IN, HIDDEN = 6, 5


def encoder(cell, bidirectional) -> RecurrentEncoder:
    config = RecurrentConfig(
        cell=cell, in_size=IN, hidden_size=HIDDEN, bidirectional=bidirectional
    )
    return RecurrentEncoder(config, rngs=nnx.Rngs(3))


def sequences(lengths, padding=np.nan, extra=4) -> Ragged:
    rows = np.random.default_rng(1).normal(size=(sum(lengths) + extra, IN))
    rows[sum(lengths) :] = padding
    return Ragged(jnp.asarray(rows, jnp.float32), jnp.asarray(lengths, jnp.int32))


def encode(model, batch, max_length=None, capacity=None):
    lengths = np.asarray(batch.lengths)
    packing = pack(
        batch.lengths,
        max(lengths.max(), 1) if max_length is None else max_length,
        lengths.sum() if capacity is None else capacity,
    )
    return model({"steps": batch}, packing)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_values_and_gradients_equal_torch(cell, bidirectional):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = encoder(cell, bidirectional)
    graph, params = nnx.split(model, nnx.Param)
    batch = sequences(LENGTHS)
    weights = np.random.default_rng(2).normal(size=(len(LENGTHS), HIDDEN))
    weights = weights.astype(np.float32)

    @jax.jit
    def loss(params, values):
        out = encode_static(nnx.merge(graph, params), Ragged(values, batch.lengths))
        return jnp.sum(out * weights), out

    def encode_static(model, batch):
        packing = pack(batch.lengths, max(LENGTHS), sum(LENGTHS))
        return model({"steps": batch}, packing)

    grads, out = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, batch.values)

    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    layer = kind(IN, HIDDEN, bidirectional=bidirectional, batch_first=True)
    ours = nnx.to_pure_dict(params)
    torch_names = {
        "kernel_ih": "weight_ih_l0",
        "kernel_hh": "weight_hh_l0",
        "bias_ih": "bias_ih_l0",
        "bias_hh": "bias_hh_l0",
    }
    suffixes = ["", "_reverse"][: 1 + bidirectional]
    with torch.no_grad():
        for name, torch_name in torch_names.items():
            for direction, suffix in enumerate(suffixes):
                value = torch.tensor(np.asarray(ours[name][direction]).T)
                getattr(layer, torch_name + suffix).copy_(value)
    total = torch.zeros(())
    starts = np.cumsum(LENGTHS) - LENGTHS
    rows = torch.tensor(np.asarray(batch.values), requires_grad=True)
    for i, length in enumerate(LENGTHS):
        if length == 0:
            np.testing.assert_array_equal(out[i], 0)
            continue
        _, last = layer(rows[None, starts[i] : starts[i] + length])
        last = (last[0] if cell == "lstm" else last)[:, 0].mean(0)
        np.testing.assert_allclose(out[i], last.detach().numpy(), atol=1e-6)
        total = total + (last * torch.tensor(weights[i])).sum()
    total.backward()
    used = sum(LENGTHS)
    np.testing.assert_allclose(grads[1][:used], rows.grad[:used].numpy(), atol=1e-5)
    np.testing.assert_array_equal(grads[1][used:], 0)
    found = nnx.to_pure_dict(grads[0])
    for name, torch_name in torch_names.items():
        for direction, suffix in enumerate(suffixes):
            wanted = getattr(layer, torch_name + suffix).grad.numpy().T
            np.testing.assert_allclose(found[name][direction], wanted, atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_padding_and_batch_mates_change_nothing(cell):
    model = encoder(cell, True)
    batch = sequences(LENGTHS)
    wanted = encode(model, batch)
    roomy = sequences(LENGTHS, padding=1e30, extra=40)
    roomy = Ragged(
        roomy.values.at[: sum(LENGTHS)].set(batch.values[: sum(LENGTHS)]), batch.lengths
    )
    np.testing.assert_allclose(
        encode(model, roomy, max_length=19, capacity=70), wanted, atol=1e-6
    )
    starts = np.cumsum(LENGTHS) - LENGTHS
    for i in (0, 2, 3):
        alone = Ragged(
            batch.values[starts[i] : starts[i] + LENGTHS[i]],
            jnp.asarray(LENGTHS[i : i + 1], jnp.int32),
        )
        np.testing.assert_allclose(encode(model, alone)[0], wanted[i], atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_runs_under_vmap_equal_runs_alone(cell):
    models = [encoder(cell, True) for _ in range(3)]
    graph = nnx.graphdef(models[0])
    rng = np.random.default_rng(5)
    all_lengths = np.stack([rng.permutation(LENGTHS), LENGTHS, rng.integers(0, 8, 10)])
    used = int(all_lengths.sum(1).max())
    values = jnp.asarray(rng.normal(size=(3, used, IN)), jnp.float32)
    lengths = jnp.asarray(all_lengths, jnp.int32)
    params = [
        jax.tree.map(lambda x, i=i: x * (1 + i), nnx.state(m, nnx.Param))
        for i, m in enumerate(models)
    ]

    def loss(params, values, lengths, packing):
        out = nnx.merge(graph, params)({"s": Ragged(values, lengths)}, packing)
        return jnp.sum(out**2)

    longest_of_any = np.sort(all_lengths, axis=1).max(axis=0)
    shared = pack(jnp.asarray(longest_of_any), 7, 3 * used)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *params)
    together = jax.vmap(jax.value_and_grad(loss), in_axes=(0, 0, 0, None))(
        stacked, values, lengths, shared
    )
    for run in range(3):
        own = pack(lengths[run], 7, used)
        alone = jax.value_and_grad(loss)(params[run], values[run], lengths[run], own)
        for a, b in zip(
            jax.tree.leaves(alone),
            jax.tree.leaves(jax.tree.map(lambda x, run=run: x[run], together)),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-5)


# Loops of the other batches of a plan: as long as this one's longest, and longer.
LOOPS = [
    StaticLoops((1, 2, 4, 7), 1),
    StaticLoops((3, 3, 6, 9), 2),
    StaticLoops((9, 9, 9, 9), 20),
]


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_loops_of_static_length_equal_dynamic_ones(cell, loops):
    model = encoder(cell, True)
    graph, params = nnx.split(model, nnx.Param)
    scales = jnp.arange(1.0, 4.0)
    batch = sequences(LENGTHS, padding=0.0)
    packing = pack(batch.lengths, 9, sum(LENGTHS))

    def found(packing):
        def of_run(scale, params, values):
            params = jax.tree.map(lambda x: scale * x, params)
            out = nnx.merge(graph, params)(
                {"s": Ragged(values, batch.lengths)}, packing
            )
            return jnp.sum(out**2), out

        each = jax.grad(of_run, argnums=(1, 2), has_aux=True)
        return jax.vmap(each, (0, None, None))(scales, params, batch.values)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6),
        found(dataclasses.replace(packing, static=loops)),
        found(packing),
    )


def test_planned_loops_reach_as_far_as_any_batch(monkeypatch):
    monkeypatch.setitem(UNROLLED, "cpu", 3)
    lengths = np.array([[9, 5, 4, 4, 1], [6, 6, 6, 1, 0]])
    # All five sequences, the longest four, three, two of them.
    assert planned_loops(lengths) == StaticLoops((1, 4, 6, 9), 3)
    assert planned_loops(lengths[:, :2]) == StaticLoops((6, 9), 3)
    monkeypatch.setitem(UNROLLED, "cpu", None)
    assert planned_loops(lengths) is None


def test_a_batch_of_empty_sequences_is_zero():
    model = encoder("gru", True)
    batch = Ragged(jnp.full((4, IN), jnp.nan), jnp.zeros(3, jnp.int32))
    np.testing.assert_array_equal(encode(model, batch), np.zeros((3, HIDDEN)))


def test_a_missing_packing_is_refused():
    with pytest.raises(ValueError, match="no packing"):
        encoder("gru", True)({"views": sequences(LENGTHS)}, None)


def test_loop_parts_do_not_matter(monkeypatch):
    from hm3_jax.nn import packing

    model, batch = encoder("gru", True), sequences(LENGTHS)
    wanted = encode(model, batch)
    for parts in (1, 3, 10):
        monkeypatch.setattr(packing, "_PARTS", parts)
        np.testing.assert_allclose(encode(model, batch), wanted, atol=1e-6)
