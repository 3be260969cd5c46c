"""Runs experiments and prints about them: what `train` and `sweep` share."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

from hm3_jax.data.open_features import open_features
from hm3_jax.data.summary import splits_line
from hm3_jax.files.words import counted
from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training.experiment import Experiment, Listeners, run_experiments
from hm3_jax.learn.training.graceful_stop import GracefulStop
from hm3_jax.learn.training.trainer import StoppedError
from hm3_jax.objective.sample_size import certain_recalls
from hm3_jax.tracking.tracker import Tracker


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOrder:
    """How experiments are to be run.

    Attributes:
        features: a store, as `open_features` takes it.
        execution: where and how runs are computed.
        resume: continue what is in the experiments' folders.
        grace_seconds: time after a signal to finish and save the epoch.
        trackers: informed of every run.
    """

    features: str
    execution: Execution
    resume: bool
    grace_seconds: float
    trackers: Sequence[Tracker]


def carry_out(
    experiments: Sequence[Experiment],
    order: TrainingOrder,
    shown: Callable[
        [Sequence[Experiment]], contextlib.AbstractContextManager[Listeners]
    ],
) -> int:
    """Trains and tests experiments.

    Args:
        experiments: each into its own folder.
        order: what else is asked for.
        shown: shows their progress while the context lasts.

    Returns:
        The exit code: 1 where a run has failed.
    """
    programs = keep_compiled_programs()
    store = open_features(order.features)
    print(
        f"{store.dataset_name} ({store.manifest.kind} features): "
        + splits_line(store.manifest)
    )
    if programs is not None:
        print(f"compiled programs are kept in {programs}", flush=True)
    for split in ("val", "test"):
        # What the lines of epochs show.
        for note in certain_recalls(split, len(store.splits.get(split, ())), [10]):
            print(f"note: {note}")
    try:
        with (
            GracefulStop(grace_seconds=order.grace_seconds) as stop,
            shown(experiments) as listeners,
        ):
            failed = run_experiments(
                experiments,
                store,
                listeners,
                order.execution,
                resume=order.resume,
                stop=stop,
                trackers=order.trackers,
            )
    except StoppedError as stopped:
        print(f"{stopped}; --resume continues from there")
        return 0
    if failed:
        print(f"{counted(len(failed), 'run')} failed: {', '.join(failed)}")
    return 1 if failed else 0
