"""Loads models, whatever form a checkpoint has and wherever it is."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from hm3_jax.app.model_names import ZERO_SHOT
from hm3_jax.data.store import FeatureStore
from hm3_jax.interop import hub
from hm3_jax.interop.release_folder import (
    CONFIG_FILE,
    WEIGHT_FILES,
    read_release_folder,
)
from hm3_jax.interop.shared_facts import FACTS_FILE
from hm3_jax.interop.shared_folder import read_shared_folder
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.learn.zero_shot import zero_shot
from hm3_jax.nn.strategy import Masking


def checkpoint_folder(name: str | Path) -> Path:
    """The folder that a checkpoint's name means.

    Args:
        name: A folder, or "hub:USER/NAME[@REVISION]", which is downloaded where the
            cache does not have it.

    Raises:
        ValueError: There is no such model on the hub, or it may not be read.
        FileNotFoundError: The hub cannot be reached, and the cache does not have the
            model.
        ConnectionError: The hub failed.
        ModuleNotFoundError: The hub's library is not installed.
    """
    if str(name).startswith(hub.PREFIX):
        return hub.download(str(name))
    return Path(name)


def load_checkpoint(name: str | Path, store: FeatureStore | None = None) -> Checkpoint:
    """Loads the model of a checkpoint.

    Args:
        name: What `checkpoint_folder` takes; the folder is a `try_K` folder, one that
            `convert` made, or one made to share. Or `ZERO_SHOT`.
        store: Whose features the model is to read; only `ZERO_SHOT` takes it.

    Raises:
        FileNotFoundError: There is no checkpoint, or a file of it is missing.
        ValueError: It is damaged, of a newer format, or in the published release's
            form, which says too little; else as `checkpoint_folder`.
        ConnectionError: As `checkpoint_folder`.
        ModuleNotFoundError: As `checkpoint_folder`.
    """
    if str(name) == ZERO_SHOT:
        if store is None:
            raise ValueError(
                f"{ZERO_SHOT} is not a saved model, which is expected here; it works "
                "only beside a feature store"
            )
        return Checkpoint(zero_shot(store), epoch=0)
    folder = checkpoint_folder(name)
    if (folder / "checkpoints").is_dir():
        return checkpoint.load_model(folder)
    if (folder / FACTS_FILE).is_file():
        return load_shared(folder)
    if (folder / CONFIG_FILE).is_file():
        raise ValueError(
            f"{name}: expected a checkpoint of ours, found a folder as the published "
            f"release writes it, without {FACTS_FILE} (convert --from=pytorch makes "
            "a checkpoint of it)"
        )
    if str(name) != str(folder):
        raise ValueError(
            f"{name}: expected a model of hm3_jax, found neither {FACTS_FILE} nor "
            f"{CONFIG_FILE}"
        )
    return checkpoint.load_model(folder)


def load_shared(folder: Path) -> Checkpoint:
    """Loads a folder made to share.

    Raises:
        ValueError: It names an unknown masking, or its weights do not fit its
            strategy; else as `read_shared_folder`.
        FileNotFoundError: As `read_shared_folder`.
    """
    config, params, facts = read_shared_folder(folder)
    try:
        config = config.masked(cast(Masking, facts.cnn1d_masking))
    except ValueError as error:
        raise ValueError(f"{folder / FACTS_FILE}: {error}") from None
    model = Model(config, params, facts.feature_facts)
    try:
        model.stacked()  # checks that parameters fit
    except ValueError as error:
        raise ValueError(f"{folder / WEIGHT_FILES[0]}: {error}") from None
    return Checkpoint(model, epoch=facts.epoch, settings=facts.settings)


def load_release(folder: Path, masking: Masking) -> Checkpoint:
    """Loads a folder of the published release; raises as `read_release_folder`.

    Args:
        folder: As the release's `save_pretrained` writes it.
        masking: Of its 1-D CNN, if it has one; "channels" is the release's.
    """
    config, params = read_release_folder(folder)
    # What its features came from, the release does not write down.
    return Checkpoint(
        Model(config.masked(masking), params, feature_facts=None), epoch=0
    )
