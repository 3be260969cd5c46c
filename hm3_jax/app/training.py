"""Experiments carried out from a command line: what `train` and `sweep` share."""

import statistics
from collections.abc import Sequence

from hm3_jax.cli.training_display import Wording, display
from hm3_jax.cli.training_flags import (
    FEATURES,
    GRACE_SECONDS,
    PROGRESS,
    RESUME,
    given_execution,
    given_trackers,
)
from hm3_jax.data.open_features import open_features
from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
from hm3_jax.learn.saved.run_folder import TryResult
from hm3_jax.learn.training.experiment import Experiment, run_experiments
from hm3_jax.learn.training.graceful_stop import GracefulStop
from hm3_jax.learn.training.trainer import StoppedError


def carry_out(
    experiments: Sequence[Experiment], wording: Wording, *, keep_going: bool = False
) -> int:
    """Trains and tests experiments as the flags say.

    Args:
      experiments: each into its own folder.
      wording: of what is shown.
      keep_going: whether runs that diverge are put aside.

    Returns:
      The exit code: 1 where a run has failed.
    """
    trackers = given_trackers()
    keep_compiled_programs()
    store = open_features(FEATURES.value)
    print(
        f"{store.dataset_name} ({store.manifest.kind} features): "
        + ", ".join(f"{len(ids)} {split}" for split, ids in store.splits.items())
    )
    try:
        with (
            GracefulStop(grace_seconds=GRACE_SECONDS.value) as stop,
            display(PROGRESS.value, wording, experiments) as listeners,
        ):
            failed = run_experiments(
                experiments,
                store,
                listeners,
                given_execution(keep_going=keep_going),
                resume=RESUME.value,
                stop=stop,
                trackers=trackers,
            )
    except StoppedError as stopped:
        print(f"{stopped}; --resume goes on from there")
        return 0
    if failed:
        print(f"{len(failed)} runs failed: {', '.join(failed)}")
    return 1 if failed else 0


def summary_of_test(results: Sequence[TryResult]) -> list[str]:
    """Lines with the means over tries of what matters most, one a direction."""
    lines = []
    for direction, what in (("t2s", "text to museum"), ("s2t", "museum to text")):
        means = {
            name: statistics.fmean(
                r.tested.metrics[f"{direction}_{name}"] for r in results
            )
            for name in ("R@1", "R@5", "R@10", "median_rank", "mAP", "mAP_by_class")
        }
        shown = "  ".join(f"{name} {value:.1f}" for name, value in means.items())
        lines.append(f"{what}: {shown}")
    return lines
