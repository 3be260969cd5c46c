"""One epoch of training as one compiled call, for several runs at once.

Runs (the tries of an experiment, or the points of a sweep) are a leading axis of
parameters, optimiser state and hyper-parameters. The features are shared.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.learn.features import (
    Capacity,
    Features,
    descriptions,
    pack_batches,
    scenes,
)
from hm3_jax.nn.towers import TwoTowers
from hm3_jax.objective.loss import LossConfig, LossWeights, retrieval_loss
from hm3_jax.objective.similarity import cosine_similarity

# torch.optim.Adam's defaults, which the published runs use.
_ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """What an epoch changes; every array has a leading axis of runs.

    Attributes:
      params: nested dictionary of the parameters of both towers.
      optimizer: step count, first and second moments of Adam.
    """

    params: Mapping[str, Any]
    optimizer: optax.ScaleByAdamState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Hyper:
    """What an epoch is told; every array has a leading axis of runs.

    Attributes:
      lr: learning rate of this epoch.
      loss: margins and weight of the second component.
      key: random key of the epoch, for losses that draw.
      active: False for runs that must not change any more.
    """

    lr: Float[Array, " runs"]
    loss: LossWeights
    key: Array
    active: Bool[Array, " runs"]


def fresh_state(params: Mapping[str, Any]) -> TrainState:
    """State of runs that have not taken a step.

    Args:
      params: parameters with a leading axis of runs.
    """
    optimizer = cast(optax.ScaleByAdamState, jax.vmap(_ADAM.init)(params))
    return TrainState(params, optimizer)


@functools.partial(
    jax.jit,
    static_argnames=("graph", "capacity", "loss_config"),
    donate_argnames="state",
)
def train_epoch(
    state: TrainState,
    hyper: Hyper,
    batches: Int[Array, "runs steps batch"],
    features: Features,
    *,
    graph: nnx.GraphDef[TwoTowers],
    capacity: Capacity,
    loss_config: LossConfig,
) -> tuple[TrainState, Float[Array, "runs steps"]]:
    """Takes one optimiser step for each batch, in order.

    Args:
      state: of every run; given up to the result.
      hyper: of every run.
      batches: museum numbers, `order.EMPTY` where a place is free.
      features: shared by all runs.
      graph: graph definition of the model.
      capacity: holds every batch, see `Counts.capacity`.
      loss_config: structure of the loss.

    Returns:
      New state, and the loss before each step.
    """

    def loss_of(params, museums, packings, weights, key):
        model = nnx.merge(graph, params)
        return batch_loss(
            model, features, museums, packings, capacity, loss_config, weights, key
        )

    def one_step(params, optimizer, hyper, museums, packings, step):
        key = jax.random.fold_in(hyper.key, step)
        loss, grads = jax.value_and_grad(loss_of)(
            params, museums, packings, hyper.loss, key
        )
        # Optax raises a float to the power of an integer step count.
        with jax.numpy_dtype_promotion("standard"):
            updates, new_optimizer = _ADAM.update(grads, optimizer)
        updates = jax.tree.map(lambda u: -hyper.lr * u, updates)
        params = cast(Mapping[str, Any], optax.apply_updates(params, updates))
        return params, cast(optax.ScaleByAdamState, new_optimizer), loss

    steps_of_runs = jax.vmap(one_step, in_axes=(0, 0, 0, 0, None, None))

    def step(carry, x):
        step, museums = x
        packings = pack_batches(features, museums, capacity)
        params, optimizer = carry
        params, optimizer, loss = steps_of_runs(
            params, optimizer, hyper, museums, packings, step
        )
        return (params, optimizer), loss

    steps = jnp.arange(batches.shape[1], dtype=jnp.int32)
    (params, optimizer), losses = jax.lax.scan(
        step, (state.params, state.optimizer), (steps, jnp.moveaxis(batches, 1, 0))
    )
    new_state = jax.tree.map(
        jax.vmap(jnp.where, in_axes=(0, 0, 0)),
        jax.tree.map(lambda _: hyper.active, state),
        TrainState(params, optimizer),
        state,
    )
    return new_state, losses.T


def batch_loss(
    model: TwoTowers,
    features: Features,
    museums: Int[Array, " batch"],
    packings: Any,
    capacity: Capacity,
    loss_config: LossConfig,
    weights: LossWeights,
    key: Array,
) -> Float[Array, ""]:
    """Loss of one batch; free places take no part.

    Args:
      model: both towers.
      features: of the store.
      museums: batch, `order.EMPTY` where a place is free.
      packings: of this batch.
      capacity: static sizes.
      loss_config: structure of the loss.
      weights: margins and weight of the second component.
      key: for losses that draw.
    """
    text = model.embed_descriptions(descriptions(features, museums, packings, capacity))
    scene = model.embed_scenes(scenes(features, museums, packings, capacity))
    valid = museums >= 0
    themes = features.themes[jnp.where(valid, museums, 0)]
    similarity = cosine_similarity(text, scene, valid)
    loss, _ = retrieval_loss(similarity, themes, valid, loss_config, weights, key)
    return loss
