"""Strategies of HM3: their names, and the parts they are composed of.

The 16 names are ``[hier_by_room_]rnn_SCENE[_video|_image_video]``: six scene towers,
each with up to three sets of input kinds. A name is taken apart into `NameParts`; no
code branches on a whole name.

The parts are frozen dataclasses that hold only when sound: every constructor checks
what its part can know alone, `TowersConfig` what the parts must agree on. So a
configuration that exists can be built into towers.
"""

import abc
import dataclasses
import difflib
from collections.abc import Mapping
from typing import Literal, get_args

from hm3_jax.files.input_kinds import ROOM_KINDS

Museum = Literal["recurrent", "pool", "conv"]
CellKind = Literal["gru", "lstm"]
Masking = Literal["time", "channels"]


@dataclasses.dataclass(frozen=True, slots=True)
class NameParts:
    """What a strategy name says.

    Attributes:
        by_room: Rooms are pooled first and the museum is a sequence of rooms; otherwise
            the museum is the flat sequence of its rooms' items.
        museum: Kind of the model that yields the museum's embedding.
        kinds: Input kinds of the scene tower, in the order of `ROOM_KINDS`.
    """

    by_room: bool
    museum: Museum
    kinds: tuple[str, ...]

    @property
    def cells(self) -> tuple[CellKind, ...]:
        """Recurrent cells the strategy is published with."""
        only_gru = self.by_room and self.museum == "pool"
        return ("gru",) if only_gru else ("gru", "lstm")


_FLAT = "rnn_"
_BY_ROOM = "hier_by_room_rnn_"
_SCENES: dict[tuple[bool, Museum], str] = {
    (False, "pool"): _FLAT + "meanPoolProc",
    (False, "conv"): _FLAT + "cnn1d",
    (False, "recurrent"): _FLAT + "rnn",
    (True, "recurrent"): _BY_ROOM + "meanPoolProc",
    (True, "conv"): _BY_ROOM + "meanPoolProc_cnn1d",
    (True, "pool"): _BY_ROOM + "2_meanPoolProc",
}
_SUFFIXES = {
    ("views",): "",
    ("views", "videos"): "_video",
    ("views", "images", "videos"): "_image_video",
}
_PARTS = {
    scene + suffix: NameParts(by_room, museum, kinds)
    for (by_room, museum), scene in _SCENES.items()
    for kinds, suffix in _SUFFIXES.items()
    # Views, images and videos are pooled before they meet; a recurrent network over
    # the flat sequence has no such place, so `rnn_rnn` knows views only.
    if by_room or museum != "recurrent" or kinds == ("views",)
}

STRATEGY_NAMES = tuple(_PARTS)
"""The 16 strategy names."""


def parse_name(name: str) -> NameParts:
    """Takes a strategy name apart.

    Args:
        name: One of `STRATEGY_NAMES`.

    Returns:
        The parts the name stands for.

    Raises:
        ValueError: The name is unknown; the message lists the nearest valid names.

    >>> parse_name("rnn_cnn1d_video")
    NameParts(by_room=False, museum='conv', kinds=('views', 'videos'))
    """
    if not isinstance(name, str):
        raise ValueError(f"strategy_name must be a string, found {name!r}")
    if name not in _PARTS:
        nearest = difflib.get_close_matches(name, STRATEGY_NAMES, n=3, cutoff=0.0)
        raise ValueError(
            f"strategy_name {name!r} is not known; nearest: {', '.join(nearest)}"
        )
    return _PARTS[name]


def check_size(label: str, value: object) -> int:
    """Checks a size, a number of features or channels.

    Args:
        label: What the size is called, for the message.
        value: The value as found.

    Returns:
        `value`, a positive int.

    Raises:
        ValueError: `value` is not an int or not positive.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{label} must be a positive integer, found {value!r}")
    return value


def _ordered_kinds(kinds: Mapping[str, int]) -> dict[str, int]:
    unknown = sorted(set(kinds) - set(ROOM_KINDS))
    if unknown or "views" not in kinds:
        raise ValueError(
            f"input kinds must be views and possibly "
            f"{', '.join(ROOM_KINDS[1:])}, found {', '.join(kinds) or 'none'}"
        )
    return {
        kind: check_size(f"size of {kind}", kinds[kind])
        for kind in ROOM_KINDS
        if kind in kinds
    }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RecurrentConfig:
    """A one-layer GRU or LSTM in torch's parametrisation (HM3 `GRUNet`, `LSTMNet`).

    Attributes:
        cell: Kind of the recurrent cell.
        in_size: Features of one step.
        hidden_size: Features of the state, and of the vector the model yields.
        bidirectional: Whether a second cell reads the steps from the last valid one;
            the two last states are then averaged.
    """

    cell: CellKind
    in_size: int
    hidden_size: int
    bidirectional: bool

    def __post_init__(self) -> None:
        """Checks cell and sizes."""
        if self.cell not in ("gru", "lstm"):
            raise ValueError(f"cell must be gru or lstm, found {self.cell!r}")
        check_size("in_size", self.in_size)
        check_size("hidden_size", self.hidden_size)

    @property
    def directions(self) -> int:
        """Number of directions, 1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def gates(self) -> int:
        """Number of gates stacked in every weight: 3 for a GRU, 4 for an LSTM."""
        return 3 if self.cell == "gru" else 4

    @property
    def vector_size(self) -> int:
        """Features of the vector the model yields."""
        return self.hidden_size


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """A mean pool over processed items (HM3 `MeanPoolingProcessed`).

    Attributes:
        kinds: Features of one item for each kind of input, in their order.
        size: Features of an item after its linear layer and relu.
        out_size: Features after the last linear layer, which are `size` (the published
            schema has one number for both); None where the model ends with the
            concatenated means (`skip_last_linear`).
    """

    # The mapping is compared but not hashed, so that a configuration can be a key.
    kinds: Mapping[str, int] = dataclasses.field(hash=False)
    size: int
    out_size: int | None

    def __post_init__(self) -> None:
        """Orders the kinds and checks the sizes."""
        object.__setattr__(self, "kinds", _ordered_kinds(self.kinds))
        check_size("size", self.size)
        if self.out_size not in (None, self.size):
            raise ValueError(
                f"out_size of a mean pool must be its size {self.size} or None, "
                f"found {self.out_size!r}"
            )

    @property
    def concatenated_size(self) -> int:
        """Features of the concatenated means of all kinds."""
        return self.size * len(self.kinds)

    @property
    def vector_size(self) -> int:
        """Features of the vector the model yields."""
        return self.concatenated_size if self.out_size is None else self.out_size


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ConvConfig:
    """A 1-D convolution, mean and linear layer (HM3 `OneDimensionalCNN`).

    Attributes:
        kinds: Features of one step for each kind of input, in their order.
        channels: Channels of each kind's convolution.
        kernel_size: Steps under the kernel; odd, so that zero padding keeps the length.
        out_size: Features after the last linear layer.
        masking: "time" leaves padded steps out. "channels" is what the published
            release does, for its checkpoints; its files do not say it.
    """

    kinds: Mapping[str, int] = dataclasses.field(hash=False)
    channels: int
    kernel_size: int
    out_size: int
    masking: Masking = "time"

    def __post_init__(self) -> None:
        """Orders the kinds and checks the sizes."""
        object.__setattr__(self, "kinds", _ordered_kinds(self.kinds))
        check_size("channels", self.channels)
        check_size("out_size", self.out_size)
        if check_size("kernel_size", self.kernel_size) % 2 == 0:
            raise ValueError(f"kernel_size must be odd, found {self.kernel_size}")
        if self.masking not in get_args(Masking):
            raise ValueError(
                f"cnn1d_masking must be one of {', '.join(get_args(Masking))}, found "
                f"{self.masking!r}"
            )

    @property
    def concatenated_size(self) -> int:
        """Features of the concatenated means of all kinds."""
        return self.channels * len(self.kinds)

    @property
    def vector_size(self) -> int:
        """Features of the vector the model yields."""
        return self.out_size


MuseumConfig = RecurrentConfig | PoolConfig | ConvConfig

_MUSEUM_TYPES: dict[Museum, type[MuseumConfig]] = {
    "recurrent": RecurrentConfig,
    "pool": PoolConfig,
    "conv": ConvConfig,
}


def input_kinds(part: MuseumConfig) -> dict[str, int]:
    """Input kinds of any scene model with the features of one item each.

    Args:
        part: A room or museum model.

    Returns:
        Kind -> features; a recurrent model reads views only.
    """
    if isinstance(part, RecurrentConfig):
        return {"views": part.in_size}
    return dict(part.kinds)


def _sizes_text(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} of {size}" for kind, size in kinds.items())


class StrategyConfig(abc.ABC):
    """What a model is built from, whatever its family.

    Frozen and hashable, for `static_argnames`.

    Attributes:
        name: of the strategy, as its file says it.
    """

    name: str

    @property
    @abc.abstractmethod
    def inputs(self) -> Mapping[str, int]:
        """Features of a sentence ("sentences") and of an item of each kind it reads."""

    @property
    def uses(self) -> tuple[str, ...]:
        """Kinds of items that it reads, in the order of `ROOM_KINDS`."""
        return tuple(kind for kind in ROOM_KINDS if kind in self.inputs)

    @property
    @abc.abstractmethod
    def embedding_size(self) -> int:
        """Features of the space that descriptions and museums are compared in."""

    @property
    def file_stem(self) -> str:
        """Stem of the strategy's file."""
        return self.name

    @property
    def recurrence(self) -> Literal["rooms", "views"] | None:
        """What a recurrent model of the museum steps over; None without one."""
        return None

    @property
    def cnn1d_masking(self) -> Masking:
        """Masking of a 1-D CNN; "time" where there is none."""
        return "time"

    def masked(self, masking: Masking) -> "StrategyConfig":
        """The same strategy with another masking of its 1-D CNN, if it has one."""
        del masking
        return self

    def trained_on(self, themes: int, museums: int) -> "StrategyConfig":
        """The same with what it takes from a training split.

        Args:
            themes: of the store.
            museums: of its training split.
        """
        del themes, museums
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TowersConfig(StrategyConfig):
    """A strategy of HM3: a text tower and a scene tower into one space.

    Attributes:
        name: Strategy name, one of `STRATEGY_NAMES`.
        text: Model over the sentences of a description.
        room: Model over the items of one room; None for a flat strategy.
        museum: Model over the rooms' vectors, or over all items of a flat strategy.
    """

    name: str
    text: RecurrentConfig
    room: PoolConfig | None
    museum: MuseumConfig

    def __post_init__(self) -> None:
        """Checks that the parts agree with the name and with each other."""
        parts = parse_name(self.name)
        if parts.by_room != (self.room is not None):
            raise ValueError(
                f"strategy_name {self.name} is {'by room' if parts.by_room else 'flat'}"
                f" but a room model is {'missing' if parts.by_room else 'given'}"
            )
        if not isinstance(self.museum, _MUSEUM_TYPES[parts.museum]):
            raise ValueError(
                f"strategy_name {self.name} has a {parts.museum} museum model, "
                f"found {type(self.museum).__name__}"
            )
        if self.uses != parts.kinds:
            raise ValueError(
                f"strategy_name {self.name} reads {', '.join(parts.kinds)} but the "
                f"scene tower has sizes for {', '.join(self.uses)}"
            )
        self._check_cells(parts.cells)
        self._check_sizes()

    def _check_cells(self, published: tuple[CellKind, ...]) -> None:
        if isinstance(self.museum, RecurrentConfig):
            if self.museum.cell != self.text.cell:
                raise ValueError(
                    f"useLSTM sets both towers: text has {self.text.cell}, "
                    f"museum has {self.museum.cell}"
                )
        if self.text.cell not in published:
            raise ValueError(
                f"strategy_name {self.name} has cell {' or '.join(published)} only, "
                f"found {self.text.cell} (useLSTM)"
            )

    def _check_sizes(self) -> None:
        if self.room is not None:
            wanted = {"views": self.room.vector_size}
            if input_kinds(self.museum) != wanted:
                raise ValueError(
                    f"the room model (roomModelArgs) yields {self.room.vector_size} "
                    f"features but the museum model (scenesSequenceModelArgs) takes "
                    f"{_sizes_text(input_kinds(self.museum))}"
                )
        elif isinstance(self.museum, PoolConfig) and self.museum.out_size is None:
            raise ValueError(
                f"strategy_name {self.name} is flat, and a flat mean pool ends with a "
                f"linear layer, but the museum model has none"
            )
        if self.text.vector_size != self.museum.vector_size:
            raise ValueError(
                f"the text tower embeds into {self.text.vector_size} features "
                f"(desc_output_feature_size) but the scene tower into "
                f"{self.museum.vector_size}"
            )

    @property
    def cnn1d_masking(self) -> Masking:
        """Masking of the 1-D CNN; "time" where there is none."""
        return self.museum.masking if isinstance(self.museum, ConvConfig) else "time"

    def masked(self, masking: Masking) -> "TowersConfig":
        """The same strategy with another masking of its 1-D CNN, if it has one."""
        if not isinstance(self.museum, ConvConfig):
            return self
        museum = dataclasses.replace(self.museum, masking=masking)
        return dataclasses.replace(self, museum=museum)

    @property
    def flat(self) -> bool:
        """Whether the museum is one flat sequence (`uses_flattened_hierarchy`)."""
        return self.room is None

    @property
    def inputs(self) -> Mapping[str, int]:
        """Features of a sentence and of an item of each kind."""
        kinds = input_kinds(self.museum if self.room is None else self.room)
        return {"sentences": self.text.in_size, **kinds}

    @property
    def recurrence(self) -> Literal["rooms", "views"] | None:
        """What the museum's recurrent model steps over; None without one."""
        if not isinstance(self.museum, RecurrentConfig):
            return None
        return "views" if self.flat else "rooms"

    @property
    def file_stem(self) -> str:
        """Stem of the strategy's file: the name, plus `_lstm` for LSTM towers."""
        return self.name + ("_lstm" if self.text.cell == "lstm" else "")

    @property
    def embedding_size(self) -> int:
        """Features of the space both towers embed into."""
        return self.text.vector_size


def hm3_strategy(config: StrategyConfig) -> TowersConfig:
    """A strategy of HM3, where nothing else will do.

    Raises:
        ValueError: it is of another family.
    """
    if not isinstance(config, TowersConfig):
        raise ValueError(
            f"expected one of HM3's strategies, found {config.name}, which the "
            "published release does not have"
        )
    return config
