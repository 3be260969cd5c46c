"""Checkpoint folders of the published release.

A folder is what the release's `save_pretrained` writes: `config.json`, the strategy,
with `model.safetensors` or the older `pytorch_model.bin`, the weights. Neither has a
place for a checksum, so ours have `files.json` beside them, which the release ignores.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.files.durable import whole_or_absent
from hm3_jax.files.errors import naming
from hm3_jax.files.file_list import FILE_LIST, list_of, listed_damage
from hm3_jax.files.json_files import read_json
from hm3_jax.files.lines import write_text
from hm3_jax.interop import torch_files, torch_weights
from hm3_jax.nn.strategy import StrategyConfig, TowersConfig
from hm3_jax.nn.strategy_json import parse_strategy, strategy_text

CONFIG_FILE = "config.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")

# What Hugging Face's `save_pretrained` adds to any configuration; none of it says
# anything about the towers.
_HUGGING_FACE_KEYS = frozenset(
    {
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "auto_map",
        "dtype",
        "model_type",
        "problem_type",
        "return_dict",
        "torch_dtype",
        "torchscript",
        "transformers_version",
    }
)


def _read_config(path: Path) -> TowersConfig:
    value = read_json(path)
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if k not in _HUGGING_FACE_KEYS}
    config = parse_strategy(value, path)
    if not isinstance(config, TowersConfig):
        raise ValueError(
            f"{path}: expected one of HM3's strategies, found {config.name}, which the "
            "published release does not have (--from=shared reads a folder that was "
            "made to share it)"
        )
    return config


def _weight_file(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{folder}: expected {' or '.join(WEIGHT_FILES)}, found neither"
    )


def read_release_folder(folder: str | Path) -> tuple[TowersConfig, dict[str, Any]]:
    """Reads a checkpoint folder of the release.

    Args:
        folder: Holds `config.json` and `model.safetensors` or `pytorch_model.bin`; the
            first is preferred where both are present.

    Returns:
        The strategy and the parameters as `from_torch` gives them.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is damaged or not what `files.json` lists, where there is
            one, the strategy is unsound, or the weights do not fit it; the message
            names the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected a checkpoint folder, found none")
    if changed := listed_damage(folder, (CONFIG_FILE, *WEIGHT_FILES)):
        raise ValueError(
            f"{changed} (if it was changed on purpose, remove {FILE_LIST} beside it)"
        )
    config = _read_config(folder / CONFIG_FILE)
    weights = _weight_file(folder)
    state = torch_files.load_state_dict(weights)
    try:
        return config, torch_weights.from_torch(state, config)
    except ValueError as error:
        raise ValueError(f"{weights}: {error}") from error


def write_release_folder(
    folder: str | Path, config: TowersConfig, params: Mapping[str, Any]
) -> None:
    """Writes a checkpoint folder that the release's `from_pretrained` takes.

    Args:
        folder: Where to write; must not exist. It is complete or absent.
        config: The strategy.
        params: The parameters as `from_torch` gives them.

    Raises:
        FileExistsError: `folder` exists.
        ValueError: The parameters do not fit the strategy.
    """
    state = torch_weights.to_torch(params, config)
    with whole_or_absent(Path(folder), "a checkpoint") as partial:
        write_model_files(partial, config, state)


def write_model_files(
    folder: Path, config: StrategyConfig, weights: Mapping[str, np.ndarray]
) -> None:
    """Writes `config.json`, `model.safetensors` and their `files.json` into a folder.

    Args:
        folder: Where to write.
        config: The strategy.
        weights: Arrays by the names that they are to have.
    """
    # Imported here, as only converting needs it.
    from safetensors.numpy import save

    # `transformers` refuses a safetensors file without such a mark.
    form = "pt" if isinstance(config, TowersConfig) else "hm3_jax"
    data = save(dict(weights), metadata={"format": form})
    # Not by `save_file`, whose files only their owner may read.
    with naming(folder / WEIGHT_FILES[0]):
        (folder / WEIGHT_FILES[0]).write_bytes(data)
    write_text(folder / CONFIG_FILE, strategy_text(config))
    files = list_of(folder, (CONFIG_FILE, WEIGHT_FILES[0]))
    write_text(folder / FILE_LIST, files)
