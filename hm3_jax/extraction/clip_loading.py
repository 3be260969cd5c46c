"""Builds open_clip models and gives them their weights."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hm3_jax.extraction.clip_choice import ResolvedClip, with_activation
from hm3_jax.extraction.errors import first_line
from hm3_jax.extraction.weights import Weights, read_weights
from hm3_jax.files.extras import how_to_install

if TYPE_CHECKING:
    import torch


def build(resolved: ResolvedClip) -> Any:
    """Builds a model and loads its weights.

    Args:
        resolved: The architecture and the file of weights.

    Returns:
        The open_clip model, frozen, on the CPU.

    Raises:
        ValueError: If the settings are of no architecture, or the weights are damaged,
            of another model, or of another activation.
        ModuleNotFoundError: If its tokenizer needs a package that is not installed.
    """
    import open_clip

    _check_tokenizer(resolved)
    weights = read_weights(resolved.weights_file)
    _check_activation(resolved, weights.layout)
    with _open_clip_quiet():
        try:
            model = open_clip.create_model(
                resolved.source,
                load_weights=False,
                pretrained_text=False,
                force_preprocess_cfg=dict(resolved.preprocessing),
            )
        except (TypeError, AssertionError, KeyError) as error:
            raise ValueError(
                f"{resolved.source}: expected settings of an architecture that "
                f"open_clip builds, found {type(error).__name__}: {first_line(error)}"
            ) from None
        _load_weights(model, weights, resolved)
    return model.eval().requires_grad_(False)


def tokenizer_of(resolved: ResolvedClip) -> Any:
    """The model's tokenizer, of open_clip's kind.

    Raises:
        FileNotFoundError: If its files are not there and cannot be downloaded.
    """
    import open_clip

    with _open_clip_quiet():
        try:
            return open_clip.get_tokenizer(resolved.source)
        except (OSError, ValueError) as error:
            foreign = _foreign_tokenizer(resolved)
            if foreign is None:
                raise
            raise FileNotFoundError(
                f"{resolved.source}: expected the tokenizer {foreign}, found "
                f"{type(error).__name__}: {first_line(error)} (without a network, name "
                "a folder that has open_clip_config.json, the weights and the "
                "tokenizer's files)"
            ) from None


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" is the GPU if there is one.

    Raises:
        ValueError: If PyTorch has no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"expected a device that PyTorch has here, found {name!r} "
            f"({first_line(error)})"
        ) from None


def name_of(device: torch.device) -> str:
    """What a device is, for the record: the GPU's model name, or "cpu"."""
    import torch

    cuda = device.type == "cuda"
    return torch.cuda.get_device_name(device) if cuda else str(device)


def pick_precision(name: str, device: torch.device) -> str:
    """The precision of a name; "auto" is bf16 on a GPU that has it, else float32.

    Raises:
        ValueError: If the device does not compute with it.
    """
    import torch

    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return "bf16" if fast else "float32"
    if name == "fp16" and device.type == "cpu":
        raise ValueError("precision fp16 is for a GPU, found the device cpu")
    return name


def _foreign_tokenizer(resolved: ResolvedClip) -> str | None:
    """Name of the tokenizer where it is Hugging Face's; None for CLIP's own."""
    text = resolved.config["text_cfg"]
    return text.get("hf_tokenizer_name") or text.get("hf_model_name") or None


def _check_tokenizer(resolved: ResolvedClip) -> None:
    foreign = _foreign_tokenizer(resolved)
    if foreign and importlib.util.find_spec("transformers") is None:
        raise ModuleNotFoundError(
            f"the model {resolved.name} reads texts with Hugging Face's {foreign}: "
            f"{how_to_install('extraction')}",
            name="transformers",
        )


def _load_weights(model: Any, weights: Weights, resolved: ResolvedClip) -> None:
    import open_clip

    path = resolved.weights_file
    _check_positions(resolved, weights.state, model.state_dict())
    try:
        if weights.layout == "open_clip":
            # Knows more of its own older forms; what was read is in the cache.
            open_clip.load_checkpoint(model, str(path))
        else:
            model.load_state_dict(weights.state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ValueError(
            f"{path}: expected weights of the model {resolved.name}, found others: "
            f"{' '.join(lines[1:])[:300]}"
        ) from None


def _check_activation(resolved: ResolvedClip, layout: str) -> None:
    if resolved.tagged or resolved.activation == "QuickGELU":
        return
    import open_clip

    path, name = resolved.weights_file, resolved.name
    quick = with_activation(name, "QuickGELU")
    if layout != "open_clip":
        raise ValueError(
            f"{path}: {layout} weights were trained with QuickGELU, the model {name} "
            f"has GELU: use {quick}"
        )
    if quick in open_clip.list_models():
        warnings.warn(
            f"{path} does not say which activation its weights were trained with: "
            f"{name} has GELU; if they are OpenAI's, use {quick}",
            stacklevel=2,
        )


def _check_positions(
    resolved: ResolvedClip, state: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    # open_clip would stretch them, as one may before training on.
    for key in state.keys() & wanted.keys():
        if not key.endswith("positional_embedding"):
            continue
        here, there = tuple(wanted[key].shape), tuple(state[key].shape)
        if here != there:
            raise ValueError(
                f"{resolved.weights_file}: expected weights of the model "
                f"{resolved.name} with a {key} of shape {here}, found {there}"
            )


@contextmanager
def _open_clip_quiet() -> Iterator[None]:
    """Keeps open_clip's notes about random weights, which are to come, off stderr."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
