"""Folders to share: the release's files, what it has no place for, and a model card.

`config.json` and `model.safetensors` are as the published release writes them, so it
loads the folder too. `hm3_jax.json` has the rest, and `README.md` says it to people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.durable import whole_or_absent
from hm3_jax.files.facts import FileFacts, file_facts
from hm3_jax.interop.model_card import model_card
from hm3_jax.interop.release_folder import (
    WEIGHT_FILES,
    read_release_folder,
    write_release_files,
)
from hm3_jax.interop.shared_facts import SharedFacts, read_facts, write_facts
from hm3_jax.nn.strategy import StrategyConfig

WEIGHTS = WEIGHT_FILES[0]
CARD = "README.md"


def write_shared_folder(
    folder: Path,
    config: StrategyConfig,
    params: Mapping[str, Any],
    facts: Callable[[FileFacts], SharedFacts],
    name: str | None = None,
) -> None:
    """Writes a folder to share.

    Args:
        folder: Where to write; must not exist. It is whole or absent.
        config: The strategy.
        params: The parameters as `torch_weights.from_torch` gives them.
        facts: Gives what else there is to say, told of the file of weights.
        name: USER/NAME that it will have on the hub, for the card; None if unknown.

    Raises:
        FileExistsError: `folder` exists.
        ValueError: The parameters do not fit the strategy.
    """
    with whole_or_absent(folder, "a shared model") as partial:
        write_release_files(partial, config, params)
        complete = facts(file_facts(partial / WEIGHTS))
        write_facts(partial, complete)
        card = model_card(config, complete, name)
        (partial / CARD).write_text(card, encoding="utf-8")


def read_shared_folder(
    folder: Path,
) -> tuple[StrategyConfig, dict[str, Any], SharedFacts]:
    """Reads a folder that `write_shared_folder` wrote.

    Returns:
        Strategy, parameters as `torch_weights.from_torch` gives them, and the rest.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is damaged, of a newer format, or does not belong to the
            others; the message names it.
    """
    facts = read_facts(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(f"{weights}: expected a file of weights, found none")
    config, params = read_release_folder(folder)
    if config.file_stem != facts.strategy:
        raise ValueError(
            f"{folder / 'config.json'}: expected strategy {facts.strategy}, of which "
            f"hm3_jax.json tells, found {config.file_stem}"
        )
    if file_facts(weights) != facts.weights:
        raise ValueError(
            f"{weights}: expected the weights that hm3_jax.json tells of, found others"
        )
    return config, params, facts
