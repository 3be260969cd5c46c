"""A trained or fresh model: its strategy, parameters and where its features come from.

Runs that train together share one structure and stack their parameters; this module
goes between that form and the plain nested dictionaries that are saved and converted.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.nn.late_interaction import InteractionTowers
from hm3_jax.nn.strategy import StrategyConfig, TowersConfig
from hm3_jax.nn.towers import TwoTowers
from hm3_jax.objective.interaction_scores import LateInteraction
from hm3_jax.objective.similarity import CosineScores, Scores

Towers = TwoTowers | InteractionTowers

SCORES, LOSS = "scores", "loss"
"""Names of parameters that are not the towers'."""


@dataclasses.dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        config: strategy.
        params: nested dictionary of float32 arrays.
        feature_facts: what the features it was trained on come from, by kind; None
            where that is not known (a converted checkpoint).
    """

    config: StrategyConfig
    params: Mapping[str, Any]
    feature_facts: Mapping[str, Any] | None

    @property
    def spec(self) -> "ModelSpec":
        """Structure, to use with the parameters."""
        return ModelSpec(self.config)

    def stacked(self) -> dict[str, Any]:
        """Parameters as those of one run (leading axis 1), checked and on the device.

        Raises:
            ValueError: parameters are missing, unknown or of a wrong shape.
        """
        return stack_params(self.config, [self.params])


def _built(config: StrategyConfig, rngs: nnx.Rngs) -> Towers:
    if isinstance(config, LateInteractionConfig):
        return InteractionTowers(config, rngs=rngs)
    assert isinstance(config, TowersConfig)
    return TwoTowers(config, rngs=rngs)


@functools.cache
def _abstract(config: StrategyConfig):
    return nnx.eval_shape(lambda: _built(config, nnx.Rngs(0)))


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Structure of a model: what makes vectors of its parameters, and scores of those.

    Hashable, for `static_argnames`; equal for equal strategies. The parameters of a
    model are one nested dictionary: those of the towers by name, those of the scores
    under `SCORES` where they have some, and while it trains, those of the loss under
    `LOSS`.

    Attributes:
        config: the strategy.
    """

    config: StrategyConfig

    @property
    def scores(self) -> Scores:
        """Scores between what the towers make of descriptions and museums."""
        if isinstance(self.config, LateInteractionConfig):
            return LateInteraction(self.config.sharpness)
        return CosineScores()

    @property
    def compares_parts(self) -> bool:
        """Whether sentences are compared with items, rather than vectors of all."""
        return isinstance(self.config, LateInteractionConfig)

    @property
    def theme_weight(self) -> float:
        """How much a shared theme counts, unless a search says otherwise."""
        config = self.config
        return config.theme_weight if isinstance(config, LateInteractionConfig) else 0.0

    @property
    def tells_themes(self) -> bool:
        """Whether it has classifiers of themes; their `side_loss` trains them."""
        config = self.config
        return isinstance(config, LateInteractionConfig) and bool(config.themes)

    def side_loss(
        self,
        text: Any,
        scene: Any,
        themes: Int[Array, " batch"],
        valid: Bool[Array, " batch"],
    ) -> Float[Array, ""]:
        """What training lowers besides the loss of the scores: errors of themes.

        Args:
            text: what the text tower made of a batch.
            scene: what the scene tower made of it.
            themes: of the batch.
            valid: places that hold a museum.

        Returns:
            Sum over the valid ones.
        """
        assert isinstance(self.config, LateInteractionConfig)
        known = valid & (themes < (self.config.themes or 0))
        total = jnp.float32(0)
        for side in (text, scene):
            own = jnp.where(known, themes, 0)[:, None]
            likely = jnp.take_along_axis(side.themes, own, axis=1)[:, 0]
            total = total - jnp.sum(jnp.where(known, likely, 0))
        return total

    def towers(self, params: Mapping[str, Any]) -> Towers:
        """The towers with their parameters, without axes in front."""
        own = {name: x for name, x in params.items() if name not in (SCORES, LOSS)}
        return nnx.merge(nnx.graphdef(_abstract(self.config)), own)


# Drawing runs once, but its many small random streams take long to optimise.
@functools.partial(
    jax.jit,
    static_argnames="config",
    compiler_options={"xla_backend_optimization_level": 1},
)
def draw_params(config: StrategyConfig, keys: jax.Array) -> dict[str, Any]:
    """Initial parameters of several runs, those of the loss aside.

    Args:
        config: strategy.
        keys: random key of each run.

    Returns:
        Nested dictionary of arrays with a leading axis of runs.
    """

    def draw(key):
        model = _built(config, nnx.Rngs(params=key))
        return {**nnx.to_pure_dict(nnx.state(model, nnx.Param)), **_of_scores(config)}

    return jax.vmap(draw)(keys)


def _of_scores(config: StrategyConfig) -> dict[str, Any]:
    own = ModelSpec(config).scores.parameters()
    return {SCORES: own} if own else {}


def with_losses(
    params: Mapping[str, Any], losses: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Parameters of runs with those of their losses, where losses have some.

    Args:
        params: with a leading axis of runs, on the host.
        losses: of each run.
    """
    if not any(losses):
        return dict(params)
    return {**params, LOSS: jax.device_get(stack(losses))}


def stack_params(
    config: StrategyConfig, runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Parameters with a leading axis of runs from those of each run.

    Args:
        config: strategy.
        runs: parameters of each model.

    Raises:
        ValueError: parameters are missing, unknown or of a wrong shape.
    """
    state = nnx.state(_abstract(config), nnx.Param)
    wanted = _flat_shapes({**nnx.to_pure_dict(state), **_of_scores(config)})
    for params in runs:
        found = _flat_shapes(params)
        if found != wanted:
            wrong = min(
                name
                for name in wanted.keys() | found.keys()
                if wanted.get(name) != found.get(name)
            )
            raise ValueError(
                f"parameters do not fit {config.name}: {wrong} is expected "
                f"{_shape(wanted.get(wrong))}, found {_shape(found.get(wrong))}"
            )
    return stack(runs)


def stack(runs: Sequence[Any]) -> Any:
    """Joins equal trees along a new leading axis of runs, on the device."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *runs)


def take_run(tree: Any, run: int) -> Any:
    """One run of a tree with a leading axis of runs, on the host."""
    return jax.tree.map(lambda x: np.asarray(x[run]), tree)


def _flat_shapes(params: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(dict(params))
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
        for path, leaf in leaves
    }


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"of shape {shape}"
