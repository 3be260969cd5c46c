"""The optimiser of a run: its structure here, its numbers in what an epoch is told."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

# torch.optim.Adam's defaults, which the published runs use.
_ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rates:
    """Numbers of an epoch's steps; in `EpochInputs` with a leading axis of slots.

    Attributes:
        lr: learning rate.
        weight_decay: share of every parameter that a step takes away, times `lr`; read
            only where the optimiser decays weights.
    """

    lr: Float[Any, "*slots"]
    weight_decay: Float[Any, "*slots"]


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Adam, with decoupled weight decay (AdamW) where a run asks for it.

    Frozen and hashable, for `static_argnames`.

    Attributes:
        decays_weights: whether `Rates.weight_decay` is read.

    References:
        Kingma and Ba, Adam (2015); Loshchilov and Hutter, Decoupled Weight Decay
        Regularization (2019).
    """

    decays_weights: bool = False

    def init(self, params: Mapping[str, Any]) -> optax.ScaleByAdamState:
        """State before the first step of one run."""
        return cast(optax.ScaleByAdamState, _ADAM.init(dict(params)))

    def step(
        self,
        params: Mapping[str, Any],
        grads: Mapping[str, Any],
        state: optax.ScaleByAdamState,
        rates: Rates,
    ) -> tuple[Mapping[str, Any], optax.ScaleByAdamState]:
        """One step of one run: new parameters and state."""
        # Optax raises a float to the power of an integer step count.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = cast(Any, _ADAM.update(grads, state))
        if self.decays_weights:
            updates = jax.tree.map(
                # Biases and single numbers are no weights.
                lambda u, p: u + rates.weight_decay * p if jnp.ndim(p) > 1 else u,
                updates,
                params,
            )
        updates = jax.tree.map(lambda u: -rates.lr * u, updates)
        return cast(Mapping[str, Any], optax.apply_updates(params, updates)), state


ADAM = Optimizer()
"""What the published runs use."""
