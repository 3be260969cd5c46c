"""Trains and tests one strategy: its tries as one compiled program."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hm3_jax.data.store import FeatureStore
from hm3_jax.learn import checkpoint, order, tries
from hm3_jax.learn.epoch import Hyper, train_epoch
from hm3_jax.learn.evaluation import Split
from hm3_jax.learn.features import Counts, check_sizes, load_features
from hm3_jax.learn.model import draw_params, graph_of
from hm3_jax.learn.run_folder import (
    MetricsLog,
    TryResult,
    try_folder,
    write_strategy,
)
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.learn.tries import Tries
from hm3_jax.nn.strategy import StrategyConfig

# Seconds between saves, besides the one at the end.
_SAVE_EVERY = 60.0

# Streams of randomness of a try.
_PARAMETERS, _TRAIN_LOSS, _VAL_LOSS = range(3)


class NonFiniteLossError(ArithmeticError):
    """The loss of a step, or an embedding after an epoch, was NaN or infinite."""


@dataclasses.dataclass(frozen=True, slots=True)
class EpochReport:
    """What is shown of an epoch while training.

    Attributes:
      epoch: number of finished epochs.
      epochs: of the whole run.
      train_loss: mean over steps, by try.
      val_loss: by try.
      val_metrics: published keys, by try.
      museums_per_second: museums of all tries trained on, by second of training.
    """

    epoch: int
    epochs: int
    train_loss: Sequence[float]
    val_loss: Sequence[float]
    val_metrics: Sequence[dict[str, float]]
    museums_per_second: float


class Trainer:
    """Some tries of one strategy on one store, trained together."""

    def __init__(
        self,
        store: FeatureStore,
        config: StrategyConfig,
        settings: TrainSettings,
        folder: Path,
        attempts: Sequence[int],
    ):
        """Plans every batch of the run; compiles and writes nothing.

        Args:
          store: with splits train, val and test.
          config: strategy.
          settings: of the run.
          folder: of the strategy.
          attempts: numbers of the tries, from 1.

        Raises:
          ValueError: the store does not serve the strategy, or lacks a split.
        """
        self.check(store, config)
        self._store, self._config, self._settings = store, config, settings
        self._folder, self._attempts = folder, tuple(attempts)
        self._features = load_features(store, config)
        counts = Counts.of(self._features)
        self._train, self._val, self._test = (
            Split(
                self._features,
                counts,
                store.splits[name],
                f"{store.path}, split {name}",
            )
            for name in ("train", "val", "test")
        )
        self._batches = self._plan()
        # One size for all epochs, so that one compilation serves them all.
        self._capacity = counts.capacity(
            np.concatenate(self._batches, axis=1)  # (runs, all steps, batch)
        )

    @staticmethod
    def check(store: FeatureStore, config: StrategyConfig) -> None:
        """Refuses a store that does not serve a strategy; cheap.

        Raises:
          ValueError: features or a split are missing, or of another size.
        """
        check_sizes(store, config)
        for name in ("train", "val", "test"):
            if len(store.splits.get(name, ())) == 0:
                raise ValueError(
                    f"{store.path}: expected museums in split {name}, found none"
                )

    def _plan(self) -> list[np.ndarray]:
        """Batches of every epoch, int32 (runs, steps, batch)."""
        settings = self._settings
        return [
            np.stack(
                [
                    order.epoch_batches(
                        self._store.splits["train"],
                        settings.batch_size,
                        seed=settings.seed,
                        attempt=attempt,
                        epoch=epoch,
                    )
                    for attempt in self._attempts
                ]
            )
            for epoch in range(settings.epochs)
        ]

    def run(
        self,
        *,
        resume: bool = False,
        listener: Callable[[EpochReport], None] = lambda report: None,
    ) -> list[TryResult]:
        """Trains, then tests what was saved.

        Args:
          resume: go on from the checkpoints below the folder, if there are any.
          listener: called after every epoch.

        Returns:
          The test of every try.

        Raises:
          NonFiniteLossError: names epoch and step, and the last epoch saved.
          FileExistsError: there is a run already and `resume` is False.
          ValueError: the run that is there has other settings or features.
        """
        folders = [try_folder(self._folder, k) for k in self._attempts]
        for folder in folders:
            if folder.exists() and not resume:
                raise FileExistsError(
                    f"{folder}: expected no run there, found one (give another "
                    "--experiment_name or --workdir, or go on with --resume)"
                )
        current = self._start(folders)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        write_strategy(self._folder, self._config)
        logs = [
            MetricsLog(folder, progress.epoch)
            for folder, progress in zip(folders, current.progress, strict=True)
        ]
        saved_at = time.monotonic()
        while current.epoch < self._settings.epochs and not current.ended:
            current = self._epoch(current, logs, listener)
            last = current.epoch == self._settings.epochs or current.ended
            if last or time.monotonic() - saved_at > _SAVE_EVERY:
                tries.save(folders, current, self._identity())
                saved_at = time.monotonic()
        return [
            self._test_saved(folder, attempt)
            for folder, attempt in zip(folders, self._attempts, strict=True)
        ]

    def _identity(self) -> tries.Identity:
        return tries.Identity(
            config=self._config,
            settings=self._settings,
            feature_facts=self._store.feature_facts(),
            dataset_name=self._store.dataset_name,
        )

    def _start(self, folders: Sequence[Path]) -> Tries:
        masking = self._settings.cnn1d_masking
        params = draw_params(self._config, masking, self._keys(_PARAMETERS))
        fresh = Tries.fresh(params, keep_best=self._settings.save_strategy == "best")
        return tries.load(folders, fresh, self._identity()) or fresh

    def _keys(self, stream: int, epoch: int = 0) -> jax.Array:
        """Random keys of one stream and epoch, one a run."""

        def key(attempt: int) -> jax.Array:
            key = jax.random.key(self._settings.seed)
            for part in (attempt, stream, epoch):
                key = jax.random.fold_in(key, part)
            return key

        return jnp.stack([key(attempt) for attempt in self._attempts])

    def _epoch(
        self,
        current: Tries,
        logs: Sequence[MetricsLog],
        listener: Callable[[EpochReport], None],
    ) -> Tries:
        settings, epoch, runs = self._settings, current.epoch, len(self._attempts)
        graph = graph_of(self._config, settings.cnn1d_masking)
        active = np.array([not p.ended for p in current.progress])
        rate = settings.learning_rate(epoch)
        weights = jax.tree.map(
            lambda x: jax.device_put(np.full(runs, x, np.float32)),
            settings.loss_weights(epoch),
        )
        hyper = Hyper(
            lr=jax.device_put(np.full(runs, rate, np.float32)),
            loss=weights,
            key=self._keys(_TRAIN_LOSS, epoch),
            active=jax.device_put(active),
        )
        val_keys = self._keys(_VAL_LOSS, epoch)
        batches = jax.device_put(self._batches[epoch])
        # From here on nothing may go to or from the device unasked.
        with jax.transfer_guard("disallow"):
            begin = time.perf_counter()
            state, losses = train_epoch(
                current.state,
                hyper,
                batches,
                self._features,
                graph=graph,
                capacity=self._capacity,
                loss_config=settings.loss_config,
            )
            losses = np.asarray(jax.device_get(losses))
            seconds = time.perf_counter() - begin
            self._check_finite(losses, active, epoch)
            val = self._val.embed(state.params, graph)
            val_losses = self._val.loss(
                val, settings.batch_size, settings.loss_config, weights, val_keys
            )
            train = self._train.embed(state.params, graph)
            try:
                val_metrics = self._val.metrics(val)
                train_metrics = self._train.metrics(train)
            except ValueError as error:
                raise self._diverged(str(error), f"after epoch {epoch + 1}") from error
        train_losses = losses.mean(axis=1, dtype=np.float64)
        for run in np.flatnonzero(active).tolist():
            logs[run].write(
                {
                    "epoch": epoch + 1,
                    "lr": rate,
                    "second_loss_component_weight": (
                        settings.loss_weights(epoch).second_component_weight
                        if settings.loss_config.has_second_component
                        else None
                    ),
                    "train_loss": float(train_losses[run]),
                    "val_loss": float(val_losses[run]),
                    "train": train_metrics[run],
                    "val": val_metrics[run],
                }
            )
        progress = tuple(
            p.after_epoch(settings, metrics, float(loss))
            for p, metrics, loss in zip(
                current.progress, val_metrics, val_losses, strict=True
            )
        )
        listener(
            EpochReport(
                epoch=epoch + 1,
                epochs=settings.epochs,
                train_loss=train_losses.tolist(),
                val_loss=val_losses.tolist(),
                val_metrics=val_metrics,
                museums_per_second=runs * len(self._train.themes) / seconds,
            )
        )
        return current.after_epoch(state, progress)

    def _check_finite(self, losses: np.ndarray, active: np.ndarray, epoch: int) -> None:
        wrong = ~np.isfinite(losses) & active[:, None]
        if wrong.any():
            step, run = np.argwhere(wrong.T)[0]
            raise self._diverged(
                f"loss of try {self._attempts[run]} became {losses[run, step]}",
                f"in epoch {epoch + 1}, step {step + 1}",
            )

    def _diverged(self, what: str, when: str) -> NonFiniteLossError:
        first = try_folder(self._folder, self._attempts[0])
        epochs = checkpoint.saved_epochs(first, "last")
        saved = f"epoch {epochs[-1]} is saved" if epochs else "no epoch was saved"
        return NonFiniteLossError(
            f"{self._config.file_stem}: {what} {when}; {saved} in {self._folder}"
        )

    def _test_saved(self, folder: Path, attempt: int) -> TryResult:
        """Tests what was saved of a try, not what is in memory."""
        saved = checkpoint.load_model(folder)
        return TryResult(attempt, saved.epoch, self._test.test(saved.model))
