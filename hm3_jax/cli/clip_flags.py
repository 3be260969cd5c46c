"""Flags about the CLIP model: what `extract` and `collection` share."""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags

from hm3_jax.cli import path_flags
from hm3_jax.extraction.clip_choice import PRECISIONS, ClipChoice
from hm3_jax.extraction.presets import PRESETS, Preset

PRESET = flags.DEFINE_enum(
    "preset",
    None,
    list(PRESETS),
    "Model, weights and settings of published features; the flags below override "
    "single settings.",
)
MODEL = flags.DEFINE_string(
    "model", None, "CLIP model, by its name in open_clip, such as ViT-B-32-quickgelu."
)
PRETRAINED = path_flags.define_path(
    "pretrained",
    None,
    "Weights: their name in open_clip (such as openai, downloaded once), a file, a "
    "CLIP4Clip checkpoint, or a folder with open_clip_config.json and weights, which "
    "needs no --model.",
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "auto",
    PRECISIONS,
    "Precision of the model: auto is bf16 on a GPU that supports it, otherwise "
    "float32.",
)
LANGUAGE = flags.DEFINE_string(
    "language",
    "en",
    "Language (ISO 639 code) by whose rules a description in one text is split into "
    "sentences.",
)
DEVICE = flags.DEFINE_string(
    "device", "auto", "Device, by its name in PyTorch; auto is the GPU if there is one."
)


def given_preset(otherwise: str | None = None) -> Preset:
    """The preset, with the model that flags name.

    Args:
        otherwise: The preset where no flag names a model; None where one has to.

    Raises:
        ValueError: If no model is named, or flags contradict each other.
    """
    model, pretrained = MODEL.value, PRETRAINED.value
    precision: Any = PRECISION.value
    name = PRESET.value
    if name is None and model is None and pretrained is None:
        name = otherwise
        if name is None:
            raise ValueError(
                "expected a model: --preset, or --model and --pretrained; found none"
            )
    if name is None:
        return Preset(ClipChoice(model, pretrained, precision))
    preset = PRESETS[name]
    if model is not None and model != preset.clip.model:
        raise ValueError(
            f"--preset={name} is of the model {preset.clip.model}, found "
            f"--model={model}"
        )
    clip = ClipChoice(
        preset.clip.model, pretrained or preset.clip.pretrained, precision
    )
    return dataclasses.replace(preset, clip=clip)
