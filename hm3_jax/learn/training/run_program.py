"""Runs of one strategy, as many at once as the memory holds."""

import warnings
from collections.abc import Callable, Sequence

import jax

from hm3_jax.learn.devices import processes
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.saved.run import Run, RunRecord
from hm3_jax.learn.saved.run_folder import TryResult
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training.graceful_stop import GracefulStop
from hm3_jax.learn.training.program import DoesNotFitError
from hm3_jax.learn.training.run_logs import EpochReport
from hm3_jax.learn.training.trainer import StoppedError, Trainer
from hm3_jax.tracking.following import Follower


def run_program(
    task: Task,
    runs: Sequence[Run],
    listener: Callable[[EpochReport], None],
    follower: Follower,
    execution: Execution,
    resume: bool,
    stop: GracefulStop | None,
) -> dict[Run, TryResult | None]:
    """Trains as many runs together as the device's memory allows, then the others.

    Args:
        task: their strategy and store.
        runs: with equal `settings.program`.
        listener: called after every epoch.
        follower: informed of every run, its epochs and its test.
        execution: where and how to compute the runs.
        resume: continue what is in their folders.
        stop: asked after every epoch.

    Returns:
        The test of every run; None for one that has failed.

    Raises:
        StoppedError: `stop` was requested; everything is saved.
    """
    waiting = list(runs)
    results: dict[Run, TryResult | None] = {}
    fitting = None
    while waiting:
        together = _companions(waiting) if resume and fitting is None else waiting
        if processes.any_of_them(stop is not None and stop.requested):
            raise StoppedError(f"stopped before training {task.config.file_stem}")
        together = together[: fitting or execution.runs_at_once or len(together)]
        try:
            trainer = Trainer(task, together, execution)
            tested = trainer.run(
                resume=resume or fitting is not None,
                listener=listener,
                follower=follower,
                stop=stop,
            )
        except (DoesNotFitError, jax.errors.JaxRuntimeError) as error:
            fitting = _fewer(len(together), error)
            warnings.warn(
                f"{task.config.file_stem}: {len(together)} runs at once do not fit "
                f"into memory; continuing with {fitting} at once",
                stacklevel=2,
            )
            continue
        results |= dict(zip(together, tested, strict=True))
        waiting = [run for run in waiting if run not in results]
    return results


def _companions(waiting: Sequence[Run]) -> list[Run]:
    """The first run and those it was trained with before; all if that is not known."""
    first = waiting[0]
    before = RunRecord.read(first.folder)
    if before is None:
        return list(waiting)
    return [run for run in waiting if first.path_to(run) in before.together]


def _fewer(runs: int, error: Exception) -> int:
    """How many runs to try at once after so many did not fit."""
    if isinstance(error, DoesNotFitError):
        return max(1, min(runs - 1, runs * error.available // error.needed))
    # Of several processes, the others do not know.
    if "RESOURCE_EXHAUSTED" not in str(error) or runs == 1 or jax.process_count() > 1:
        raise error
    return runs // 2
