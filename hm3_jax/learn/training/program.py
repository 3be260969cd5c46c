"""The compiled program of some runs in some slots: training, embedding, scoring."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from hm3_jax.learn.batches.placement import Block
from hm3_jax.learn.batches.plan import (
    Batches,
    BatchThemes,
    batch_themes,
    epoch_batches,
)
from hm3_jax.learn.batches.spans import random_spans
from hm3_jax.learn.devices import memory
from hm3_jax.learn.devices.mesh import BY_RUN
from hm3_jax.learn.devices.run_slots import RunSlots
from hm3_jax.learn.evaluation.embed import embed, plan_embedding
from hm3_jax.learn.evaluation.pairs import PairScores
from hm3_jax.learn.evaluation.scoring import Embeddings
from hm3_jax.learn.evaluation.split import EMBED_BATCH
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.saved.run import Run
from hm3_jax.learn.training.epoch import EpochInputs, ParamState, Steps, train_epoch
from hm3_jax.learn.training.optimizer import Optimizer, Rates

# Of the free memory, what a program may be planned to take.
_MEMORY_SHARE = 0.9

# Streams of randomness of a run.
PARAMETERS, TRAIN_LOSS, VAL_LOSS = range(3)


class DoesNotFitError(MemoryError):
    """The program of some runs takes more memory than a device has."""

    def __init__(self, needed: int, available: int):
        """Says how much, in bytes."""
        super().__init__(
            f"{needed / 2**30:.1f} GiB are needed and {available / 2**30:.1f} are free"
        )
        self.needed, self.available = needed, available


@dataclasses.dataclass(frozen=True)
class EpochScores:
    """Results of an epoch, by slot.

    Attributes:
        val_loss: mean over the batches of val, with the training loss's settings.
        val: published metrics, or what is wrong with the embeddings.
        train: the same for the training split.
    """

    val_loss: np.ndarray
    val: Sequence[dict[str, float] | str]
    train: Sequence[dict[str, float] | str]


class Program:
    """Runs of one strategy in their slots: all epochs planned, compiled once."""

    def __init__(self, task: Task, runs: Sequence[Run], slots: RunSlots):
        """Plans every batch of every epoch.

        Args:
            task: strategy and store.
            runs: all runs that slots may refer to.
            slots: where they are computed.
        """
        self._task, self._runs, self._slots = task, runs, slots
        self._batch_size = runs[0].settings.batch_size
        losses = [run.settings.loss_function for run in runs]
        self._loss = type(losses[0]).covering(losses)
        self._optimizer = Optimizer(
            decays_weights=any(run.settings.weight_decay for run in runs)
        )
        counts, layout = task.counts, slots.layout
        source = task.source(layout)
        self._batches = [
            self._planned(epoch)
            for epoch in range(max(run.settings.epochs for run in runs))
        ]
        # One size for all epochs, so that one compilation serves them all.
        self._capacity = counts.capacity(self._batches)
        self._feed = source.feed(self._batches)
        splits = task.store.splits
        self._museums = len(splits["train"])
        self._val = task.split("val", layout)
        if task.spec.compares_parts:
            # All pairs of train would take longer than training: as many as of val.
            self._train = task.split("train", layout, most=len(splits["val"]))
            self._embedding = None
        else:
            self._train = task.split("train", layout)
            # Embedded together: one program compiles in half the time of two.
            both = np.concatenate([splits["train"], splits["val"]])
            self._embedding = plan_embedding(counts, both, EMBED_BATCH, source, layout)
        self._compiled: dict[int, Any] = {}
        self.compile_seconds = 0.0
        """Spent so far on compiling what takes the steps, or on finding it compiled."""

    @property
    def museums(self) -> int:
        """Museums of an epoch of one run."""
        return self._museums

    def _order(self, number: int, epoch: int) -> np.ndarray:
        run = self._runs[number]
        return epoch_batches(
            self._task.store.splits["train"],
            self._batch_size,
            seed=run.settings.seed,
            attempt=run.attempt,
            epoch=epoch,
        )

    def _planned(self, epoch: int) -> Batches:
        """The batches of an epoch (from 0) of the runs in all slots."""
        numbers = self._slots.stand_ins
        orders = np.stack([self._order(number, epoch) for number in numbers])
        spans = None
        if any(run.settings.partial_descriptions for run in self._runs):
            of_slots = zip(numbers, orders, strict=True)
            spans = np.stack([self._spans(n, epoch)[order] for n, order in of_slots])
        return self._task.counts.plan(orders, self._slots.layout, spans)

    def _spans(self, number: int, epoch: int) -> np.ndarray:
        """Of every museum of the store, what a run reads of its description."""
        run = self._runs[number]
        return random_spans(
            self._task.counts.sentences,
            run.settings.partial_descriptions,
            seed=run.settings.seed,
            attempt=run.attempt,
            epoch=epoch,
        )

    def themes(self, number: int, epoch: int) -> BatchThemes:
        """Themes in a run's batches.

        Args:
            number: of the run.
            epoch: from 0.
        """
        return batch_themes(self._order(number, epoch), self._task.store.theme_index)

    def inputs(self, active: Sequence[int], epoch: int) -> EpochInputs:
        """Inputs of an epoch (from 0).

        Args:
            active: numbers of the runs that are to change.
            epoch: which one.
        """
        settings = [self._runs[n].settings for n in self._slots.stand_ins]

        def column(values: Sequence[Any]) -> np.ndarray:
            x = np.array(values)
            return x.astype(np.float32) if x.dtype.kind == "f" else x

        weights = jax.tree.map(
            lambda *values: column(values), *(s.loss_weights(epoch) for s in settings)
        )
        rates = Rates(
            column([s.learning_rate(epoch) for s in settings]),
            column([s.weight_decay for s in settings]),
        )
        going_on = column([number in active for number in self._slots.runs])
        rates, weights, going_on = self._slots.layout.put(
            (rates, weights, going_on), BY_RUN
        )
        return EpochInputs(rates, weights, self._keys(TRAIN_LOSS, epoch), going_on)

    def _keys(self, stream: int, epoch: int) -> jax.Array:
        keys = keys_of([self._runs[n] for n in self._slots.stand_ins], stream, epoch)
        # Keys have a type of their own, which numpy has not.
        data = jax.device_get(jax.random.key_data(keys))
        return jax.random.wrap_key_data(self._slots.layout.put(data, BY_RUN))

    def train(
        self, state: ParamState, inputs: EpochInputs, epoch: int
    ) -> tuple[ParamState, Steps]:
        """Takes an epoch's steps.

        Args:
            state: of every slot; given up to the result.
            inputs: of the epoch.
            epoch: from 0.

        Returns:
            New state, and the results of the steps, on the host.

        Raises:
            DoesNotFitError: there is less memory than the steps take.
        """
        of_blocks = []
        # Nothing may go to or from the device unasked.
        with jax.transfer_guard("disallow"):
            for block in self._feed.blocks(self._batches[epoch]):
                steps = self._steps(state, inputs, block)
                first = jax.device_put(np.int32(block.first_step))
                state, of_block = steps(
                    state, inputs, block.batches, block.features, first
                )
                of_blocks.append(of_block)
            fetched = self._slots.layout.fetch(of_blocks)
        return state, jax.tree.map(lambda *x: np.concatenate(x, axis=1), *fetched)

    def _steps(
        self, state: ParamState, inputs: EpochInputs, block: Block
    ) -> Callable[..., Any]:
        """The compiled steps of a block, once it is known that they fit the memory."""
        number = block.batches.steps
        if number not in self._compiled:
            layout, begin = self._slots.layout, time.perf_counter()
            compiled = train_epoch.lower(
                state,
                inputs,
                block.batches,
                block.features,
                jax.device_put(np.int32(0)),
                spec=self._task.spec,
                capacity=self._capacity,
                loss=self._loss,
                layout=layout,
                optimizer=self._optimizer,
            ).compile()
            self.compile_seconds += time.perf_counter() - begin
            needed = memory.needed(compiled)
            free = layout.free_memory()
            if needed > _MEMORY_SHARE * free and len(self._runs) > 1:
                raise DoesNotFitError(needed, free)
            self._compiled[number] = compiled
        return self._compiled[number]

    def score(self, state: ParamState, inputs: EpochInputs, epoch: int) -> EpochScores:
        """Embeds val and train and scores them.

        Args:
            state: after the epoch.
            inputs: of the epoch.
            epoch: from 0.
        """
        keys = self._keys(VAL_LOSS, epoch)
        with jax.transfer_guard("disallow"):
            train, val = self._embedded(state, inputs)
            losses = self._val.loss(
                val, self._batch_size, self._loss, inputs.loss, keys
            )
            return EpochScores(
                losses, self._val.metrics(val), self._train.metrics(train)
            )

    def _embedded(
        self, state: ParamState, inputs: EpochInputs
    ) -> tuple[Embeddings | PairScores, Embeddings | PairScores]:
        """What the models make of train and val."""
        spec = self._task.spec
        if self._embedding is None:
            train, val = (
                split.embed(state.params, inputs.active, spec)
                for split in (self._train, self._val)
            )
            return train, val
        both = embed(state.params, inputs.active, self._embedding, spec=spec)
        train, val = (
            Embeddings.of(
                descriptions, museums, inputs.active, state.params, self._task.spec
            )
            for descriptions, museums in _cut(both, first=len(self._train.themes))
        )
        return train, val


@functools.partial(jax.jit, static_argnames="first")
def _cut(both: tuple[jax.Array, jax.Array], *, first: int) -> list[list[jax.Array]]:
    """Embeddings of the first museums and of the rest."""
    return [[x[:, :first] for x in both], [x[:, first:] for x in both]]


def keys_of(runs: Sequence[Run], stream: int, epoch: int) -> jax.Array:
    """Random keys of one stream and epoch, one per run."""
    seeds = np.array([run.settings.seed for run in runs], np.uint32)
    attempts = np.array([run.attempt for run in runs], np.uint32)
    return _fold(seeds, attempts, np.uint32(stream), np.uint32(epoch))


@jax.jit
def _fold(seeds, attempts, stream, epoch) -> jax.Array:
    def key(seed, attempt):
        key = jax.random.key(seed)
        for part in (attempt, stream, epoch):
            key = jax.random.fold_in(key, part)
        return key

    return jax.vmap(key)(seeds, attempts)
