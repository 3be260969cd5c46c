"""One epoch of training as one compiled call, for several runs on several devices.

Runs (the tries of an experiment, the points of a sweep) are a leading axis of
parameters, optimiser state and inputs-parameters; `learn.devices.mesh` says where each
is computed. The features are shared.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.learn.batches.features import Features
from hm3_jax.learn.batches.gather import descriptions, scenes
from hm3_jax.learn.batches.plan import Batches, Packings, StaticSizes, packings
from hm3_jax.learn.devices.mesh import BY_DEVICE, BY_RUN, DATA, EVERYWHERE, Layout
from hm3_jax.learn.model import LOSS, SCORES, ModelSpec
from hm3_jax.learn.training.optimizer import ADAM, Optimizer, Rates
from hm3_jax.objective.loss import Loss

# Folded into a step's key: the loss draws from the key itself.
_DROPOUT = 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ParamState:
    """What an epoch changes; every array has a leading axis of slots.

    Attributes:
        params: nested dictionary of the parameters: those of both towers, of the scores
            and of the loss, see `learn.model`.
        optimizer: step count, first and second moments of Adam.
    """

    params: Mapping[str, Any]
    optimizer: optax.ScaleByAdamState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EpochInputs:
    """Inputs of an epoch; every array has a leading axis of slots.

    Attributes:
        rates: of the optimiser.
        loss: numbers of the loss, of its kind.
        key: random key of the epoch, for losses that draw.
        active: False for runs that must not change any more.
    """

    rates: Rates
    loss: Any
    key: Array
    active: Bool[Array, " slots"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Steps:
    """Results of the steps of an epoch; 0 in groups without an active run.

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
    return ParamState(params, jax.vmap(ADAM.init)(params))


@functools.partial(
    jax.jit,
    static_argnames=("spec", "capacity", "loss", "layout", "optimizer"),
    donate_argnames="state",
)
def train_epoch(
    state: ParamState,
    inputs: EpochInputs,
    batches: Batches,
    features: Features,
    first_step: Int[Array, ""] | int = 0,
    *,
    spec: ModelSpec,
    capacity: StaticSizes,
    loss: Loss,
    layout: Layout,
    optimizer: Optimizer = ADAM,
) -> tuple[ParamState, Steps]:
    """Takes one optimiser step for each batch, in order.

    A batch that is split over devices is one batch all the same: the loss, its
    denominators and its themes are those of the whole.

    Args:
        state: of every slot; given up to the result.
        inputs: of every slot.
        batches: as `MuseumSizes.plan` spreads them over the same layout.
        features: of all museums, or fed for these batches.
        first_step: number of batches of this epoch that were taken before.
        spec: structure of the model.
        capacity: holds every batch, see `MuseumSizes.capacity`.
        loss: structure of the loss.
        layout: of the devices.
        optimizer: structure of the optimiser.

    Returns:
        New state, and the results of the steps.
    """
    shares = layout.data_devices

    def loss_of(params, museums, spans, packing, numbers, key, features):
        value = _batch_loss(
            spec,
            params,
            features,
            museums,
            spans,
            packing,
            capacity,
            loss,
            numbers,
            key,
            shares,
        )
        # Every device has the whole loss: its gradient comes from all of them.
        return value / shares, value

    def one_step(params, moments, inputs, museums, spans, packing, step, features):
        key = jax.random.fold_in(inputs.key, step)
        grads, value = jax.grad(loss_of, has_aux=True)(
            params, museums, spans, packing, inputs.loss, key, features
        )
        if shares > 1:
            grads = lax.psum(grads, DATA)
        params, moments = optimizer.step(params, grads, moments, inputs.rates)
        return params, moments, Steps(value, _norm(grads))

    def of_device(state, inputs, batches, features, first_step):
        batches, features = batches.local(), features.local()
        axes = (0, 0, 0, 0, 0, None, None, None)
        steps_of_group: Callable[..., Any] = jax.vmap(one_step, in_axes=axes)

        def group(of_runs, of_group):
            state, inputs, museums, spans = of_runs

            def step(carry, x):
                step, (museums, spans), sentences, sequence = x
                params, moments, came_to = steps_of_group(
                    *carry,
                    inputs,
                    museums,
                    spans,
                    packings(sentences, sequence, capacity),
                    step,
                    features,
                )
                return (params, moments), came_to

            steps = first_step + jnp.arange(museums.shape[1], dtype=jnp.int32)
            by_step = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (museums, spans))
            (params, moments), of_steps = lax.scan(
                step,
                (state.params, state.optimizer),
                (steps, by_step, *of_group),
            )
            trained = jax.tree.map(
                jax.vmap(jnp.where),
                jax.tree.map(lambda _: inputs.active, state),
                ParamState(params, moments),
                state,
            )
            return trained, jax.tree.map(jnp.transpose, of_steps)

        def skip(of_runs, of_group):
            state, _, museums, _ = of_runs
            zeros = jnp.zeros(museums.shape[:2], jnp.float32)
            return state, Steps(zeros, zeros)

        return layout.map_groups(
            group,
            inputs.active,
            (state, inputs, batches.museums, batches.spans),
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
    )(state, inputs, batches, features, jnp.asarray(first_step, jnp.int32))


def _norm(grads: Mapping[str, Any]) -> Float[Array, ""]:
    # Sums of squares would be fused with what computes the gradient, and change its
    # last bits with the number of steps and devices; products are left alone.
    flat = [x.ravel() for x in jax.tree.leaves(grads)]
    return jnp.sqrt(sum(jnp.vdot(x, x, precision=lax.Precision.HIGHEST) for x in flat))


def _batch_loss(
    spec: ModelSpec,
    params: Mapping[str, Any],
    features: Features,
    museums: Int[Array, " share"],
    spans: Int[Array, "share 2"] | None,
    packing: Packings,
    capacity: StaticSizes,
    loss: Loss,
    numbers: Any,
    key: Array,
    shares: int,
) -> Float[Array, ""]:
    """Loss of the batch that this device has a share of; free places take no part."""
    towers = spec.towers(params)
    dropout = jax.random.fold_in(key, _DROPOUT)
    if shares > 1:
        dropout = jax.random.fold_in(dropout, lax.axis_index(DATA))
    of_text, of_scene = jax.random.split(dropout)
    text = towers.embed_descriptions(
        descriptions(features, museums, packing, capacity, spans), of_text
    )
    scene = towers.embed_scenes(scenes(features, museums, packing, capacity), of_scene)
    own = valid = present = museums >= 0
    own_scene = scene
    own_themes = themes = features.themes[jnp.where(valid, museums, 0)]
    comparisons = spec.scores
    shared = shares > 1 and comparisons.costly
    if shares > 1:
        scene = comparisons.gathered(scene, DATA)
        present, themes = lax.all_gather((valid, themes), DATA, tiled=True)
        if not shared:
            text, valid = comparisons.gathered(text, DATA), present
    scores = comparisons(text, scene, valid, params.get(SCORES, {}), present)
    if shared:
        scores = lax.all_gather(scores, DATA, tiled=True)
    value = loss(scores, themes, present, numbers, key, params.get(LOSS, {}))
    if spec.tells_themes:
        side = spec.side_loss(text, own_scene, own_themes, own)
        if shared:
            side = lax.psum(side, DATA)
        value += side / jnp.maximum(jnp.sum(present, dtype=side.dtype), 1)
    return value
