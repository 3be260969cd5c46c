"""Folders to share: strategy, weights, what the release has no place for, model card.

`config.json` and `model.safetensors` are as the published release writes them, where it
has the strategy, so that it loads the folder too; weights of other strategies have our
own names. `hm3_jax.json` has the rest, and `README.md` says it to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.facts import check_sizes, file_facts
from hm3_jax.files.lines import write_text
from hm3_jax.interop.model_card import model_card
from hm3_jax.interop.own_weights import from_names, to_names
from hm3_jax.interop.release_folder import (
    CONFIG_FILE,
    WEIGHT_FILES,
    read_release_folder,
    write_model_files,
)
from hm3_jax.interop.shared_facts import (
    FACTS_FILE,
    SharedFacts,
    facts_text,
    read_facts,
)
from hm3_jax.interop.torch_files import load_state_dict
from hm3_jax.interop.torch_weights import to_torch
from hm3_jax.nn.strategy import StrategyConfig, TowersConfig
from hm3_jax.nn.strategy_json import load_strategy

_CARD = "README.md"
# The card is for people to change.
_CHECKED = (CONFIG_FILE, WEIGHT_FILES[0])


def write_shared_files(
    folder: Path,
    config: StrategyConfig,
    params: Mapping[str, Any],
    facts: SharedFacts,
    name: str | None = None,
) -> None:
    """Writes the files of a shared model.

    Args:
        folder: An empty folder.
        config: The strategy.
        params: The parameters: a nested dictionary of arrays.
        facts: All else that there is to say.
        name: USER/NAME that it will have on the hub, for the card; None if unknown.

    Raises:
        ValueError: The parameters do not fit a strategy of the release.
    """
    of_release = isinstance(config, TowersConfig)
    weights = to_torch(params, config) if of_release else to_names(params)
    write_model_files(folder, config, weights)
    files = {name: file_facts(folder / name) for name in _CHECKED}
    write_text(folder / FACTS_FILE, facts_text(facts, files))
    write_text(folder / _CARD, model_card(config, facts, name))


def read_shared_folder(
    folder: Path,
) -> tuple[StrategyConfig, dict[str, Any], SharedFacts]:
    """Reads a folder that `write_shared_files` filled.

    Returns:
        Strategy, parameters and the rest. Only those of strategies of the release are
        known to fit it.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is damaged, of a newer format, or not the one that was
            written with the others; the message names it.
    """
    facts, files = read_facts(folder / FACTS_FILE)
    # By our own names: what else a stranger's file lists is nobody's business.
    expected = {name: files[name] for name in _CHECKED if name in files}
    check_sizes(folder, expected)
    for name in _CHECKED:
        if name not in files or file_facts(folder / name) != files[name]:
            raise ValueError(
                f"{folder / name}: damaged, or not the file that {FACTS_FILE} was "
                "written with: its checksum differs"
            )
    config = load_strategy(folder / CONFIG_FILE)
    if isinstance(config, TowersConfig):
        return *read_release_folder(folder), facts
    weights = folder / WEIGHT_FILES[0]
    try:
        return config, from_names(load_state_dict(weights)), facts
    except ValueError as error:
        said = str(error)
        raise ValueError(
            said if str(weights) in said else f"{weights}: {said}"
        ) from None
