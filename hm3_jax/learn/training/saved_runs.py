"""What runs have saved: whether they may go on from it, and how good it is."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hm3_jax.learn.batches.spans import QUERY_LENGTHS, QUERY_SEED
from hm3_jax.learn.devices import processes
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.model import stack_params
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.run import Run, RunRecord
from hm3_jax.learn.saved.run_folder import TryResult
from hm3_jax.learn.training.state import TrainingState


def check_folders(task: Task, runs: Sequence[Run], *, resume: bool) -> None:
    """Refuses to train runs into folders with something else.

    Args:
        task: strategy and store.
        runs: that are to train together.
        resume: whether existing runs continue.

    Raises:
        FileExistsError: there is a run already and `resume` is False.
        ValueError: the run that is there has other settings or features.
    """
    for run in runs:
        if run.folder.exists() and not resume:
            raise FileExistsError(
                f"{run.folder}: expected no run there, found one (give another "
                "--experiment_name or --workdir, or continue with --resume)"
            )
        before = RunRecord.read(run.folder)
        if before is None:
            if checkpoint.saved_epochs(run.folder, "last"):
                raise ValueError(
                    f"{run.folder}: expected the run's record beside its "
                    "checkpoints, found no run.json"
                )
            continue
        wanted = RunRecord.of(run, task.config, task.store, runs)
        before.check(wanted, task.config, run.folder)
        for what, was, now in (
            ("with JAX", before.jax_version, wanted.jax_version),
            ("together with", before.together, wanted.together),
        ):
            if was != now:
                warnings.warn(
                    f"{run.folder}: was trained {what} {_short(was)} before, now "
                    f"{_short(now)}: the last bits may differ from those of a run "
                    "that was not interrupted",
                    stacklevel=2,
                )


def evaluate_saved(
    task: Task, runs: Sequence[Run], current: TrainingState, layout: Layout
) -> list[TryResult | None]:
    """Tests what was saved of every run, not what is in memory.

    Args:
        task: strategy and store.
        runs: all of them.
        current: their state, all having ended.
        layout: of the devices to use.

    Returns:
        The test of every run; None for one that has failed.
    """
    sound = [n for n, p in enumerate(current.progress) if p.failure is None]
    if not sound:
        return [None] * len(runs)
    params, epochs = _saved([runs[n] for n in sound], task, current)
    spread = Layout.of(len(sound), list(layout.mesh.devices.flat), vector=layout.vector)
    split = task.split("test", spread)
    tested = split.test(params, task.spec, lengths=QUERY_LENGTHS, seed=QUERY_SEED)
    results: list[TryResult | None] = [None] * len(runs)
    for number, epoch, result in zip(sound, epochs, tested, strict=True):
        results[number] = TryResult(runs[number].attempt, int(epoch), result)
    return results


def _saved(
    runs: Sequence[Run], task: Task, current: TrainingState
) -> tuple[Mapping[str, Any], np.ndarray]:
    """Parameters that were saved of some runs, stacked, and their epochs."""
    if processes.is_writer():
        saved = [checkpoint.load_model(run.folder) for run in runs]
        params = stack_params(task.config, [found.model.params for found in saved])
        epochs = np.array([found.epoch for found in saved], np.int32)
    else:
        # A network's file system may not show here yet what was just written.
        params = jax.tree.map(
            lambda x: np.zeros((len(runs), *x.shape[1:]), x.dtype),
            current.state.params,
        )
        epochs = np.zeros(len(runs), np.int32)
    return processes.from_writer((params, epochs))


def _short(value: str | list[str]) -> str:
    if isinstance(value, str):
        return value
    return f"{len(value)} runs ({', '.join(value[:2])}{', ...' if value[2:] else ''})"
