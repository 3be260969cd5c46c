"""One epoch of training as one compiled call, for several runs on several devices.

Runs (the tries of an experiment, the points of a sweep) are a leading axis of
parameters, optimiser state and hyper-parameters; `learn.devices.mesh` says where each
is computed. The features are shared.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.learn.batches.features import Features
from hm3_jax.learn.batches.gather import descriptions, scenes
from hm3_jax.learn.batches.plan import Batches, Packings, StaticSizes, packings
from hm3_jax.learn.devices.mesh import BY_DEVICE, BY_RUN, DATA, EVERYWHERE, Layout
from hm3_jax.nn.towers import TwoTowers
from hm3_jax.objective.loss import LossConfig, LossWeights, retrieval_loss
from hm3_jax.objective.similarity import cosine_similarity

# torch.optim.Adam's defaults, which the published runs use.
_ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ParamState:
    """What an epoch changes; every array has a leading axis of slots.

    Attributes:
      params: nested dictionary of the parameters of both towers.
      optimizer: step count, first and second moments of Adam.
    """

    params: Mapping[str, Any]
    optimizer: optax.ScaleByAdamState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EpochInputs:
    """What an epoch is told; every array has a leading axis of slots.

    Attributes:
      lr: learning rate of this epoch.
      loss: margins and weight of the second component.
      key: random key of the epoch, for losses that draw.
      active: False for runs that must not change any more.
    """

    lr: Float[Array, " slots"]
    loss: LossWeights
    key: Array
    active: Bool[Array, " slots"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Steps:
    """What the steps of an epoch came to; 0 in groups without an active run.

    Attributes:
      loss: of each batch, before its step; inside a step, of one run's one batch.
      gradient_norm: Euclidean norm of the loss's gradient by all parameters together,
        before Adam scales it.
    """

    loss: Float[Array, "*slots_and_steps"]
    gradient_norm: Float[Array, "*slots_and_steps"]


def fresh_state(params: Mapping[str, Any]) -> ParamState:
    """State of runs that have not taken a step.

    Args:
      params: parameters with a leading axis of slots.
    """
    optimizer = cast(optax.ScaleByAdamState, jax.vmap(_ADAM.init)(params))
    return ParamState(params, optimizer)


@functools.partial(
    jax.jit,
    static_argnames=("graph", "capacity", "loss_config", "layout"),
    donate_argnames="state",
)
def train_epoch(
    state: ParamState,
    hyper: EpochInputs,
    batches: Batches,
    features: Features,
    first_step: Int[Array, ""] | int = 0,
    *,
    graph: nnx.GraphDef[TwoTowers],
    capacity: StaticSizes,
    loss_config: LossConfig,
    layout: Layout,
) -> tuple[ParamState, Steps]:
    """Takes one optimiser step for each batch, in order.

    A batch that is split over devices is one batch all the same: the loss, its
    denominators and its themes are those of the whole.

    Args:
      state: of every slot; given up to the result.
      hyper: of every slot.
      batches: as `MuseumSizes.plan` spreads them over the same layout.
      features: of all museums, or fed for these batches.
      first_step: number of batches of this epoch that were taken before.
      graph: graph definition of the model.
      capacity: holds every batch, see `MuseumSizes.capacity`.
      loss_config: structure of the loss.
      layout: of the devices.

    Returns:
      New state, and what the steps came to.
    """
    shares = layout.data_devices

    def loss_of(params, museums, layouts, weights, key, features):
        model = nnx.merge(graph, params)
        loss = _batch_loss(
            model,
            features,
            museums,
            layouts,
            capacity,
            loss_config,
            weights,
            key,
            shares,
        )
        # Every device has the whole loss: its gradient comes from all of them.
        return loss / shares, loss

    def one_step(params, optimizer, hyper, museums, layouts, step, features):
        key = jax.random.fold_in(hyper.key, step)
        grads, loss = jax.grad(loss_of, has_aux=True)(
            params, museums, layouts, hyper.loss, key, features
        )
        if shares > 1:
            grads = lax.psum(grads, DATA)
        # Optax raises a float to the power of an integer step count.
        with jax.numpy_dtype_promotion("standard"):
            updates, new_optimizer = _ADAM.update(grads, optimizer)
        updates = jax.tree.map(lambda u: -hyper.lr * u, updates)
        params = cast(Mapping[str, Any], optax.apply_updates(params, updates))
        came_to = Steps(loss, _norm(grads))
        return params, cast(optax.ScaleByAdamState, new_optimizer), came_to

    def of_device(state, hyper, batches, features, first_step):
        batches, features = batches.local(), features.local()
        axes = (0, 0, 0, 0, None, None, None)
        steps_of_group: Callable[..., Any] = jax.vmap(one_step, in_axes=axes)

        def group(of_runs, of_group):
            state, hyper, museums = of_runs

            def step(carry, x):
                step, museums, sentences, sequence = x
                params, optimizer, came_to = steps_of_group(
                    *carry,
                    hyper,
                    museums,
                    packings(sentences, sequence, capacity),
                    step,
                    features,
                )
                return (params, optimizer), came_to

            steps = first_step + jnp.arange(museums.shape[1], dtype=jnp.int32)
            (params, optimizer), of_steps = lax.scan(
                step,
                (state.params, state.optimizer),
                (steps, jnp.moveaxis(museums, 1, 0), *of_group),
            )
            trained = jax.tree.map(
                jax.vmap(jnp.where),
                jax.tree.map(lambda _: hyper.active, state),
                ParamState(params, optimizer),
                state,
            )
            return trained, jax.tree.map(jnp.transpose, of_steps)

        def skip(of_runs, of_group):
            state, _, museums = of_runs
            zeros = jnp.zeros(museums.shape[:2], jnp.float32)
            return state, Steps(zeros, zeros)

        return layout.map_groups(
            group,
            hyper.active,
            (state, hyper, batches.museums),
            (batches.sentences, batches.sequence),
            otherwise=skip,
        )

    return layout.spread(
        of_device,
        (
            BY_RUN,
            BY_RUN,
            BY_DEVICE,
            BY_DEVICE if features.fed else EVERYWHERE,
            EVERYWHERE,
        ),
        (BY_RUN, BY_RUN),
    )(state, hyper, batches, features, jnp.asarray(first_step, jnp.int32))


def _norm(grads: Mapping[str, Any]) -> Float[Array, ""]:
    # Sums of squares would be fused with what computes the gradient, and change its
    # last bits with the number of steps and devices; products are left alone.
    flat = [x.ravel() for x in jax.tree.leaves(grads)]
    return jnp.sqrt(sum(jnp.vdot(x, x, precision=lax.Precision.HIGHEST) for x in flat))


def _batch_loss(
    model: TwoTowers,
    features: Features,
    museums: Int[Array, " share"],
    layouts: Packings,
    capacity: StaticSizes,
    loss_config: LossConfig,
    weights: LossWeights,
    key: Array,
    shares: int,
) -> Float[Array, ""]:
    """Loss of the batch that this device has a share of; free places take no part."""
    text = model.embed_descriptions(descriptions(features, museums, layouts, capacity))
    scene = model.embed_scenes(scenes(features, museums, layouts, capacity))
    valid = museums >= 0
    themes = features.themes[jnp.where(valid, museums, 0)]
    if shares > 1:
        text, scene, valid, themes = lax.all_gather(
            (text, scene, valid, themes), DATA, tiled=True
        )
    similarity = cosine_similarity(text, scene, valid)
    loss, _ = retrieval_loss(similarity, themes, valid, loss_config, weights, key)
    return loss
