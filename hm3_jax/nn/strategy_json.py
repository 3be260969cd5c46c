"""Strategy files: the published JSON schema <-> `TowersConfig`.

The schema has `strategy_name`, `uses_flattened_hierarchy` and the sizes in `ee_args`.
`parse_strategy` and `to_json` are inverse up to the order of keys. Flat and by-room
strategies spell the same sizes with different keys, so each kind of model has one
reader and one writer that take the spelling as an argument.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.json_files import read_json
from hm3_jax.nn.interaction_strategy import INTERACTION_NAMES, LateInteractionConfig
from hm3_jax.nn.strategy import (
    CellKind,
    ConvConfig,
    Museum,
    MuseumConfig,
    NameParts,
    PoolConfig,
    RecurrentConfig,
    StrategyConfig,
    TowersConfig,
    check_size,
    input_kinds,
    parse_name,
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Spelling:
    """JSON keys of one model's settings; empty where the model has no such setting."""

    views: str
    width: str
    out: str = ""
    bidirectional: str = ""
    skip: str = ""


_TEXT = _Spelling(
    views="desc_input_feature_size",
    width="desc_output_feature_size",
    bidirectional="desc_model_is_bidirectional",
)
_FLAT = _Spelling(
    views="scene_input_channel",
    width="scene_output_channels",
    out="scene_output_feature_size",
    bidirectional="scene_model_is_bidirectional",
)
_POOL = _Spelling(
    views="scene_in_channels", width="out_channels", skip="skip_last_linear"
)
_BY_ROOM: dict[Museum, _Spelling] = {
    "recurrent": _Spelling(
        views="num_features", width="hidden_size", bidirectional="is_bidirectional"
    ),
    "pool": _POOL,
    "conv": _Spelling(views="in_channels", width="out_channels", out="feature_size"),
}
_ART = {"images": "image_art_in_channels", "videos": "video_art_in_channels"}
_ROOM = "roomModelArgs"
_SEQUENCE = "scenesSequenceModelArgs"
_FLAT_KEY = "uses_flattened_hierarchy"

# A key of every published file that is always null.
_AUDIO_VIDEO = "uses_audio_video_features"


class _Fields:
    """Reads one JSON object key by key and refuses what nobody asked for."""

    def __init__(self, where: str, value: object) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be an object, found {value!r}")
        self.where = where
        self._values = dict(value)
        self._known: list[str] = []

    def has(self, key: str) -> bool:
        self._known.append(key)
        return key in self._values

    def take(self, key: str) -> Any:
        if not self.has(key):
            raise ValueError(f"{self.where} lacks {key}")
        return self._values.pop(key)

    def size(self, key: str) -> int:
        return check_size(f"{self.where}.{key}", self.take(key))

    def flag(self, key: str) -> bool:
        value = self.take(key)
        if not isinstance(value, bool):
            raise ValueError(
                f"{self.where}.{key} must be true or false, found {value!r}"
            )
        return value

    def close(self) -> None:
        if self._values:
            raise ValueError(
                f"{self.where} has unknown keys {', '.join(sorted(self._values))}; "
                f"known: {', '.join(dict.fromkeys(self._known))}"
            )


def _read_kinds(
    fields: _Fields, spelling: _Spelling, name: str, kinds: tuple[str, ...]
) -> dict[str, int]:
    sizes = {"views": fields.size(spelling.views)}
    for kind, key in _ART.items():
        if fields.has(key) != (kind in kinds):
            raise ValueError(
                f"strategy_name {name} reads {', '.join(kinds)} but "
                f"{fields.where}.{key} is {'missing' if kind in kinds else 'given'}"
            )
        if kind in kinds:
            sizes[kind] = fields.size(key)
    return sizes


def _read_recurrent(
    fields: _Fields, spelling: _Spelling, in_size: int, cell: CellKind
) -> RecurrentConfig:
    return RecurrentConfig(
        cell=cell,
        in_size=in_size,
        hidden_size=fields.size(spelling.width),
        bidirectional=fields.flag(spelling.bidirectional),
    )


def _read_pool(
    fields: _Fields, spelling: _Spelling, kinds: Mapping[str, int]
) -> PoolConfig:
    size = fields.size(spelling.width)
    # A flat pool has no such key: it always ends with the linear layer.
    skips = spelling.skip and fields.has(spelling.skip) and fields.flag(spelling.skip)
    return PoolConfig(kinds=kinds, size=size, out_size=None if skips else size)


def _read_conv(
    fields: _Fields, spelling: _Spelling, kinds: Mapping[str, int]
) -> ConvConfig:
    return ConvConfig(
        kinds=kinds,
        channels=fields.size(spelling.width),
        kernel_size=fields.size("kernel_size"),
        out_size=fields.size(spelling.out),
    )


def _read_museum(
    fields: _Fields,
    spelling: _Spelling,
    museum: Museum,
    kinds: Mapping[str, int],
    cell: CellKind,
) -> MuseumConfig:
    if museum == "recurrent":
        return _read_recurrent(fields, spelling, kinds["views"], cell)
    if museum == "pool":
        return _read_pool(fields, spelling, kinds)
    return _read_conv(fields, spelling, kinds)


def _read_args(args: _Fields, name: str, parts: NameParts) -> TowersConfig:
    cell: CellKind = "lstm" if args.flag("useLSTM") else "gru"
    text = _read_recurrent(args, _TEXT, args.size(_TEXT.views), cell)
    room = None
    if parts.by_room:
        of_room = _Fields(_ROOM, args.take(_ROOM))
        room = _read_pool(
            of_room, _POOL, _read_kinds(of_room, _POOL, name, parts.kinds)
        )
        of_room.close()
        of_museum = _Fields(_SEQUENCE, args.take(_SEQUENCE))
        spelling = _BY_ROOM[parts.museum]
        kinds = {"views": of_museum.size(spelling.views)}
    else:
        of_museum, spelling = args, _FLAT
        kinds = _read_kinds(args, _FLAT, name, parts.kinds)
    museum = _read_museum(of_museum, spelling, parts.museum, kinds, cell)
    of_museum.close()
    args.close()
    return TowersConfig(name=name, text=text, room=room, museum=museum)


def _read(value: object) -> StrategyConfig:
    top = _Fields("strategy", value)
    name = top.take("strategy_name")
    if isinstance(name, str) and name in INTERACTION_NAMES:
        return _read_interaction(name, top)
    parts = parse_name(name)
    flat = top.flag(_FLAT_KEY)
    if flat == parts.by_room:
        raise ValueError(
            f"{_FLAT_KEY} is {json.dumps(flat)} but "
            f"strategy_name {name} is {'by room' if parts.by_room else 'flat'}"
        )
    args = _Fields("ee_args", top.take("ee_args"))
    _close(top)
    return _read_args(args, name, parts)


def _read_interaction(name: str, top: _Fields) -> LateInteractionConfig:
    if top.has(_FLAT_KEY) and top.flag(_FLAT_KEY):
        raise ValueError(f"{_FLAT_KEY} is true but strategy_name {name} is by room")
    args = top.take("ee_args")
    _close(top)
    return LateInteractionConfig.from_args(name, args)


def _close(top: _Fields) -> None:
    """Takes keys that never say anything, and refuses all others."""
    if top.has(_AUDIO_VIDEO) and top.take(_AUDIO_VIDEO):
        raise ValueError(f"{_AUDIO_VIDEO} must be null: no tower reads audio")
    if top.has("transformers_version"):
        top.take("transformers_version")
    top.close()


def parse_strategy(
    value: Mapping[str, object], source: str | Path = "strategy"
) -> StrategyConfig:
    """Reads a strategy from the published schema.

    Args:
        value: The decoded JSON object. `transformers_version` may be present and is
            ignored; `uses_audio_video_features` may be present and null.
        source: Where the object came from, for messages.

    Returns:
        The configuration, checked.

    Raises:
        ValueError: A key is missing, unknown or of the wrong type, the name is unknown,
            or two settings contradict each other; the message names `source` and both
            sides.
    """
    try:
        return _read(value)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def load_strategy(path: str | Path) -> StrategyConfig:
    """Reads a strategy file.

    Args:
        path: A JSON file in the published schema.

    Returns:
        The configuration, checked.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not JSON, or `parse_strategy` refuses its content.
    """
    return parse_strategy(read_json(Path(path)), path)


def _write_part(
    part: MuseumConfig, spelling: _Spelling, *, always_skip_key: bool = False
) -> dict[str, Any]:
    kinds = input_kinds(part)
    fields: dict[str, Any] = {spelling.views: kinds["views"]}
    if isinstance(part, RecurrentConfig):
        fields[spelling.width] = part.hidden_size
        fields[spelling.bidirectional] = part.bidirectional
        return fields
    if isinstance(part, ConvConfig):
        fields[spelling.width] = part.channels
        fields["kernel_size"] = part.kernel_size
        fields[spelling.out] = part.out_size
    else:
        fields[spelling.width] = part.size
    fields |= {_ART[kind]: size for kind, size in kinds.items() if kind in _ART}
    if isinstance(part, PoolConfig) and (always_skip_key or part.out_size is None):
        fields[spelling.skip] = part.out_size is None
    return fields


def to_json(config: StrategyConfig) -> dict[str, Any]:
    """Writes a strategy in the published schema; the inverse of `parse_strategy`.

    Args:
        config: A configuration.

    Returns:
        An object that `json.dump` takes, without the keys that never say anything.
    """
    if isinstance(config, LateInteractionConfig):
        return {
            "strategy_name": config.name,
            _FLAT_KEY: False,
            "ee_args": config.to_args(),
        }
    assert isinstance(config, TowersConfig)
    parts = parse_name(config.name)
    args: dict[str, Any] = {"useLSTM": config.text.cell == "lstm"}
    args |= _write_part(config.text, _TEXT)
    if config.room is None:
        args |= _write_part(config.museum, _FLAT)
    else:
        # The published files say it for both pools of two, and nowhere else.
        says_skip = parts.museum == "pool"
        args[_ROOM] = _write_part(config.room, _POOL, always_skip_key=says_skip)
        args[_SEQUENCE] = _write_part(
            config.museum, _BY_ROOM[parts.museum], always_skip_key=says_skip
        )
    return {
        "strategy_name": config.name,
        _FLAT_KEY: config.flat,
        "ee_args": args,
    }


def strategy_text(config: StrategyConfig) -> str:
    """Writes a strategy as the text of a strategy file, for us and for the release.

    Args:
        config: A configuration.

    Returns:
        Indented JSON with a newline at its end.
    """
    # The release's own files say this null, so its reader is given it too.
    return json.dumps({**to_json(config), _AUDIO_VIDEO: None}, indent=2) + "\n"
