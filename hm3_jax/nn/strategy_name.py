"""The grammar of strategy names: ``[hier_by_room_]rnn_SCENE[_video|_image_video]``.

The 16 names of HM3 are six scene towers, each with up to three sets of input kinds.
A name is taken apart into `NameParts`; no code branches on a whole name.
"""

import dataclasses
import difflib
from typing import Literal

Museum = Literal["recurrent", "pool", "conv"]
Cell = Literal["gru", "lstm"]

KINDS = ("views", "images", "videos")
"""Kinds of scene input, in the order in which a tower concatenates them."""


@dataclasses.dataclass(frozen=True, slots=True)
class NameParts:
    """What a strategy name says.

    Attributes:
        by_room: Rooms are pooled first and the museum is a sequence of rooms; otherwise
            the museum is the flat sequence of its rooms' items.
        museum: Kind of the model that yields the museum's embedding.
        kinds: Input kinds of the scene tower, in the order of `KINDS`.
    """

    by_room: bool
    museum: Museum
    kinds: tuple[str, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
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
