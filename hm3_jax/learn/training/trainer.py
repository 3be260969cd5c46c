"""Trains runs of one strategy as one program, and tests what was saved of each."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from hm3_jax.learn.batches.plan import BatchThemes
from hm3_jax.learn.devices import processes
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.devices.run_slots import RunSlots
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.model import draw_params, with_losses
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.run import Run, RunRecord
from hm3_jax.learn.saved.run_folder import TryResult, check_log
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training import state
from hm3_jax.learn.training.epoch import Steps
from hm3_jax.learn.training.graceful_stop import GracefulStop
from hm3_jax.learn.training.program import PARAMETERS, EpochScores, Program, keys_of
from hm3_jax.learn.training.run_logs import EpochReport, RunEpoch, RunLogs
from hm3_jax.learn.training.saved_runs import check_folders, evaluate_saved
from hm3_jax.learn.training.state import TrainingState, has_ended
from hm3_jax.learn.training.stopping import TryProgress
from hm3_jax.tracking.following import NOBODY, Follower


class NonFiniteLossError(ArithmeticError):
    """The loss of a step, or an embedding after an epoch, was NaN or infinite."""


class StoppedError(Exception):
    """Training was asked to stop, and everything is saved."""


class Trainer:
    """Some runs of one strategy on one store, trained together."""

    def __init__(self, task: Task, runs: Sequence[Run], execution: Execution):
        """Takes note; plans, compiles and writes nothing.

        Args:
            task: strategy and store.
            runs: with equal `settings.program`.
            execution: where and how to compute them.
        """
        self._task, self._runs, self._execution = task, tuple(runs), execution
        layout = Layout.of(
            len(runs),
            execution.devices(),
            splits_batches=task.splits_batches,
        )
        self._first = RunSlots.of(range(len(runs)), layout)
        self._programs: dict[RunSlots, Program] = {}
        self._epochs = max(run.settings.epochs for run in runs)

    def run(
        self,
        *,
        resume: bool = False,
        listener: Callable[[EpochReport], None] = lambda report: None,
        follower: Follower = NOBODY,
        stop: GracefulStop | None = None,
    ) -> list[TryResult | None]:
        """Trains, then tests what was saved.

        Args:
            resume: continue from the checkpoints below the folders, if there are any.
            listener: called after every epoch.
            follower: informed of every run, its epochs and its test.
            stop: asked after every epoch.

        Returns:
            The test of every run; None for one that has failed.

        Raises:
            NonFiniteLossError: names epoch and step, and the last epoch saved.
            DoesNotFitError: fewer runs at once may fit.
            FileExistsError: there is a run already and `resume` is False.
            ValueError: the run that is there has other settings or features.
            StoppedError: `stop` was requested.
        """
        check_folders(self._task, self._runs, resume=resume)
        current = self._start()
        # All have read what there is to go on from, before it is changed.
        if not processes.same_for_all(repr(current.progress)):
            raise ValueError(
                f"{self._runs[0].folder.parent}: expected every process to find the "
                "same checkpoints there, found others in some: do all hosts share that "
                "file system?"
            )
        logs = self._logs(current, follower) if processes.is_writer() else None
        saved_at, recorded = time.monotonic(), False
        while active := self._active(current):
            current = self._epoch(current, active, logs, listener)
            ended = [n for n in active if self._has_ended(n, current)]
            going_on = [n for n in active if n not in ended]
            stopping = processes.any_of_them(stop is not None and stop.requested)
            waited = time.monotonic() - saved_at
            due = processes.of_writer(waited >= self._execution.save_every_seconds)
            if stopping or due:
                ended += going_on
                saved_at = time.monotonic()
            if not recorded and processes.is_writer():
                # Not before: now it is known that these runs fit together.
                for run in self._runs:
                    record = RunRecord.of(
                        run, self._task.config, self._task.store, self._runs
                    )
                    record.write(run.folder)
                recorded = True
            if ended:
                if logs is not None:
                    logs.flush()
                state.save(self._runs, sorted(ended), current, self._task)
                if stop is not None and set(ended) == set(active):
                    stop.saved = f"epoch {current.epoch} of {self._runs[0].name}"
            if stopping:
                processes.wait_for_all("everything is saved")
                raise StoppedError(f"stopped after epoch {current.epoch}")
        processes.wait_for_all("everything is saved")
        results = evaluate_saved(self._task, self._runs, current, self._first.layout)
        if logs is not None:
            logs.tested(results)
        return results

    def _has_ended(self, number: int, current: TrainingState) -> bool:
        return has_ended(self._runs[number], current.progress[number])

    def _active(self, current: TrainingState) -> list[int]:
        """Runs that take another epoch."""
        every = range(len(self._runs))
        return [number for number in every if not self._has_ended(number, current)]

    def _start(self) -> TrainingState:
        runs = [self._runs[number] for number in self._first.stand_ins]
        keys = keys_of(runs, PARAMETERS, 0)
        losses = [run.settings.loss_function.parameters() for run in runs]
        drawn = jax.device_get(draw_params(self._task.config, keys))
        params = with_losses(self._task.initial(drawn), losses)
        start = state.fresh(self._runs, self._first, params)
        return state.load(self._runs, start, self._task)

    def _logs(self, current: TrainingState, follower: Follower) -> RunLogs:
        for run, progress in zip(self._runs, current.progress, strict=True):
            check_log(run.folder, progress.epoch, progress.log_checksum)
        state.forget_later(self._runs, current)
        finished = [progress.epoch for progress in current.progress]
        return RunLogs(self._task, self._runs, finished, follower)

    def _program(self, slots: RunSlots) -> Program:
        if slots not in self._programs:
            self._programs[slots] = Program(self._task, self._runs, slots)
        return self._programs[slots]

    def _epoch(
        self,
        current: TrainingState,
        active: Sequence[int],
        logs: RunLogs | None,
        listener: Callable[[EpochReport], None],
    ) -> TrainingState:
        """Trains one epoch, scores it, and tells what it came to."""
        epoch = current.epoch
        # Also those that ended later than this epoch before an interruption.
        present = [
            number
            for number, progress in enumerate(current.progress)
            if number in active or progress.begun > epoch
        ]
        current = current.moved(current.slots.compacted(present))
        program = self._program(current.slots)
        inputs = program.inputs(active, epoch)
        begin, before = time.perf_counter(), program.compile_seconds
        state, steps = program.train(current.state, inputs, epoch)
        trained = time.perf_counter()
        compiling = program.compile_seconds - before
        training = trained - begin - compiling
        scores = program.score(state, inputs, epoch)
        scored = time.perf_counter()
        speed = {
            "museums_per_second": len(active) * program.museums / training,
            "runs": len(active),
            "compile_seconds": compiling,
            "train_seconds": training,
            "score_seconds": scored - trained,
        }
        progress = list(current.progress)
        came_to: dict[int, RunEpoch] = {}
        for number in active:
            slot = current.slots.runs.index(number)
            of_run = _came_to(steps, scores, slot, program.themes(number, epoch), epoch)
            if isinstance(of_run, str):
                if logs is not None:
                    logs.failed(number, epoch, of_run)
                progress[number] = self._put_aside(number, current, of_run)
                continue
            came_to[number] = of_run
            checksum = None
            if logs is not None:
                checksum = logs.write(number, epoch, of_run, speed)
            progress[number] = current.progress[number].after_epoch(
                self._runs[number].settings, of_run.val, of_run.val_loss, checksum
            )
        if logs is not None:
            listener(self._report(epoch, came_to, speed))
        return current.after_epoch(state, tuple(progress))

    def _report(
        self, epoch: int, came_to: Mapping[int, RunEpoch], speed: Mapping[str, float]
    ) -> EpochReport:
        return EpochReport(
            epoch=epoch + 1,
            epochs=self._epochs,
            runs=[self._runs[number].name for number in came_to],
            train_loss=[of_run.train_loss for of_run in came_to.values()],
            val_loss=[of_run.val_loss for of_run in came_to.values()],
            val_metrics=[dict(of_run.val) for of_run in came_to.values()],
            museums_per_second=speed["museums_per_second"],
            compile_seconds=speed["compile_seconds"],
        )

    def _put_aside(
        self, number: int, current: TrainingState, failure: str
    ) -> TryProgress:
        """Notes that a run has failed, or ends the training of all."""
        run = self._runs[number]
        epochs = checkpoint.saved_epochs(run.folder, "last")
        saved = f"epoch {epochs[-1]} is saved" if epochs else "no epoch was saved"
        message = f"{run.name}: {failure}; {saved} in {run.folder}"
        if not self._execution.keep_going:
            raise NonFiniteLossError(message)
        warnings.warn(message, stacklevel=2)
        return current.progress[number].failed(failure)


def _came_to(
    steps: Steps, scores: EpochScores, slot: int, themes: BatchThemes, epoch: int
) -> RunEpoch | str:
    """What an epoch (from 0) came to in a slot, or what went wrong with the run."""
    losses = np.asarray(steps.loss)[slot]
    wrong = ~np.isfinite(losses)
    if wrong.any():
        step = int(wrong.argmax())
        return f"loss became {losses[step]} in epoch {epoch + 1}, step {step + 1}"
    val, train = scores.val[slot], scores.train[slot]
    if isinstance(val, str) or isinstance(train, str):
        fault = val if isinstance(val, str) else train
        return f"{fault} after epoch {epoch + 1}"
    norms = np.asarray(steps.gradient_norm)[slot]
    return RunEpoch(losses, norms, themes, float(scores.val_loss[slot]), train, val)
