"""Strategy files of HM3 and the configurations they stand for.

A strategy JSON has the published schema: `strategy_name`, `uses_flattened_hierarchy`
and the sizes in `ee_args`. `parse_strategy` and `to_json` are inverse up to the order
of keys.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.nn import strategy_schema
from hm3_jax.nn.strategy_name import (
    KINDS,
    STRATEGY_NAMES,
    Cell,
    Museum,
    NameParts,
    parse_name,
)
from hm3_jax.nn.strategy_parts import (
    ConvConfig,
    MuseumConfig,
    PoolConfig,
    RecurrentConfig,
    StrategyConfig,
    input_kinds,
)

__all__ = [
    "KINDS",
    "STRATEGY_NAMES",
    "Cell",
    "ConvConfig",
    "Museum",
    "MuseumConfig",
    "NameParts",
    "PoolConfig",
    "RecurrentConfig",
    "StrategyConfig",
    "input_kinds",
    "load_strategy",
    "parse_name",
    "parse_strategy",
    "strategy_text",
    "to_json",
]


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
        return strategy_schema.read(value)
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
    try:
        # Some editors start a file with a mark that is no part of JSON.
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:  # not JSON, or not even text
        raise ValueError(f"{path}: expected a JSON object, found {error}") from error
    return parse_strategy(value, path)


def to_json(config: StrategyConfig) -> dict[str, Any]:
    """Writes a strategy in the published schema; the inverse of `parse_strategy`.

    Args:
        config: A configuration.

    Returns:
        An object that `json.dump` takes, without the keys that never say anything.
    """
    return strategy_schema.write(config)


def strategy_text(config: StrategyConfig) -> str:
    """Writes a strategy as the text of a strategy file, for us and for the release.

    Args:
        config: A configuration.

    Returns:
        Indented JSON with a newline at its end.
    """
    # The release's own files say this null, so its reader is given it too.
    return (
        json.dumps({**to_json(config), strategy_schema.AUDIO_VIDEO: None}, indent=2)
        + "\n"
    )
