"""What `convert` is told to do, and doing it."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

from hm3_jax.app.model_names import Form
from hm3_jax.app.models import checkpoint_folder, load_release, load_shared
from hm3_jax.app.sharing import Push, share
from hm3_jax.files.durable import refuse_existing, whole_or_absent
from hm3_jax.interop import hub
from hm3_jax.interop.release_folder import write_release_folder
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.strategy import ConvConfig, Masking, TowersConfig


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """A model and what to make of it.

    Attributes:
        source: Folder, or "hub:USER/NAME[@REVISION]".
        source_form: Form of the source.
        output: Folder to make.
        output_form: Another form, to be written there.
        cnn1d_masking: Masking of a 1-D CNN in the release's form.
        push: Where on the hub to put a shared model; None for nowhere.
    """

    source: str
    source_form: Form
    output: Path
    output_form: Form
    cnn1d_masking: Masking = "channels"
    push: Push | None = None


def convert(asked: Conversion) -> list[str]:
    """Converts a model.

    Returns:
        Lines about what was done.

    Raises:
        FileExistsError: The output is there.
        FileNotFoundError: There is no model, or a file of it is missing.
        ValueError: The model is damaged or of a newer format, or the published release
            does not have it; the forms are the same; or the hub does not let the user
            read or write.
        ConnectionError: The hub failed.
        ModuleNotFoundError: The hub's library is needed and not installed.
    """
    if asked.source_form == asked.output_form:
        raise ValueError(
            f"expected two forms, found --from={asked.source_form} "
            f"--to={asked.output_form}"
        )
    refuse_existing(asked.output, "a converted model")
    if asked.push is not None:
        hub.check_can_push(asked.push.name, private=asked.push.private)
    folder = checkpoint_folder(asked.source)
    saved = _load(asked, folder)
    where = _write(asked, folder, saved)
    lines = [f"{saved.model.config.file_stem}: written to {asked.output}"]
    if asked.push is not None:
        lines.append(f"pushed to {hub.PREFIX}{asked.push.name}: {where}")
    return lines


def _load(asked: Conversion, folder: Path) -> Checkpoint:
    match asked.source_form:
        case "pytorch":
            return load_release(folder, asked.cnn1d_masking)
        case "shared":
            return load_shared(folder)
        case "orbax":
            return checkpoint.load_model(folder)


def _write(asked: Conversion, folder: Path, saved: Checkpoint) -> str | None:
    """Writes the output; address of the commit where it was pushed."""
    model, where = saved.model, None
    match asked.output_form:
        case "orbax":
            kept = dataclasses.replace(saved, optimizer=None, progress=None)
            with whole_or_absent(asked.output, "a checkpoint") as partial:
                checkpoint.save(partial, "best", kept)
            return None
        case "pytorch":
            if not isinstance(model.config, TowersConfig):
                raise ValueError(
                    f"{asked.source}: expected one of HM3's strategies, which are all "
                    f"that the published release has, found {model.config.name}: "
                    "--to=shared writes a folder that holds it"
                )
            write_release_folder(asked.output, model.config, model.params)
        case "shared":
            where = share(saved, folder, asked.output, asked.push)
    config = model.config
    if (
        isinstance(config, TowersConfig)
        and isinstance(config.museum, ConvConfig)
        and config.museum.masking == "time"
    ):
        warnings.warn(
            f"{asked.source}: this 1-D CNN masks time; the published release masks "
            "channels and will give other embeddings of the same museums",
            stacklevel=2,
        )
    return where
