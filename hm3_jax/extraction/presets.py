"""Choices by name: those of published features, and models of later years."""

from __future__ import annotations

import dataclasses

from hm3_jax.extraction.clip_choice import ClipChoice
from hm3_jax.extraction.texts import TextSplit
from hm3_jax.extraction.videos import VideoPooling


@dataclasses.dataclass(frozen=True, slots=True)
class Preset:
    """Everything that decides what features come out.

    Attributes:
        clip: Model and weights.
        text_split: How descriptions are cut.
        frames_per_second: Frames taken of a second of video.
        max_frames: Most frames taken of a video.
        video_pooling: How frames become one feature.
    """

    clip: ClipChoice
    text_split: TextSplit = TextSplit()
    frames_per_second: float = 1.0
    max_frames: int = 32
    video_pooling: VideoPooling = "mean"


PRESETS = {
    # The release reads the same weights from Hugging Face. Its videos went through
    # CLIP4Clip at 1 frame a second; it meant to take their mean.
    "hm3": Preset(ClipChoice("ViT-B-32-quickgelu", "openai")),
    "museums3k": Preset(ClipChoice("ViT-B-32", "laion2b_s34b_b79k")),
    # Newer models of the size of ViT-B/16, with features of 768 floats.
    "siglip": Preset(ClipChoice("ViT-B-16-SigLIP", "webli")),
    "siglip2": Preset(ClipChoice("ViT-B-16-SigLIP2", "webli")),
}
"""Presets by the name that `--preset` takes."""
