"""Folders to share: the release's files, what it has no place for, and a model card.

`config.json` and `model.safetensors` are as the published release writes them, so it
loads the folder too. `hm3_jax.json` has the rest, and `README.md` says it to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.facts import check_sizes, file_facts
from hm3_jax.files.lines import write_text
from hm3_jax.interop.model_card import model_card
from hm3_jax.interop.release_folder import (
    CONFIG_FILE,
    WEIGHT_FILES,
    read_release_folder,
    write_release_files,
)
from hm3_jax.interop.shared_facts import (
    FACTS_FILE,
    SharedFacts,
    facts_text,
    read_facts,
)
from hm3_jax.nn.strategy import TowersConfig

_CARD = "README.md"
# The card is for people to change.
_CHECKED = (CONFIG_FILE, WEIGHT_FILES[0])


def write_shared_files(
    folder: Path,
    config: TowersConfig,
    params: Mapping[str, Any],
    facts: SharedFacts,
    name: str | None = None,
) -> None:
    """Writes the files of a shared model.

    Args:
        folder: An empty folder.
        config: The strategy.
        params: The parameters as `torch_weights.from_torch` gives them.
        facts: All else that there is to say.
        name: USER/NAME that it will have on the hub, for the card; None if unknown.

    Raises:
        ValueError: The parameters do not fit the strategy.
    """
    write_release_files(folder, config, params)
    files = {name: file_facts(folder / name) for name in _CHECKED}
    write_text(folder / FACTS_FILE, facts_text(facts, files))
    write_text(folder / _CARD, model_card(config, facts, name))


def read_shared_folder(
    folder: Path,
) -> tuple[TowersConfig, dict[str, Any], SharedFacts]:
    """Reads a folder that `write_shared_files` filled.

    Returns:
        Strategy, parameters as `torch_weights.from_torch` gives them, and the rest.

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
    config, params = read_release_folder(folder)
    return config, params, facts
