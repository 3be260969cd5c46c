"""Which CLIP model to use: from flags to an architecture and a file of weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from hm3_jax.extraction.errors import first_line, require_packages
from hm3_jax.files.json_files import read_json

Precision = Literal["float32", "bf16", "fp16", "auto"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

CONFIG_FILE = "open_clip_config.json"
HUB = "hf-hub:"
"""What the names of models on Hugging Face's hub begin with."""

CUSTOM = "custom-"
"""What the names of architectures that open_clip has no name for begin with."""

# What open_clip and Hugging Face call the weights in a folder.
_WEIGHTS_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
_WEIGHTS_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth"}


# What a tag of open_clip's says about pictures.
_PICTURE_SETTINGS = ("mean", "std", "interpolation", "resize_mode")


@dataclasses.dataclass(frozen=True, slots=True)
class ClipChoice:
    """A CLIP model as a user names it.

    Attributes:
        model: Architecture by open_clip's name, such as "ViT-B-32-quickgelu"; or
            "hf-hub:OWNER/NAME" of a model in open_clip's form; or None if `pretrained`
            is a folder, which says itself.
        pretrained: Weights: a tag that open_clip knows, such as "openai"; a file; or a
            folder with `open_clip_config.json` and weights. A file may be open_clip's,
            OpenAI's, or a CLIP4Clip checkpoint.
        precision: Of the computation. "bf16" and "fp16" are autocast; "auto" is bf16
            on a GPU that has it and float32 elsewhere.
    """

    model: str | None
    pretrained: str | None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        """Refuses an unknown precision."""
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"expected a precision of {', '.join(PRECISIONS)}, found "
                f"{self.precision!r}"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class ResolvedClip:
    """An architecture and the file of its weights, both on this machine.

    Attributes:
        name: Of the architecture, for facts: open_clip's name, or "custom-" and a
            checksum of its settings where it has none.
        source: What open_clip calls it: its name, "local-dir:..." or "hf-hub:...".
        config: open_clip's settings of the architecture.
        preprocessing: open_clip's settings for pictures, as far as the weights say.
        weights: Name of the weights, for facts: the tag, or the file's name.
        weights_file: The file.
        tagged: Whether open_clip knows these weights, and so their activation.
    """

    name: str
    source: str
    config: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    weights: str
    weights_file: Path
    tagged: bool

    @property
    def activation(self) -> str:
        """The activation: "QuickGELU" or "GELU"."""
        return activation_of(self.config)


def activation_of(config: Mapping[str, Any]) -> str:
    """The activation of an architecture by its settings: "QuickGELU" or "GELU"."""
    return "QuickGELU" if config.get("quick_gelu") else "GELU"


def resolve(choice: ClipChoice) -> ResolvedClip:
    """Finds, and downloads if need be, what a choice names.

    Args:
        choice: Model and weights.

    Returns:
        Architecture and weights on this machine; the weights are not read yet.

    Raises:
        ValueError: If the names are unknown or do not go together.
        FileNotFoundError: If a file is missing or cannot be downloaded.
        ModuleNotFoundError: If open_clip is not installed.
    """
    require_packages("torch", "open_clip")
    import open_clip

    model, pretrained = choice.model, choice.pretrained
    if model is not None and model.startswith(HUB):
        if pretrained:
            raise ValueError(
                f"the model {model} brings its own weights: the pretrained weights "
                f"{pretrained} contradict it"
            )
        return _from_hub(model)
    if not pretrained:
        raise ValueError(
            f"expected pretrained weights for the model {model}: a tag of open_clip's, "
            "a file or a folder; found none"
        )
    config = None
    if model is not None:
        config = open_clip.get_model_config(model)
        if config is None:
            raise ValueError(
                f"expected a model that open_clip knows, found {model!r} (it lists "
                "them with open_clip.list_models())"
            )
        tag = open_clip.get_pretrained_cfg(model, pretrained)
        if tag:
            return _from_tag(model, config, pretrained, tag)
    path = Path(pretrained)
    if path.is_dir():
        return _from_folder(path, model, config)
    if model is None or config is None:
        raise ValueError(
            f"{pretrained}: expected a folder with {CONFIG_FILE} and weights, as no "
            "model is named; found " + ("a file" if path.exists() else "no such folder")
        )
    if not path.is_file():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise ValueError(
            f"expected pretrained weights for {model}: a file, a folder or one of the "
            f"tags {tags}; found {pretrained!r}"
        )
    return ResolvedClip(
        model, model, config, _trained_on(model), path.name, path, tagged=False
    )


def _trained_on(model: str) -> Mapping[str, Any]:
    """What all published weights of an architecture take pictures as; else nothing.

    Those of SigLIP, for one, take other pictures than CLIP's, and open_clip gives a
    model whose weights are a file CLIP's.
    """
    import open_clip

    known = [
        open_clip.get_pretrained_cfg(model, tag)
        for tag in open_clip.list_pretrained_tags_by_model(model)
    ]
    return {
        name: known[0][name]
        for name in _PICTURE_SETTINGS
        if known
        and all(name in tag and tag[name] == known[0].get(name) for tag in known)
    }


def _from_tag(
    model: str, config: Mapping[str, Any], name: str, tag: Mapping[str, Any]
) -> ResolvedClip:
    from open_clip import download_pretrained

    trained = activation_of(tag)
    if trained != activation_of(config):
        raise ValueError(
            f"the pretrained weights {name} were trained with {trained}, the model "
            f"{model} has {activation_of(config)}: use "
            + with_activation(model, trained)
        )
    try:
        file = Path(download_pretrained(dict(tag)))
    except Exception as error:
        raise FileNotFoundError(_not_downloaded(f"{model} {name}", error)) from None
    return ResolvedClip(model, model, config, tag, name, file, tagged=True)


def with_activation(model: str, activation: str) -> str:
    """Name of the same architecture with another activation."""
    suffix = "-quickgelu"
    plain = model.removesuffix(suffix)
    return plain + suffix if activation == "QuickGELU" else plain


def _from_hub(model: str) -> ResolvedClip:
    from open_clip.pretrained import download_pretrained_from_hf

    hub_name = model.removeprefix(HUB)
    try:
        settings = Path(download_pretrained_from_hf(hub_name, filename=CONFIG_FILE))
        weights = Path(download_pretrained_from_hf(hub_name))
    except Exception as error:
        raise FileNotFoundError(_not_downloaded(model, error)) from None
    config, preprocessing = _read_config(settings)
    return ResolvedClip(
        model, model, config, preprocessing, hub_name, weights, tagged=True
    )


def _not_downloaded(what: str, error: Exception) -> str:
    return (
        f"{what}: expected to download the weights, found {type(error).__name__}: "
        f"{first_line(error)} (without a network, --pretrained names a file or folder "
        "that has them)"
    )


def _from_folder(
    folder: Path, model: str | None, named: Mapping[str, Any] | None
) -> ResolvedClip:
    config, preprocessing = _read_config(folder / CONFIG_FILE)
    if named is not None and _canonical(named) != _canonical(config):
        raise ValueError(
            f"{folder / CONFIG_FILE}: expected the architecture of the model {model}, "
            "found another; leave the model out, as the folder says which it is"
        )
    file = _weights_in(folder)
    source = f"local-dir:{folder}"
    name = model or _name_of(config)
    return ResolvedClip(
        name, source, config, preprocessing, file.name, file, tagged=False
    )


def _read_config(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Architecture and picture settings in an open_clip_config.json."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected open_clip's settings, found no file")
    try:
        values = read_json(path)
        config = values["model_cfg"]
        for part in ("embed_dim", "vision_cfg", "text_cfg"):
            config[part]
        return config, values.get("preprocess_cfg") or {}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected JSON with a model_cfg of embed_dim, vision_cfg and "
            f"text_cfg, found {type(error).__name__}: {first_line(error)}"
        ) from None


def _weights_in(folder: Path) -> Path:
    for name in _WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    files = sorted(
        path for path in folder.iterdir() if path.suffix in _WEIGHTS_SUFFIXES
    )
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise FileNotFoundError(
            f"{folder}: expected one file of weights, such as {_WEIGHTS_FILES[0]}, "
            f"found {found}"
        )
    return files[0]


def _name_of(config: Mapping[str, Any]) -> str:
    import open_clip

    wanted = _canonical(config)
    for name in open_clip.list_models():
        if _canonical(open_clip.get_model_config(name) or {}) == wanted:
            return name
    return f"{CUSTOM}{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def _canonical(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)
