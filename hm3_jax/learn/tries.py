"""The tries of a strategy as they are trained together, and their checkpoints."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hm3_jax.learn import checkpoint
from hm3_jax.learn.checkpoint import Checkpoint
from hm3_jax.learn.epoch import TrainState, fresh_state
from hm3_jax.learn.model import Model, stack, stack_params, take_run
from hm3_jax.learn.progress import Progress
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.nn.strategy import StrategyConfig


@dataclasses.dataclass(frozen=True)
class Tries:
    """State of several tries between two epochs.

    Attributes:
      epoch: number of finished epochs.
      state: parameters and optimiser, with a leading axis of tries.
      best: parameters of each try's best epoch; None where they are not kept.
      progress: of each try.
    """

    epoch: int
    state: TrainState
    best: Mapping[str, Any] | None
    progress: tuple[Progress, ...]

    @classmethod
    def fresh(cls, params: Mapping[str, Any], *, keep_best: bool) -> "Tries":
        """Tries that have not taken a step.

        Args:
          params: initial parameters with a leading axis of tries.
          keep_best: whether the best epoch's parameters will be wanted.
        """
        count = jax.tree.leaves(params)[0].shape[0]
        best = jax.tree.map(jnp.copy, params) if keep_best else None
        return cls(0, fresh_state(params), best, (Progress(),) * count)

    @property
    def ended(self) -> bool:
        """Whether every try has ended early."""
        return all(p.ended for p in self.progress)

    def after_epoch(self, state: TrainState, progress: tuple[Progress, ...]) -> "Tries":
        """Tries after one more epoch."""
        epoch = self.epoch + 1
        best = self.best
        if best is not None:
            improved = jax.device_put(
                np.array([p.best_epoch == epoch for p in progress])
            )
            best = _choose(improved, state.params, best)
        return Tries(epoch, state, best, progress)


@jax.jit
def _choose(first: jax.Array, a: Any, b: Any) -> Any:
    """Of every run `a` where `first` is True, else `b`."""

    def choose_run(first, a, b):
        return jax.tree.map(lambda x, y: jnp.where(first, x, y), a, b)

    return jax.vmap(choose_run)(first, a, b)


@dataclasses.dataclass(frozen=True)
class Identity:
    """What must be the same for a run to go on.

    Attributes:
      config: strategy.
      settings: of the run.
      feature_facts: what the features come from.
      dataset_name: of the store.
    """

    config: StrategyConfig
    settings: TrainSettings
    feature_facts: Mapping[str, Any]
    dataset_name: str

    def to_json(self) -> dict[str, Any]:
        """Settings and data set, as a checkpoint keeps them."""
        return {**dataclasses.asdict(self.settings), "dataset_name": self.dataset_name}

    def model(self, params: Mapping[str, Any]) -> Model:
        """A model with these parameters."""
        masking = self.settings.cnn1d_masking
        return Model(self.config, masking, params, self.feature_facts)


def save(folders: Sequence[Path], current: Tries, identity: Identity) -> None:
    """Saves every try.

    Args:
      folders: of the tries.
      current: their state.
      identity: of the run.
    """
    for run, (folder, progress) in enumerate(
        zip(folders, current.progress, strict=True)
    ):
        about = {
            "progress": dataclasses.asdict(progress),
            "settings": identity.to_json(),
        }
        # The best first: the last one says which best it belongs to.
        if current.best is not None and progress.best_epoch is not None:
            epoch = progress.best_epoch
            if epoch not in checkpoint.saved_epochs(folder, "best"):
                model = identity.model(take_run(current.best, run))
                checkpoint.save(folder, "best", Checkpoint(model, epoch, **about))
        checkpoint.save(
            folder,
            "last",
            Checkpoint(
                identity.model(take_run(current.state.params, run)),
                current.epoch,
                optimizer=take_run(current.state.optimizer._asdict(), run),
                **about,
            ),
        )


def load(folders: Sequence[Path], fresh: Tries, identity: Identity) -> Tries | None:
    """Loads the newest epoch that every try has saved, and forgets later ones.

    Args:
      folders: of the tries.
      fresh: state before the first epoch, for its structure.
      identity: of the run that wants to go on.

    Returns:
      The state, or None where there is none.

    Raises:
      ValueError: the run that is there differs in settings or features (named), or a
        checkpoint cannot be read.
    """
    epochs = [checkpoint.saved_epochs(folder, "last") for folder in folders]
    newest = max(set.intersection(*map(set, epochs)), default=0)
    for folder, of_try in zip(folders, epochs, strict=True):
        if of_try:
            found = checkpoint.load(folder, "last", newest or of_try[-1])
            _check_same(folder, found, identity)
    # A run that was killed between two tries would else be left with the later epoch
    # of one of them for good, and might one day have none in common.
    for folder in folders:
        checkpoint.forget_after(folder, newest)
    if newest == 0:
        return None
    saved = [checkpoint.load(f, "last", newest, optimizer=True) for f in folders]
    progress = tuple(Progress(**(found.progress or {})) for found in saved)

    def stacked(checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
        masking = identity.settings.cnn1d_masking
        params = [found.model.params for found in checkpoints]
        return stack_params(identity.config, masking, params)

    optimizer = type(fresh.state.optimizer)(**stack([s.optimizer for s in saved]))
    state = TrainState(stacked(saved), optimizer)
    best = None
    if fresh.best is not None:
        best = stacked(
            [
                checkpoint.load(folder, "best", p.best_epoch) if p.best_epoch else last
                for folder, last, p in zip(folders, saved, progress, strict=True)
            ]
        )
    return Tries(newest, state, best, progress)


def _check_same(folder: Path, found: Checkpoint, identity: Identity) -> None:
    wanted = identity.to_json()
    if found.model.config != identity.config:
        raise ValueError(
            f"{folder}: expected a run of {identity.config}, found {found.model.config}"
        )
    for name, value in wanted.items():
        before = (found.settings or {}).get(name)
        if before != value:
            raise ValueError(
                f"{folder}: the run there has {name} {before!r}, asked is {value!r}"
            )
    checkpoint.check_features(
        found.model, identity.feature_facts, identity.dataset_name
    )
