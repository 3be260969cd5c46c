"""Strategy files for chosen scene towers, input kinds, cells and sizes.

What the release's `create_config_files.py` does: every choice is a flag of that name,
and every combination of the chosen towers, kinds and cells that exists is written.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from hm3_jax.files.durable import write_whole
from hm3_jax.nn.strategy import (
    STRATEGY_NAMES,
    CellKind,
    ConvConfig,
    Museum,
    MuseumConfig,
    NameParts,
    PoolConfig,
    RecurrentConfig,
    TowersConfig,
    parse_name,
)
from hm3_jax.nn.strategy_json import strategy_text

SCENE_FLAGS: dict[tuple[bool, Museum], str] = {
    (False, "pool"): "b_mean_pool",
    (False, "conv"): "b_cnn1d",
    (False, "recurrent"): "b_rnn",
    (True, "conv"): "h_cnn1d",
    (True, "recurrent"): "h_rnn",
    (True, "pool"): "h_mean_pool_hierart",
}
"""(by room, museum model) -> the flag that chooses the scene tower."""

KIND_FLAGS = {
    ("views",): "no_image_video",
    ("views", "videos"): "with_video",
    ("views", "images", "videos"): "with_image_video",
}
"""Input kinds -> the flag that chooses them."""

CELL_FLAGS: dict[CellKind, str] = {"gru": "gru", "lstm": "lstm"}
"""Recurrent cell -> the flag that chooses it."""

_INPUT_FLAGS = {
    "views": "scene_feature_size",
    "images": "scene_image_art_feature_size",
    "videos": "scene_video_art_feature_size",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What to write.

    Attributes:
        chosen: Names of the flags that are set, of `SCENE_FLAGS`, `KIND_FLAGS`,
            `CELL_FLAGS`, or one of `desc_rnn_is_bidir`, `scene_rnn_is_bidir` and
            `h_rnn_is_bidir`, which make the text tower, the flat recurrent tower and
            the recurrence over rooms bidirectional.
        sizes: The sizes that are given, by flag: `feature_size` for every input, or
            finer `desc_feature_size`, `scene_feature_size`,
            `scene_image_art_feature_size`, `scene_video_art_feature_size`;
            `output_feature_size` of the embedding, `h_inter_feature_size` of a room,
            `cnn1d_inter_size` channels and `kernel_size` of a CNN.
    """

    chosen: frozenset[str]
    sizes: Mapping[str, int]


def _flags(names: Sequence[str], joint: str = ", ") -> str:
    return joint.join(f"--{name}" for name in names)


class _Composer:
    """Composes strategies and keeps track of the settings they used."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self.used: set[str] = set()

    def _size(self, name: str, *flags: str) -> int:
        """The first given of `flags`; those behind it are overridden, not unused."""
        self.used.update(flags)
        for flag in flags:
            if flag in self._choices.sizes:
                return self._choices.sizes[flag]
        raise ValueError(f"strategy {name} needs {_flags(flags, ' or ')}")

    def _asks(self, flag: str) -> bool:
        self.used.add(flag)
        return flag in self._choices.chosen

    def compose(self, name: str, parts: NameParts, cell: CellKind) -> TowersConfig:
        out_size = self._size(name, "output_feature_size")
        text = RecurrentConfig(
            cell=cell,
            in_size=self._size(name, "desc_feature_size", "feature_size"),
            hidden_size=out_size,
            bidirectional=self._asks("desc_rnn_is_bidir"),
        )
        kinds = {
            kind: self._size(name, _INPUT_FLAGS[kind], "feature_size")
            for kind in parts.kinds
        }
        room = None
        if parts.by_room:
            size = self._size(name, "h_inter_feature_size")
            # Of two pools in a row, the first leaves the linear layer to the second.
            last = None if parts.museum == "pool" else size
            room = PoolConfig(kinds=kinds, size=size, out_size=last)
            kinds = {"views": room.vector_size}
        museum = self._museum(name, parts, cell, kinds, out_size)
        return TowersConfig(name=name, text=text, room=room, museum=museum)

    def _museum(
        self,
        name: str,
        parts: NameParts,
        cell: CellKind,
        kinds: Mapping[str, int],
        out_size: int,
    ) -> MuseumConfig:
        if parts.museum == "recurrent":
            flag = "h_rnn_is_bidir" if parts.by_room else "scene_rnn_is_bidir"
            return RecurrentConfig(
                cell=cell,
                in_size=kinds["views"],
                hidden_size=out_size,
                bidirectional=self._asks(flag),
            )
        if parts.museum == "pool":
            return PoolConfig(kinds=kinds, size=out_size, out_size=out_size)
        return ConvConfig(
            kinds=kinds,
            channels=self._size(name, "cnn1d_inter_size"),
            kernel_size=self._size(name, "kernel_size"),
            out_size=out_size,
        )


def compose_strategies(choices: Choices) -> list[TowersConfig]:
    """Composes every strategy that the choices name.

    Args:
        choices: Which towers, kinds of input, cells and sizes.

    Returns:
        The strategies, each once, in the order of `STRATEGY_NAMES`.

    Raises:
        ValueError: No tower, no kinds or no cell is chosen; a chosen flag leads to no
            strategy; a size is missing, not positive, or used by nothing chosen. The
            message names the flags.
    """
    for flags in (SCENE_FLAGS, KIND_FLAGS, CELL_FLAGS):
        if not choices.chosen.intersection(flags.values()):
            raise ValueError(f"choose at least one of {_flags([*flags.values()])}")
    composer = _Composer(choices)
    configs = []
    for name in STRATEGY_NAMES:
        parts = parse_name(name)
        for cell in parts.cells:
            flags = {
                SCENE_FLAGS[parts.by_room, parts.museum],
                KIND_FLAGS[parts.kinds],
                CELL_FLAGS[cell],
            }
            if flags <= choices.chosen:
                composer.used |= flags
                configs.append(composer.compose(name, parts, cell))
    if not configs:
        raise ValueError(f"no strategy is {_flags(sorted(choices.chosen), ' with ')}")
    unused = sorted(choices.chosen.union(choices.sizes) - composer.used)
    if unused:
        raise ValueError(
            f"{_flags(unused)} would have no effect on the chosen strategies "
            f"{', '.join(config.file_stem for config in configs)}"
        )
    return configs


def write_strategies(
    folder: str | Path, configs: Sequence[TowersConfig], *, overwrite: bool = False
) -> list[Path]:
    """Writes strategy files, all or none where one is in the way.

    Args:
        folder: Where to write; made if absent.
        configs: The strategies; a file is named by its strategy's `file_stem`.
        overwrite: Whether a file with other content is replaced. A file that already
            has the content is left alone either way.

    Returns:
        The files, in the order of `configs`.

    Raises:
        FileExistsError: A file exists with other content and `overwrite` is False.
    """
    folder = Path(folder)
    texts = {folder / f"{c.file_stem}.json": strategy_text(c) for c in configs}
    stale = {
        path
        for path, text in texts.items()
        if not (path.exists() and path.read_text(encoding="utf-8") == text)
    }
    in_the_way = sorted(str(path) for path in stale if path.exists())
    if in_the_way and not overwrite:
        raise FileExistsError(
            f"{', '.join(in_the_way)}: expected the same strategy, found another; "
            f"--overwrite replaces it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in stale:
        write_whole(path, texts[path])
    return list(texts)
