"""What tells runs apart: every setting that can change a number.

Two runs have the same settings only if all of them are the same, those that this
version does not know and the strategy's own (sizes, directions) among them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from hm3_jax.reporting.published import load_published, said
from hm3_jax.reporting.records import Run

THEME_SETTINGS = (
    "use_categories_in_loss",
    "loss_within_category_margin",
    "second_loss_component_weight",
)
"""Settings that make the standard triplet loss the theme-aware one."""

# What is trained, how long and how it is chosen, but not the form of the loss. All
# else is taken for the loss: what is not known may be anything.
_NOT_THE_LOSS = {
    "batch_size",
    "best_strategy",
    "cnn1d_masking",
    "epochs",
    "loss_delta",
    "loss_margin",
    "loss_patience",
    "lr",
    "matmul_precision",
    "number_of_tries",
    "save_strategy",
    "scheduler_gamma",
    "scheduler_step_size",
    "seed",
}


def loss_of(run: Run) -> Literal["standard", "theme-aware", "other"]:
    """Which published loss a run was trained with; "other" where it is none."""
    settings, defaults = _all(run), load_published().defaults
    for name in settings.keys() - _NOT_THE_LOSS - set(THEME_SETTINGS):
        if name not in defaults or settings[name] != defaults[name]:
            return "other"
    themes, margin, weight = (settings.get(name) for name in THEME_SETTINGS)
    if themes:
        return "theme-aware"
    return "standard" if margin is None and weight is None else "other"


def differing(runs: Sequence[Run], ignored: Collection[str] = ()) -> dict[Run, str]:
    """Of each run what sets it apart from the others, "lr 0.001, seed 1".

    Args:
        runs: to tell apart. What the strategy itself says counts between runs of one
            name only.
        ignored: settings that are left out.

    Returns:
        Empty texts where nothing differs.
    """
    settings = [_all(run) for run in runs]
    names = [name for name in _differing_names(settings) if name not in ignored]
    inside = {
        strategy: _differing_names(
            [run.flat_config for run in runs if run.strategy == strategy]
        )
        for strategy in {run.strategy for run in runs}
    }
    return {
        run: ", ".join(
            _said(of_run, names) + _said(run.flat_config, inside[run.strategy])
        )
        for run, of_run in zip(runs, settings, strict=True)
    }


def shared(runs: Sequence[Run]) -> dict[str, Any]:
    """Settings that all runs have in common."""
    settings = [_all(run) for run in runs]
    apart = set(_differing_names(settings))
    return {name: value for name, value in settings[0].items() if name not in apart}


def _all(run: Run) -> dict[str, Any]:
    return load_published().settings_of(run)


def _said(settings: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [
        f"{name} {said(settings[name])}" if name in settings else f"{name} not set"
        for name in names
    ]


def _differing_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names in their order whose values are not the same in all."""
    names = dict.fromkeys(name for one in settings for name in one)
    first = settings[0]
    return [
        name
        for name in names
        if any(name not in one or one[name] != first.get(name) for one in settings)
    ]
