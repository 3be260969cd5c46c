"""Files of CLIP weights: which kind one is, and what is in it.

| layout | found by |
|---|---|
| open_clip | a state dict with open_clip's names |
| OpenAI | a TorchScript archive, or `input_resolution` among the names |
| CLIP4Clip | names that begin with `clip.`: OpenAI's, fine-tuned |

OpenAI's names are open_clip's too, but its models have another activation, QuickGELU:
with plain GELU the same weights give features that look right and are not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hm3_jax.extraction.errors import first_line
from hm3_jax.files.content import what_a_text_is

if TYPE_CHECKING:
    import torch

FileLayout = Literal["open_clip", "OpenAI", "CLIP4Clip"]
"""Whose names and nesting a file of weights has."""

_CLIP4CLIP_PREFIX = "clip."
# Facts that OpenAI keeps among its tensors.
_OPENAI_FACTS = ("input_resolution", "context_length", "vocab_size")
_HUGGING_FACE_PREFIXES = ("vision_model.", "text_model.")


@dataclasses.dataclass(frozen=True, slots=True)
class Weights:
    """What is in a file of weights.

    Attributes:
        state: Tensor of each parameter, by open_clip's names.
        layout: How the file was laid out.
    """

    state: Mapping[str, torch.Tensor]
    layout: FileLayout


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path) -> Weights:
    """Reads a file of weights. Pickles among them may ask for tensors only.

    Args:
        path: `.safetensors`, a `torch.save` of a state dict or of a training
            checkpoint with a `state_dict`, or OpenAI's TorchScript archive.

    Returns:
        The weights, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds no CLIP weights.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of weights, found none")
    _check_content(path)
    scripted = _is_torch_script(path)
    try:
        values = _load_script(path) if scripted else _load(path)
    except Exception as error:
        # Damaged bytes make these libraries raise almost anything.
        said = f"{type(error).__name__}: {first_line(error)}"
        if isinstance(error, pickle.UnpicklingError):
            # PyTorch's advice is to let the file run what it likes.
            said = "a pickle of other things than tensors, or none"
        raise ValueError(
            f"{path}: expected a whole file of weights, found it damaged, cut short or "
            f"of another kind ({said})"
        ) from None
    state = _unwrap(path, values)
    if any(name.startswith(_CLIP4CLIP_PREFIX) for name in state):
        # The rest is CLIP4Clip's own: its similarity, positions of frames.
        state = {
            name.removeprefix(_CLIP4CLIP_PREFIX): value
            for name, value in state.items()
            if name.startswith(_CLIP4CLIP_PREFIX)
        }
        layout: FileLayout = "CLIP4Clip"
    elif scripted or any(name in state for name in _OPENAI_FACTS):
        layout = "OpenAI"
    else:
        layout = "open_clip"
    state = {name: state[name] for name in state if name not in _OPENAI_FACTS}
    if any(name.startswith(_HUGGING_FACE_PREFIXES) for name in state):
        raise ValueError(
            f"{path}: expected weights with OpenAI's or open_clip's names, found "
            "Hugging Face's; open_clip offers openai/clip-vit-base-patch32 as "
            "ViT-B-32-quickgelu with the pretrained weights openai"
        )
    return Weights(state, layout)


def _check_content(path: Path) -> None:
    """Refuses files that stand in the place of weights, by name."""
    with path.open("rb") as file:
        head = file.read(512)
    found = what_a_text_is(head) if head else "an empty file"
    if found is not None:
        raise ValueError(f"{path}: expected a whole file of weights, found {found}")


def _is_torch_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _load(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _load_script(path: Path) -> Any:
    import torch

    with warnings.catch_warnings():
        # PyTorch would like TorchScript to go; OpenAI's files are what they are.
        warnings.simplefilter("ignore")
        return torch.jit.load(path, map_location="cpu").state_dict()


def _unwrap(path: Path, values: Any) -> dict[str, torch.Tensor]:
    """The named tensors in what a file held, without the names of wrappers."""
    import torch

    if isinstance(values, Mapping) and isinstance(values.get("state_dict"), Mapping):
        values = values["state_dict"]
    if (
        not isinstance(values, Mapping)
        or not values
        or not all(isinstance(value, torch.Tensor) for value in values.values())
    ):
        raise ValueError(f"{path}: expected a dict of named tensors, found others")
    # Training on several GPUs puts a name before all names.
    wrapped = all(name.startswith("module.") for name in values)
    return {
        name.removeprefix("module.") if wrapped else name: value
        for name, value in values.items()
    }
