"""Trains runs of one strategy as one program, and tests what was saved of each."""

import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hm3_jax.learn import checkpoint, cohort, hosts
from hm3_jax.learn.cohort import Cohort, has_ended
from hm3_jax.learn.execution import Execution
from hm3_jax.learn.interruption import GracefulStop
from hm3_jax.learn.layout import Layout
from hm3_jax.learn.model import draw_params, stack_params
from hm3_jax.learn.places import Places
from hm3_jax.learn.program import PARAMETERS, Program, keys_of
from hm3_jax.learn.progress import Progress
from hm3_jax.learn.run_folder import MetricsLog, TryResult, write_strategy
from hm3_jax.learn.runs import Run, RunRecord
from hm3_jax.learn.task import Task


class NonFiniteLossError(ArithmeticError):
    """The loss of a step, or an embedding after an epoch, was NaN or infinite."""


class StoppedError(Exception):
    """Training was asked to stop, and everything is saved."""


@dataclasses.dataclass(frozen=True, slots=True)
class EpochReport:
    """What is shown of an epoch while training.

    Attributes:
      epoch: number of finished epochs.
      epochs: of the whole run, the longest of them.
      runs: names of those that took part.
      train_loss: mean over steps, by run.
      val_loss: by run.
      val_metrics: published keys, by run.
      museums_per_second: museums of all runs trained on, by second of training.
    """

    epoch: int
    epochs: int
    runs: Sequence[str]
    train_loss: Sequence[float]
    val_loss: Sequence[float]
    val_metrics: Sequence[dict[str, float]]
    museums_per_second: float


class Trainer:
    """Some runs of one strategy on one store, trained together."""

    def __init__(self, task: Task, runs: Sequence[Run], execution: Execution):
        """Takes note; plans, compiles and writes nothing.

        Args:
          task: strategy and store.
          runs: with equal `settings.program`.
          execution: how to carry them out.
        """
        self._task, self._runs, self._execution = task, tuple(runs), execution
        layout = Layout.of(
            len(runs),
            execution.devices(),
            # The published masking looks at all batch-mates.
            splits_batches=task.masking == "time",
        )
        self._first = Places.of(range(len(runs)), layout)
        self._programs: dict[Places, Program] = {}
        self._epochs = max(run.settings.epochs for run in runs)

    def run(
        self,
        *,
        resume: bool = False,
        listener: Callable[[EpochReport], None] = lambda report: None,
        stop: GracefulStop | None = None,
    ) -> list[TryResult | None]:
        """Trains, then tests what was saved.

        Args:
          resume: go on from the checkpoints below the folders, if there are any.
          listener: called after every epoch.
          stop: asked after every epoch.

        Returns:
          The test of every run; None of one that has failed.

        Raises:
          NonFiniteLossError: names epoch and step, and the last epoch saved.
          DoesNotFitError: fewer runs at once may fit.
          FileExistsError: there is a run already and `resume` is False.
          ValueError: the run that is there has other settings or features.
          StoppedError: `stop` was requested.
        """
        self._check_folders(resume)
        current = self._start()
        # All have read what there is to go on from, before it is changed.
        if not hosts.same_for_all(repr(current.progress)):
            raise ValueError(
                f"{self._runs[0].folder.parent}: expected every process to find the "
                "same checkpoints there, found others in some: do all hosts share that "
                "file system?"
            )
        logs = self._prepare_folders(current) if hosts.is_writer() else {}
        saved_at, recorded = time.monotonic(), False
        while active := self._active(current):
            current = self._epoch(current, active, logs, listener)
            ended = [n for n in active if self._has_ended(n, current)]
            going_on = [n for n in active if n not in ended]
            stopping = hosts.any_of_them(stop is not None and stop.requested)
            waited = time.monotonic() - saved_at
            due = hosts.of_writer(waited >= self._execution.save_every_seconds)
            if stopping or due:
                ended += going_on
                saved_at = time.monotonic()
            if not recorded and hosts.is_writer():
                # Not before: now it is known that these runs fit together.
                for run in self._runs:
                    self._record(run).write(run.folder)
                recorded = True
            if ended:
                for log in logs.values():
                    log.flush()
                cohort.save(self._runs, sorted(ended), current, self._task)
                if stop is not None and set(ended) == set(active):
                    stop.saved = f"epoch {current.epoch} of {self._runs[0].name}"
            if stopping:
                hosts.wait_for_all("everything is saved")
                raise StoppedError(f"stopped after epoch {current.epoch}")
        hosts.wait_for_all("everything is saved")
        return self._test(current)

    def _has_ended(self, number: int, current: Cohort) -> bool:
        return has_ended(self._runs[number], current.progress[number])

    def _active(self, current: Cohort) -> list[int]:
        """Runs that take another epoch."""
        every = range(len(self._runs))
        return [number for number in every if not self._has_ended(number, current)]

    def _check_folders(self, resume: bool) -> None:
        for run in self._runs:
            if run.folder.exists() and not resume:
                raise FileExistsError(
                    f"{run.folder}: expected no run there, found one (give another "
                    "--experiment_name or --workdir, or go on with --resume)"
                )
            before = RunRecord.read(run.folder)
            if before is None:
                if checkpoint.saved_epochs(run.folder, "last"):
                    raise ValueError(
                        f"{run.folder}: expected the run's record beside its "
                        "checkpoints, found no run.json"
                    )
                continue
            wanted = self._record(run)
            before.check(wanted, self._task.config, run.folder)
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

    def _record(self, run: Run) -> RunRecord:
        return RunRecord.of(run, self._task.config, self._task.store, self._runs)

    def _start(self) -> Cohort:
        masking = self._task.masking
        runs = [self._runs[number] for number in self._first.stand_ins]
        keys = keys_of(runs, PARAMETERS, 0)
        params = jax.device_get(draw_params(self._task.config, masking, keys))
        start = cohort.fresh(self._runs, self._first, params)
        return cohort.load(self._runs, start, self._task)

    def _prepare_folders(self, current: Cohort) -> dict[int, MetricsLog]:
        cohort.forget_later(self._runs, current)
        logs = {}
        for number, run in enumerate(self._runs):
            run.folder.mkdir(parents=True, exist_ok=True)
            write_strategy(run.folder.parent, self._task.config)
            epochs = current.progress[number].epoch
            logs[number] = MetricsLog(run.folder, epochs)
        return logs

    def _program(self, places: Places) -> Program:
        if places not in self._programs:
            self._programs[places] = Program(self._task, self._runs, places)
        return self._programs[places]

    def _epoch(
        self,
        current: Cohort,
        active: Sequence[int],
        logs: dict[int, MetricsLog],
        listener: Callable[[EpochReport], None],
    ) -> Cohort:
        epoch = current.epoch
        # Also those that ended later than this epoch before an interruption.
        present = [
            number
            for number, progress in enumerate(current.progress)
            if number in active or progress.begun > epoch
        ]
        current = current.moved(current.places.compacted(present))
        places = current.places
        program = self._program(places)
        hyper = program.hyper(active, epoch)
        begin = time.perf_counter()
        state, losses = program.train(current.state, hyper, epoch)
        seconds = time.perf_counter() - begin
        scores = program.score(state, hyper, epoch)
        train_losses = losses.mean(axis=1, dtype=np.float64)
        progress = list(current.progress)
        shown = []
        for number in active:
            run, place = self._runs[number], places.runs.index(number)
            val_metrics, train_metrics = scores.val[place], scores.train[place]
            failure = _failure(losses[place], (val_metrics, train_metrics), epoch)
            if failure is not None:
                progress[number] = self._put_aside(number, current, failure)
                continue
            assert not isinstance(val_metrics, str)
            weights = run.settings.loss_weights(epoch)
            if number in logs:
                logs[number].write(
                    {
                        "epoch": epoch + 1,
                        "lr": run.settings.learning_rate(epoch),
                        "second_loss_component_weight": (
                            weights.second_component_weight
                            if run.settings.loss_config.has_second_component
                            else None
                        ),
                        "train_loss": float(train_losses[place]),
                        "val_loss": float(scores.val_loss[place]),
                        "train": train_metrics,
                        "val": val_metrics,
                    }
                )
            progress[number] = current.progress[number].after_epoch(
                run.settings, val_metrics, float(scores.val_loss[place])
            )
            shown.append((number, place, val_metrics))
        if hosts.is_writer():
            listener(
                EpochReport(
                    epoch=epoch + 1,
                    epochs=self._epochs,
                    runs=[self._runs[number].name for number, _, _ in shown],
                    train_loss=[float(train_losses[place]) for _, place, _ in shown],
                    val_loss=[float(scores.val_loss[place]) for _, place, _ in shown],
                    val_metrics=[metrics for _, _, metrics in shown],
                    museums_per_second=(len(active) * program.museums / seconds),
                )
            )
        return current.after_epoch(state, tuple(progress))

    def _put_aside(self, number: int, current: Cohort, failure: str) -> Progress:
        """Notes that a run has failed, or ends the training of all."""
        run = self._runs[number]
        epochs = checkpoint.saved_epochs(run.folder, "last")
        saved = f"epoch {epochs[-1]} is saved" if epochs else "no epoch was saved"
        message = f"{run.name}: {failure}; {saved} in {run.folder}"
        if not self._execution.keep_going:
            raise NonFiniteLossError(message)
        warnings.warn(message, stacklevel=2)
        return current.progress[number].failed(failure)

    def _test(self, current: Cohort) -> list[TryResult | None]:
        """Tests what was saved of every run, not what is in memory."""
        sound = [n for n, p in enumerate(current.progress) if p.failure is None]
        if not sound:
            return [None] * len(self._runs)
        params, epochs = self._saved(sound, current)
        layout = Layout.of(
            len(sound),
            list(self._first.layout.mesh.devices.flat),
            vector=self._first.layout.vector,
        )
        split = self._task.split("test", layout)
        tested = split.test(params, self._task.graph)
        results: list[TryResult | None] = [None] * len(self._runs)
        for number, epoch, result in zip(sound, epochs, tested, strict=True):
            attempt = self._runs[number].attempt
            results[number] = TryResult(attempt, int(epoch), result)
        return results

    def _saved(
        self, numbers: Sequence[int], current: Cohort
    ) -> tuple[Mapping[str, Any], np.ndarray]:
        """Parameters that were saved of some runs, stacked, and their epochs."""
        if hosts.is_writer():
            saved = [checkpoint.load_model(self._runs[n].folder) for n in numbers]
            params = stack_params(
                self._task.config,
                self._task.masking,
                [found.model.params for found in saved],
            )
            epochs = np.array([found.epoch for found in saved], np.int32)
        else:
            # A network's file system may not show here yet what was just written.
            params = jax.tree.map(
                lambda x: np.zeros((len(numbers), *x.shape[1:]), x.dtype),
                current.state.params,
            )
            epochs = np.zeros(len(numbers), np.int32)
        return hosts.from_writer((params, epochs))


def _failure(losses: np.ndarray, metrics: tuple[Any, Any], epoch: int) -> str | None:
    """What went wrong with a run in an epoch (from 0), None if nothing did."""
    wrong = ~np.isfinite(losses)
    if wrong.any():
        step = int(wrong.argmax())
        return f"loss became {losses[step]} in epoch {epoch + 1}, step {step + 1}"
    faults = [fault for fault in metrics if isinstance(fault, str)]
    return f"{faults[0]} after epoch {epoch + 1}" if faults else None


def _short(value: str | list[str]) -> str:
    if isinstance(value, str):
        return value
    return f"{len(value)} runs ({', '.join(value[:2])}{', ...' if value[2:] else ''})"
