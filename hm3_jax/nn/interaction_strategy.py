"""Strategies of late interaction: names, settings, and those in a strategy file."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from hm3_jax.nn.strategy import StrategyConfig, check_size

_SUFFIXES = {
    "": ("views",),
    "_image": ("views", "images"),
    "_video": ("views", "videos"),
    "_image_video": ("views", "images", "videos"),
}
INTERACTION_NAMES = {
    "late_interaction" + end: kinds for end, kinds in _SUFFIXES.items()
}
"""Name of each strategy of the family -> kinds of items that it reads."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LateInteractionConfig(StrategyConfig):
    """A strategy that compares sentences with items.

    Attributes:
        name: one of `INTERACTION_NAMES`.
        size: features of a sentence and of an item of any kind; also of their vectors.
        order: waves by which sentences prefer rooms at the same relative place of a
            complete description; 0 for none.
        sizes: units of the layer that guesses a museum's size from the number of
            sentences of a complete description; 0 for none.
        context: whether an item's vector depends on the means of its room and museum.
        dropout: share of a feature's numbers that training leaves out.
        themes: themes that are told apart; 0 for none, None for those of the store
            that it is trained on, if its museums share themes.
        theme_units: units of the hidden layer of each theme classifier.
        theme_dropout: share of those that training leaves out.
        theme_weight: how much a shared theme counts, unless a search says
            otherwise.
        sharpness: of the soft maximum, before the first step.
        whole: numbers of the vector of a whole description, and of a whole museum, by
            towers of HM3 (`hier_by_room_rnn_meanPoolProc`); 0 for none.
    """

    name: str
    size: int
    order: int = 4
    sizes: int = 32
    context: bool = False
    dropout: float = 0.0
    themes: int | None = None
    theme_units: int = 256
    theme_dropout: float = 0.5
    theme_weight: float = 0.0
    sharpness: float = 20.0
    whole: int = 0

    def __post_init__(self) -> None:
        """Checks name, sizes and shares."""
        if self.name not in INTERACTION_NAMES:
            raise ValueError(
                f"strategy_name must be one of {', '.join(INTERACTION_NAMES)}, found "
                f"{self.name!r}"
            )
        check_size("feature_size", self.size)
        check_size("theme_units", self.theme_units)
        for label in ("order", "sizes", "themes", "whole"):
            value = getattr(self, label)
            if value is not None and value != 0:
                check_size(label, value)
        for label in ("dropout", "theme_dropout"):
            value = getattr(self, label)
            if not 0 <= value < 1:
                raise ValueError(f"{label} must be at least 0, below 1, found {value}")
        if not (math.isfinite(self.theme_weight) and self.theme_weight >= 0):
            raise ValueError(
                f"theme_weight must be at least 0, found {self.theme_weight}"
            )
        if not 1 <= self.sharpness <= 40:
            raise ValueError(f"sharpness must be 1 to 40, found {self.sharpness}")

    @property
    def inputs(self) -> Mapping[str, int]:
        """Features of a sentence and of an item of each kind."""
        kinds = INTERACTION_NAMES[self.name]
        return dict.fromkeys(("sentences", *kinds), self.size)

    @property
    def recurrence(self) -> Literal["rooms", "views"] | None:
        """What a recurrent model of the museum steps over; None without one."""
        return "rooms" if self.whole else None

    @property
    def file_stem(self) -> str:
        """Stem of the strategy's file: the name, plus `_whole` with such vectors."""
        return self.name + ("_whole" if self.whole else "")

    @property
    def embedding_size(self) -> int:
        """Numbers of a sentence's or an item's vector."""
        return self.size

    def trained_on(self, themes: int, museums: int) -> "LateInteractionConfig":
        """The same with as many themes as the store has that it is trained on.

        Args:
            themes: of the store.
            museums: of its training split; with as few as themes, none is learned.
        """
        if self.themes is not None:
            return self
        known = themes if 1 < themes <= museums // 2 else 0
        return dataclasses.replace(self, themes=known)

    def to_args(self) -> dict[str, Any]:
        """The settings as `ee_args` of a strategy file has them."""
        settings = dataclasses.asdict(self)
        del settings["name"]
        return {_SIZE: settings.pop("size"), **settings}

    @classmethod
    def from_args(cls, name: str, args: object) -> "LateInteractionConfig":
        """Reads `ee_args` of a strategy file; what it does not say is as usual.

        Raises:
            ValueError: a setting is missing, unknown, or has an unknown value.
        """
        if not isinstance(args, Mapping):
            raise ValueError(f"ee_args must be an object, found {args!r}")
        fields = {f.name: f for f in dataclasses.fields(cls) if f.name != "name"}
        known = list(map(_key, fields))
        unknown = sorted(set(args) - set(known))
        if unknown:
            raise ValueError(
                f"ee_args has unknown keys {', '.join(unknown)}; "
                f"known: {', '.join(known)}"
            )
        if _SIZE not in args:
            raise ValueError(f"ee_args lacks {_SIZE}")
        given = {("size" if k == _SIZE else k): v for k, v in args.items()}
        for label, value in given.items():
            _check_type(label, value, fields[label].default)
        return cls(name=name, **given)


_SIZE = "feature_size"


def _key(label: str) -> str:
    return _SIZE if label == "size" else label


def _check_type(label: str, value: object, default: object) -> None:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"ee_args.{label} must be true or false, found {value!r}")
    elif isinstance(value, bool) or not (
        isinstance(value, int)
        or (isinstance(default, float) and isinstance(value, float))
        or (default is None and value is None)
    ):
        raise ValueError(f"ee_args.{_key(label)} must be a number, found {value!r}")
