"""Settings of a training run, under the published names."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax

from hm3_jax.learn.batches.placement import DataPlacement
from hm3_jax.nn.convolution import Masking
from hm3_jax.objective.loss import LossConfig, LossWeights, decay_second_weight
from hm3_jax.objective.metric_table import BEST_STRATEGIES


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """How a strategy is trained; the fields are the published flags.

    Attributes:
      seed: of all randomness.
      batch_size: museums of a batch.
      epochs: to train.
      lr: learning rate of Adam.
      scheduler_step_size: the rate of epoch e (from 0) is lr * gamma ** (e // step
        size).
      scheduler_gamma: see `scheduler_step_size`.
      number_of_tries: repetitions with other random streams of the same seed.
      save_strategy: which epoch is tested: "last", or "best" by `best_strategy` on val.
      best_strategy: one of `BEST_STRATEGIES`; None unless the best epoch is kept.
      loss_margin: of the triplet loss, in cosine.
      use_categories_in_loss: theme-aware loss: negatives are museums of other themes.
      loss_within_category_margin: margin of the second component, between museums of
        one theme; None for no such component.
      second_loss_component_weight: between 0 and 1; None is the published default,
        0.5, where there is a second component.
      second_loss_component_weight_decay_factor: the weight is multiplied by it after
        every epoch, up to 1; None leaves it.
      new_positive_samples: museums of a description's theme drawn as positives of the
        second component; None for none.
      allow_sampling_replacement_of_new_positives: whether one may be drawn twice.
      filter_out_hard_negatives: whether negatives more similar than the match are left
        out.
      loss_patience: epochs without a lower val loss after which a try ends; None never
        ends it.
      loss_delta: how much lower counts as lower.
      cnn1d_masking: "channels" is the published release's masking, see
        `nn.convolution`.

    Raises:
      ValueError: a value out of range, or settings that contradict each other or have
        no effect together (both are named).
    """

    seed: int = 42
    batch_size: int = 64
    epochs: int = 25
    lr: float = 1e-3
    scheduler_step_size: int = 27
    scheduler_gamma: float = 0.75
    number_of_tries: int = 1
    save_strategy: str = "last"
    best_strategy: str | None = None
    loss_margin: float = 0.25
    use_categories_in_loss: bool = False
    loss_within_category_margin: float | None = None
    second_loss_component_weight: float | None = None
    second_loss_component_weight_decay_factor: float | None = None
    new_positive_samples: int | None = None
    allow_sampling_replacement_of_new_positives: bool = False
    filter_out_hard_negatives: bool = False
    loss_patience: int | None = None
    loss_delta: float | None = None
    cnn1d_masking: Masking = "time"

    def __post_init__(self) -> None:
        """Checks ranges and contradictions."""
        for name in ("batch_size", "epochs", "scheduler_step_size", "number_of_tries"):
            _check(name, getattr(self, name), at_least=1)
        # JAX would take the rest of its bits for none.
        _check("seed", self.seed, at_least=0, at_most=2**32 - 1)
        _check("lr", self.lr, above=0)
        _check("scheduler_gamma", self.scheduler_gamma, above=0)
        _check("loss_patience", self.loss_patience, at_least=1)
        _check("loss_delta", self.loss_delta, at_least=0)
        decay = self.second_loss_component_weight_decay_factor
        _check("second_loss_component_weight_decay_factor", decay, at_least=0)
        _check_choice("save_strategy", self.save_strategy, ("last", "best"))
        _check_choice("cnn1d_masking", self.cnn1d_masking, ("time", "channels"))
        if self.save_strategy == "best":
            if self.best_strategy is None:
                raise ValueError("save_strategy best needs best_strategy")
            _check_choice("best_strategy", self.best_strategy, tuple(BEST_STRATEGIES))
        elif self.best_strategy is not None:
            raise ValueError(
                f"best_strategy {self.best_strategy} has no effect with save_strategy "
                f"{self.save_strategy}"
            )
        if self.loss_delta is not None and self.loss_patience is None:
            raise ValueError("loss_delta has no effect without loss_patience")
        for name in (
            "second_loss_component_weight",
            "second_loss_component_weight_decay_factor",
        ):
            second = self.loss_config.has_second_component
            if getattr(self, name) is not None and not second:
                raise ValueError(
                    f"{name} has no effect without loss_within_category_margin or "
                    "new_positive_samples"
                )
        self.loss_weights(0)  # checks margins and weight

    @property
    def loss_config(self) -> LossConfig:
        """Structure of the loss."""
        return LossConfig(
            uses_themes=self.use_categories_in_loss,
            within_theme=self.loss_within_category_margin is not None,
            filter_out_hard_negatives=self.filter_out_hard_negatives,
            new_positive_samples=self.new_positive_samples,
            with_replacement=self.allow_sampling_replacement_of_new_positives,
        )

    def loss_weights(self, epoch: int) -> LossWeights:
        """Numbers of the loss in an epoch (from 0), as Python floats and bools."""
        weight = 0.5 if self.loss_config.has_second_component else 0.0
        if self.second_loss_component_weight is not None:
            weight = self.second_loss_component_weight
        factor = self.second_loss_component_weight_decay_factor
        if factor is not None:
            for _ in range(epoch):
                weight = decay_second_weight(weight, factor)
        margins: dict[str, Any] = {"margin": self.loss_margin}
        if self.loss_within_category_margin is not None:
            margins["within_theme_margin"] = self.loss_within_category_margin
        checked = LossWeights.checked(second_component_weight=weight, **margins)
        return dataclasses.replace(
            checked,
            uses_themes=self.use_categories_in_loss,
            filter_out_hard_negatives=self.filter_out_hard_negatives,
        )

    @property
    def program(self) -> tuple[Any, ...]:
        """What runs must have in common to train as one program."""
        return (
            self.batch_size,
            self.cnn1d_masking,
            self.new_positive_samples,
            self.allow_sampling_replacement_of_new_positives,
        )

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0)."""
        return self.lr * self.scheduler_gamma ** (epoch // self.scheduler_step_size)


def _check(name: str, value: Any, *, at_least=None, above=None, at_most=None) -> None:
    if value is None:
        return
    rules = (
        (f"more than {above}", above is None or value > above),
        (f"at least {at_least}", at_least is None or value >= at_least),
        (f"at most {at_most}", at_most is None or value <= at_most),
        ("a finite number", math.isfinite(value)),
    )
    for wanted, held in rules:
        if not held:
            raise ValueError(f"{name}: expected {wanted}, found {value}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {value}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """How runs are carried out; changes no number beyond the last bits.

    Attributes:
      runs_at_once: trained as one program; None for as many as fit the memory.
      num_devices: to use; None for all.
      data_placement: "device", "host" or "auto", see `learn.batches.placement`.
      save_every_seconds: between saves, besides those at the end; 0 for every epoch.
      keep_going: whether a run that diverges is put aside and the others go on.
    """

    runs_at_once: int | None = None
    num_devices: int | None = None
    data_placement: DataPlacement = "auto"
    save_every_seconds: float = 60.0
    keep_going: bool = False

    def devices(self) -> Sequence[Any]:
        """The devices to use.

        Raises:
          ValueError: there are fewer, or several processes would leave some out.
        """
        every = jax.devices()
        wanted = self.num_devices or len(every)
        if wanted > len(every):
            raise ValueError(
                f"num_devices: expected at most {len(every)} ({every[0].platform}), "
                f"found {wanted}"
            )
        if jax.process_count() > 1 and wanted != len(every):
            raise ValueError(
                f"num_devices: {jax.process_count()} processes use all of their "
                f"{len(every)} devices, found {wanted}"
            )
        return every[:wanted]
