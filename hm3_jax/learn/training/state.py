"""Runs as they are trained together: their state between two epochs, saved and loaded.

Each run's checkpoints are its own. A run that has ended is saved one last time and
leaves; the others are saved at the same epochs, so that there is one to go on from.
"""

import dataclasses
import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hm3_jax.files.json_files import read_object, write_json
from hm3_jax.files.run_format import FAILURE
from hm3_jax.learn.devices.mesh import BY_RUN
from hm3_jax.learn.devices.run_slots import RunSlots, slots_at
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.model import LOSS, Model, stack_params, take_run, with_losses
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.learn.saved.run import Run
from hm3_jax.learn.training.epoch import ParamState, fresh_state
from hm3_jax.learn.training.log_replay import check_fits_log
from hm3_jax.learn.training.stopping import TryProgress


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """State of runs that train together.

    Attributes:
        epoch: number of finished epochs.
        slots: where each run is computed.
        state: parameters and optimiser, with a leading axis of slots.
        best: parameters of each run's best epoch; None where no run keeps them.
        progress: of each run. That of a run which had ended before an interruption may
            be ahead of `epoch`.
    """

    epoch: int
    slots: RunSlots
    state: ParamState
    best: Mapping[str, Any] | None
    progress: tuple[TryProgress, ...]

    def after_epoch(
        self, state: ParamState, progress: tuple[TryProgress, ...]
    ) -> "TrainingState":
        """Runs after one more epoch."""
        epoch = self.epoch + 1
        best = self.best
        if best is not None:
            improved = np.array(
                [
                    run >= 0 and progress[run].best_epoch == epoch
                    for run in self.slots.runs
                ]
            )
            best = _choose(self.slots.layout.put(improved, BY_RUN), state.params, best)
        return TrainingState(epoch, self.slots, state, best, progress)

    def moved(self, slots: RunSlots) -> "TrainingState":
        """The same runs in other slots."""
        if slots == self.slots:
            return self
        old = [self.slots.runs.index(run) for run in slots.stand_ins]

        def move(tree):
            return slots.layout.rearranged(tree, old)

        best = None if self.best is None else move(self.best)
        return dataclasses.replace(self, slots=slots, state=move(self.state), best=best)


@jax.jit
def _choose(first: jax.Array, a: Any, b: Any) -> Any:
    """Of every slot `a` where `first` is True, else `b`."""

    def choose_run(first, a, b):
        return jax.tree.map(lambda x, y: jnp.where(first, x, y), a, b)

    return jax.vmap(choose_run)(first, a, b)


def has_ended(run: Run, progress: TryProgress) -> bool:
    """Whether a run takes no more epochs."""
    return progress.ended or progress.epoch >= run.settings.epochs


def fresh(
    runs: Sequence[Run], first: RunSlots, params: Mapping[str, Any]
) -> TrainingState:
    """Runs that have not taken a step.

    Args:
        runs: to train.
        first: their slots.
        params: initial parameters of the slots' runs, on the host.
    """
    put = functools.partial(first.layout.put, spec=BY_RUN)
    keeps_best = any(run.settings.save_strategy == "best" for run in runs)
    return TrainingState(
        epoch=0,
        slots=first,
        state=put(jax.device_get(fresh_state(params))),
        best=put(params) if keeps_best else None,
        progress=(TryProgress(),) * len(runs),
    )


def save(
    runs: Sequence[Run], chosen: Sequence[int], current: TrainingState, task: Task
) -> None:
    """Saves some runs; one that has failed is only noted as such.

    Args:
        runs: all of them.
        chosen: numbers of those to save.
        current: their state, fetched from the devices by every process.
        task: their strategy and store.

    Raises:
        OSError: the disk did not take it.
    """
    layout = current.slots.layout
    state = layout.fetch(current.state)
    best = None if current.best is None else layout.fetch(current.best)
    if jax.process_index() != 0:
        return
    facts = task.store.feature_facts()
    features_checksum = task.store.manifest.checksum

    def model(params: Mapping[str, Any], place: int) -> Model:
        of_model = {name: x for name, x in params.items() if name != LOSS}
        return Model(task.config, take_run(of_model, place), facts)

    def loss(params: Mapping[str, Any], place: int) -> dict[str, Any]:
        return {"loss": take_run(params[LOSS], place)} if LOSS in params else {}

    saves = []
    for number in chosen:
        run, progress = runs[number], current.progress[number]
        if progress.failure is not None:
            write_json(run.folder / FAILURE, dataclasses.asdict(progress))
            continue
        place = current.slots.place_of(number)
        assert place is not None
        about = {
            "progress": dataclasses.asdict(progress),
            "settings": dataclasses.asdict(run.settings),
            "run": {
                "experiment": run.experiment,
                "strategy": task.config.file_stem,
                "try": run.attempt,
                "features_checksum": features_checksum,
            },
        }
        # The best first: the last one says which best it belongs to.
        epoch = progress.best_epoch
        if epoch is not None and epoch not in checkpoint.saved_epochs(
            run.folder, "best"
        ):
            assert best is not None
            saved = Checkpoint(model(best, place), epoch, **about, **loss(best, place))
            saves.append((run.folder, "best", saved))
        saved = Checkpoint(
            model(state.params, place),
            current.epoch,
            optimizer=take_run(state.optimizer._asdict(), place),
            **about,
            **loss(state.params, place),
        )
        saves.append((run.folder, "last", saved))
    checkpoint.save_many(saves)


def load(runs: Sequence[Run], start: TrainingState, task: Task) -> TrainingState:
    """Loads the newest epoch that every unfinished run has saved.

    Runs that had ended stay as they were saved. In epochs before they ended their
    slots are kept, so that the others' numbers come out the same to the last bit.

    Args:
        runs: to continue.
        start: their state before the first epoch.
        task: their strategy and store.

    Returns:
        The state; `start` where nothing is saved.

    Raises:
        ValueError: a checkpoint is of another run, try, slot or epoch.
    """
    saved = [_usable(run) for run in runs]
    ended = [_ended(run, epochs) for run, epochs in zip(runs, saved, strict=True)]
    going_on = [number for number, p in enumerate(ended) if p is None]
    if not going_on:
        finished = tuple(p for p in ended if p is not None)
        return dataclasses.replace(
            start, epoch=max(p.epoch for p in finished), progress=finished
        )
    newest = max(set.intersection(*(set(saved[n]) for n in going_on)), default=0)
    progress = tuple(
        p or (saved[n][newest] if newest else TryProgress())
        for n, p in enumerate(ended)
    )
    last_epochs = [None if p is None else p.begun for p in ended]
    slots = slots_at(newest, start.slots, last_epochs)
    if newest == 0:
        if any(saved[n] for n in going_on):
            warnings.warn(
                f"{runs[0].folder}: starts again, because the runs that train together "
                "have no saved epoch in common",
                stacklevel=2,
            )
        return dataclasses.replace(start, progress=progress)

    # The slot of a run that has ended is computed with, but nobody looks.
    stand_in = going_on[0]
    of_slots = [n if n in going_on else stand_in for n in slots.stand_ins]
    loaded = {
        n: checkpoint.load(runs[n].folder, "last", newest, optimizer=True)
        for n in going_on
    }

    def placed(found: Mapping[int, Checkpoint]) -> Any:
        rows = [found[n] for n in of_slots]
        params = stack_params(task.config, [row.model.params for row in rows])
        return slots.layout.put(with_losses(params, [row.loss for row in rows]), BY_RUN)

    params = placed(loaded)
    optimizers = [loaded[n].optimizer for n in of_slots]
    optimizer = type(start.state.optimizer)(
        **slots.layout.put(
            jax.tree.map(lambda *rows: np.stack(rows), *optimizers), BY_RUN
        )
    )
    best = None
    if start.best is not None:
        best = placed(
            {
                n: checkpoint.load(runs[n].folder, "best", p.best_epoch)
                if (p := progress[n]).best_epoch is not None
                else loaded[n]
                for n in going_on
            }
        )
    return TrainingState(newest, slots, ParamState(params, optimizer), best, progress)


def forget_later(runs: Sequence[Run], current: TrainingState) -> None:
    """Deletes what unfinished runs have saved of epochs that will be trained again.

    Of those that have ended, what a kill left.
    """
    for run, progress in zip(runs, current.progress, strict=True):
        if has_ended(run, progress):
            checkpoint.tidy(run.folder)
        else:
            checkpoint.forget_after(run.folder, current.epoch)


def _usable(run: Run) -> dict[int, TryProgress]:
    """Epochs a run can go on from or has ended with; names what is damaged.

    Raises:
        ValueError: a checkpoint is of another run, try, slot or epoch.
    """
    usable: dict[int, TryProgress] = {}
    whole = checkpoint.usable_epochs(run.folder, "last")
    best = checkpoint.usable_epochs(run.folder, "best")
    for epoch in reversed(checkpoint.saved_epochs(run.folder, "last")):
        if epoch not in whole:
            _, problems = checkpoint.newest_usable(run.folder, "last", among=[epoch])
            warnings.warn(f"{'; '.join(problems)}; it is not used", stacklevel=2)
            continue
        progress = _progress(run, "last", epoch)
        if progress.best_epoch is not None and progress.best_epoch not in best:
            # That of an older epoch has made room, maybe, when a newer best was saved.
            if not usable:
                warnings.warn(
                    f"{run.folder}: epoch {epoch} is not used: its best epoch "
                    f"{progress.best_epoch} is missing or damaged",
                    stacklevel=2,
                )
            continue
        if progress.best_epoch is not None:
            _progress(run, "best", progress.best_epoch)
        usable[epoch] = progress
    return usable


def _progress(run: Run, slot: checkpoint.Slot, epoch: int) -> TryProgress:
    """What a checkpoint says, which is seen to be of this run."""
    where = f"{run.folder}, {slot} epoch {epoch}"
    found = checkpoint.read_progress(run.folder, slot, epoch)
    progress = TryProgress.read(found, where)
    check_fits_log(run, progress, where)
    return progress


def _ended(run: Run, saved: Mapping[int, TryProgress]) -> TryProgress | None:
    """Where a run has ended, None if it has not."""
    failure = run.folder / FAILURE
    if failure.exists():
        return TryProgress.read(read_object(failure), failure)
    if saved and has_ended(run, progress := saved[max(saved)]):
        return progress
    return None
