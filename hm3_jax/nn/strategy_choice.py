"""Strategies that a user names, in the order of the published tables."""

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hm3_jax.files.left_behind import is_left_behind
from hm3_jax.files.shipped import found, shipped_names
from hm3_jax.nn.strategy import ConvConfig, StrategyConfig, TowersConfig
from hm3_jax.nn.strategy_json import load_strategy

# In place of an embedding's size.
_AFTER_PUBLISHED = math.inf


def load_strategies(
    files: Sequence[str], folder: str | None = None
) -> list[StrategyConfig]:
    """Strategies from files, from a folder of files, or both, in published order.

    Args:
        files: strategy JSON files, or names of some that come with the package, such
            as "pov_and_video/rnn_cnn1d_video".
        folder: all its `*.json` files are taken; may be the name of one that comes with
            the package, such as "pov_and_video"; None or empty for no folder.

    Raises:
        ValueError: there is none, two have the same name, or a name means several.
        FileNotFoundError: a file is missing.
    """
    paths = [_found(file) for file in files]
    if folder:
        inside = [
            path
            for path in sorted(found(folder, "strategies").glob("*.json"))
            if not is_left_behind(path.name)
        ]
        if not inside:
            raise ValueError(
                f"{folder}: expected strategy files *.json, or the name of a folder of "
                "them that comes with hm3_jax, found neither"
            )
        paths += inside
    if not paths:
        raise ValueError("give --config_files or --config_files_dir (found neither)")
    strategies = {}
    for path in paths:
        config = load_strategy(path)
        if config.file_stem in strategies:
            raise ValueError(f"{path}: strategy {config.file_stem} is given twice")
        strategies[config.file_stem] = config
    return sorted(strategies.values(), key=published_order)


def _found(name: str) -> Path:
    path = found(name, "strategies")
    if not path.exists():
        names = shipped_names("strategies")
        nearest = difflib.get_close_matches(name, names, n=3, cutoff=0)
        raise FileNotFoundError(
            f"{name}: expected a strategy file, or the name of one that comes with "
            f"hm3_jax (such as {', '.join(nearest)}), found neither"
        )
    return path


def published_order(config: StrategyConfig) -> tuple[Any, ...]:
    """What strategies are sorted by to come in the order of the published tables."""
    if not isinstance(config, TowersConfig):
        return (_AFTER_PUBLISHED, config.file_stem)
    return (
        config.embedding_size,
        not config.flat,
        isinstance(config.museum, ConvConfig),
        config.text.cell == "lstm",
        "images" in config.uses,
        "videos" in config.uses,
        config.file_stem,
    )
