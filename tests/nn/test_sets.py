"""Pools and convolutions over ragged sets against loops over single sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hm3_jax.nn import ragged
from hm3_jax.nn.convolution import ConvEncoder
from hm3_jax.nn.layers import SequenceConv
from hm3_jax.nn.pooling import SetPool
from hm3_jax.nn.ragged import Ragged
from hm3_jax.nn.strategy import ConvConfig, PoolConfig

LENGTHS = {"views": [3, 1, 4, 2], "images": [0, 2, 0, 1], "videos": [1, 0, 0, 3]}
SIZE = 5


def items(padding=np.nan, extra=6):
    out = {}
    for seed, (kind, lengths) in enumerate(LENGTHS.items()):
        rows = np.random.default_rng(seed).normal(size=(sum(lengths) + 8, SIZE))
        rows = rows[: sum(lengths) + extra]
        rows[sum(lengths) :] = padding
        out[kind] = Ragged(
            jnp.asarray(rows, jnp.float32), jnp.asarray(lengths, jnp.int32)
        )
    return out


def each_set(batch: Ragged):
    lengths = np.asarray(batch.lengths)
    ends = np.cumsum(lengths)
    for end, length in zip(ends, lengths, strict=True):
        rows = np.asarray(batch.values[end - length : end], np.float64)
        yield rows if length else np.zeros((1, SIZE))


def numpy_of(param) -> np.ndarray:
    return np.asarray(param[...], np.float64)


def test_pool_equals_a_loop_over_sets():
    config = PoolConfig(kinds=dict.fromkeys(LENGTHS, SIZE), size=4, out_size=4)
    pool = SetPool(config, rngs=nnx.Rngs(0))
    means = []
    for kind, batch in items().items():
        layer = getattr(pool, kind)
        kernel, bias = numpy_of(layer.kernel), numpy_of(layer.bias)
        means.append(
            [np.maximum(x @ kernel + bias, 0).mean(0) for x in each_set(batch)]
        )
    joined = np.concatenate(means, axis=1)
    wanted = joined @ numpy_of(pool.out.kernel) + numpy_of(pool.out.bias)
    np.testing.assert_allclose(pool(items()), wanted, atol=1e-6)


def test_pool_without_last_layer_gives_the_means():
    config = PoolConfig(kinds={"views": SIZE}, size=4, out_size=None)
    pool = SetPool(config, rngs=nnx.Rngs(0))
    assert not hasattr(pool, "out")
    assert pool({"views": items()["views"]}).shape == (4, 4)


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 9])
def test_convolution_equals_numpy(kernel_size):
    conv = SequenceConv(SIZE, 4, kernel_size, rngs=nnx.Rngs(1))
    batch = items(padding=7.0)["views"]
    rows, membership = batch.rows()
    found = conv(rows, membership)
    kernel, bias = numpy_of(conv.kernel), numpy_of(conv.bias)
    half, start = (kernel_size - 1) // 2, 0
    for x in each_set(batch):
        padded = np.pad(x, [(half, half), (0, 0)])
        for step in range(len(x)):
            window = padded[step : step + kernel_size]
            wanted = np.einsum("ki,kio->o", window, kernel) + bias
            np.testing.assert_allclose(found[start + step], wanted, atol=1e-5)
        start += len(x)


@pytest.mark.parametrize("encoder", ["pool", "time", "channels"])
def test_padding_changes_neither_values_nor_gradients(encoder):
    kinds = dict.fromkeys(LENGTHS, SIZE)
    if encoder == "pool":
        config = PoolConfig(kinds=kinds, size=4, out_size=4)
        model = SetPool(config, rngs=nnx.Rngs(0))
    else:
        config = ConvConfig(
            kinds=kinds, channels=4, kernel_size=3, out_size=3, masking=encoder
        )
        model = ConvEncoder(config, rngs=nnx.Rngs(0))
    graph, params = nnx.split(model, nnx.Param)

    def loss(params, batch):
        return jnp.sum(nnx.merge(graph, params)(batch) ** 2)

    wanted = jax.value_and_grad(loss)(params, items(padding=0.0, extra=0))
    for padding in (np.nan, 1e30):
        found = jax.value_and_grad(loss)(params, items(padding=padding))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_row_owner():
    owner = ragged.row_owner(jnp.array([2, 0, 3, 0], jnp.int32), 8)
    assert owner.tolist() == [0, 0, 2, 2, 2, 4, 4, 4]


def test_take_sets():
    offsets = jnp.array([0, 2, 2, 5, 9], jnp.int32)
    rows, lengths = ragged.take_sets(
        offsets,
        jnp.array([3, 1, -1, 0], jnp.int32),
        jnp.array([True, True, False, True]),
        capacity=8,
    )
    assert lengths.tolist() == [4, 0, 0, 2]
    assert rows.tolist() == [5, 6, 7, 8, 0, 1, 0, 0]


def test_merge_sets():
    merged = ragged.merge_sets(
        jnp.array([2, 0, 3, 1, 9], jnp.int32), jnp.array([2, 0, 2], jnp.int32)
    )
    assert merged.tolist() == [2, 0, 4]
