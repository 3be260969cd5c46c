"""Settings of a training run, under the published names.

Help pages are made of them, so JAX, and the losses that take it, are imported where
they are used.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from hm3_jax.nn.precision import MEANING, MatmulPrecision
from hm3_jax.nn.strategy import Masking
from hm3_jax.objective.metric_table import BEST_STRATEGIES

if TYPE_CHECKING:
    from hm3_jax.learn.batches.placement import DataPlacement
    from hm3_jax.objective.loss import Loss
    from hm3_jax.objective.triplet import TripletLoss

LOSSES = ("triplet", "info_nce")
_OF_SECOND_COMPONENT = (
    "second_loss_component_weight",
    "second_loss_component_weight_decay_factor",
)
# Settings that one loss alone reads.
_READ_BY = {
    "triplet": (
        "use_categories_in_loss",
        "loss_within_category_margin",
        *_OF_SECOND_COMPONENT,
        "new_positive_samples",
        "allow_sampling_replacement_of_new_positives",
        "filter_out_hard_negatives",
    ),
    "info_nce": ("temperature",),
}
SCHEDULERS = ("step", "cosine")


def _given(**values: Any) -> dict[str, Any]:
    """Those that are not None; the others keep their defaults."""
    return {name: value for name, value in values.items() if value is not None}


def _setting(
    default: Any,
    meaning: str,
    *,
    choices: Sequence[str] | None = None,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> Any:
    """A field, with what its flag says of it and the values that it takes."""
    bounds = _given(at_least=at_least, above=above, at_most=at_most)
    metadata = {"help": meaning, "choices": choices, "bounds": bounds}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """How a strategy is trained; each field is a flag, which its text explains.

    Raises:
        ValueError: a value out of range, or settings that contradict each other or have
            no effect together (both are named).
    """

    # JAX would take the rest of a seed's bits for none.
    seed: int = _setting(42, "Seed of all randomness.", at_least=0, at_most=2**32 - 1)
    batch_size: int = _setting(64, "Museums in a batch.", at_least=1)
    epochs: int = _setting(25, "Epochs to train.", at_least=1)
    lr: float = _setting(1e-3, "Learning rate of Adam.", above=0)
    scheduler: str = _setting(
        "step",
        "How the learning rate falls from epoch to epoch: step multiplies it by "
        "--scheduler_gamma every --scheduler_step_size epochs, cosine lowers it to 0 "
        "along half a cosine wave.",
        choices=SCHEDULERS,
    )
    scheduler_step_size: int = _setting(
        27,
        "Epochs after which the learning rate is multiplied by --scheduler_gamma.",
        at_least=1,
    )
    scheduler_gamma: float = _setting(0.75, "See --scheduler_step_size.", above=0)
    weight_decay: float = _setting(
        0.0,
        "Share of each weight that a step subtracts, times the learning rate (AdamW).",
        at_least=0,
    )
    number_of_tries: int = _setting(
        1, "Repetitions with other random streams of the same seed.", at_least=1
    )
    save_strategy: str = _setting(
        "last",
        "Which epoch is kept and tested; best needs --best_strategy.",
        choices=("last", "best"),
    )
    best_strategy: str | None = _setting(
        None,
        "Metric on val that says which epoch is best.",
        choices=tuple(BEST_STRATEGIES),
    )
    loss: str = _setting(
        "triplet",
        "triplet is the published loss; info_nce classifies each description among "
        "the museums of its batch and each museum among the descriptions, with a "
        "learned temperature.",
        choices=LOSSES,
    )
    temperature: float | None = _setting(
        None, "Initial temperature of --loss=info_nce (0.07).", above=0
    )
    loss_margin: float = _setting(0.25, "Margin of the triplet loss, in cosine.")
    use_categories_in_loss: bool = _setting(
        False, "Theme-aware loss: negatives are museums of other themes."
    )
    loss_within_category_margin: float | None = _setting(
        None, "Margin of the second component, between museums of one theme."
    )
    second_loss_component_weight: float | None = _setting(
        None, "Weight of the second component (0.5 if there is one)."
    )
    second_loss_component_weight_decay_factor: float | None = _setting(
        None,
        "After each epoch the second weight is multiplied by this, up to 1.",
        at_least=0,
    )
    new_positive_samples: int | None = _setting(
        None,
        "Museums of the anchor's theme drawn as positives of the second component.",
    )
    allow_sampling_replacement_of_new_positives: bool = _setting(
        False, "Draw new positives with replacement."
    )
    filter_out_hard_negatives: bool = _setting(False, "Keep semi-hard negatives only.")
    loss_patience: int | None = _setting(
        None, "Epochs without a lower val loss after which a try ends.", at_least=1
    )
    loss_delta: float | None = _setting(
        None, "By how much the val loss must fall to count as lower (0).", at_least=0
    )
    partial_descriptions: float = _setting(
        0.0,
        "Share of the descriptions that each epoch replaces by a few of their "
        "consecutive sentences, drawn anew, because people type only a few.",
        at_least=0,
        at_most=1,
    )
    matmul_precision: MatmulPrecision = _setting(
        "highest", MEANING, choices=get_args(MatmulPrecision)
    )
    cnn1d_masking: Masking = _setting(
        "time",
        "What the 1-D CNN masks; channels is as in the published release, for "
        "comparison with its checkpoints.",
        choices=get_args(Masking),
    )

    def __post_init__(self) -> None:
        """Checks ranges and contradictions."""
        check_ranges({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})
        if self.save_strategy == "best" and self.best_strategy is None:
            raise ValueError("save_strategy best needs best_strategy")
        if self.save_strategy != "best" and self.best_strategy is not None:
            raise ValueError(
                f"best_strategy {self.best_strategy} has no effect with save_strategy "
                f"{self.save_strategy}"
            )
        if self.loss_delta is not None and self.loss_patience is None:
            raise ValueError("loss_delta has no effect without loss_patience")
        self._check_loss()
        self.loss_weights(0)  # checks margins and weight

    def _check_loss(self) -> None:
        """Refuses settings of another loss, and of a component that does not exist."""
        for loss, names in _READ_BY.items():
            for name in names:
                if loss != self.loss and getattr(self, name) not in (None, False):
                    raise ValueError(f"{name} has no effect with loss {self.loss}")
        if self.loss != "triplet" or self._triplet().has_second_component:
            return
        for name in _OF_SECOND_COMPONENT:
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} has no effect without loss_within_category_margin or "
                    "new_positive_samples"
                )

    @property
    def loss_function(self) -> Loss:
        """Structure of the loss."""
        if self.loss == "info_nce":
            from hm3_jax.objective.info_nce import InfoNCE

            return InfoNCE(**_given(temperature=self.temperature))
        return self._triplet()

    def _triplet(self) -> TripletLoss:
        from hm3_jax.objective.triplet import TripletLoss

        return TripletLoss(
            uses_themes=self.use_categories_in_loss,
            within_theme=self.loss_within_category_margin is not None,
            filter_out_hard_negatives=self.filter_out_hard_negatives,
            new_positive_samples=self.new_positive_samples,
            with_replacement=self.allow_sampling_replacement_of_new_positives,
        )

    def second_weight(self, epoch: int) -> float | None:
        """Weight of the second component in an epoch; None where there is none."""
        if self.loss != "triplet" or not self._triplet().has_second_component:
            return None
        weight = 0.5
        if self.second_loss_component_weight is not None:
            weight = self.second_loss_component_weight
        factor = self.second_loss_component_weight_decay_factor
        if factor is not None:
            from hm3_jax.objective.triplet import decay_second_weight

            for _ in range(epoch):
                weight = decay_second_weight(weight, factor)
        return weight

    def loss_weights(self, epoch: int) -> Any:
        """Numbers of the loss in an epoch (from 0), as Python floats and bools.

        None for a loss without any.
        """
        if self.loss != "triplet":
            return None
        from hm3_jax.objective.triplet import TripletWeights

        checked = TripletWeights.checked(
            margin=self.loss_margin,
            second_component_weight=self.second_weight(epoch) or 0.0,
            **_given(within_theme_margin=self.loss_within_category_margin),
        )
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
            self.matmul_precision,
            self.loss,
            self.new_positive_samples,
            self.allow_sampling_replacement_of_new_positives,
        )

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0)."""
        if self.scheduler == "cosine":
            return self.lr * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.lr * self.scheduler_gamma ** (epoch // self.scheduler_step_size)


def check_ranges(values: Mapping[str, Any]) -> None:
    """Refuses values that are out of range, without JAX.

    Args:
        values: of the fields of `TrainSettings`, by name; None for not given.

    Raises:
        ValueError: a value is out of range; it is named.
    """
    for field in dataclasses.fields(TrainSettings):
        value, about = values[field.name], field.metadata
        if value is None:
            continue
        if about["choices"] is not None:
            _check_choice(field.name, value, about["choices"])
        elif about["bounds"]:
            _check(field.name, value, **about["bounds"])


def _check(
    name: str,
    value: float,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> None:
    rules = (
        (f"more than {above}", above is None or value > above),
        (f"at least {at_least}", at_least is None or value >= at_least),
        (f"at most {at_most}", at_most is None or value <= at_most),
        ("a finite number", math.isfinite(value)),
    )
    for wanted, held in rules:
        if not held:
            raise ValueError(f"{name}: expected {wanted}, found {value}")


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {value}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """Where and how runs are computed; changes numbers only in the last bits.

    Attributes:
        runs_at_once: trained as one program; None for as many as fit the memory.
        num_devices: to use; None for all.
        data_placement: "device", "host" or "auto", see `learn.batches.placement`.
        save_every_seconds: between saves, besides those at the end; 0 for every epoch.
        keep_going: whether a run that diverges is set aside and the others continue.
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
        import jax

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
