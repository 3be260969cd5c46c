"""Presets against what is published and what open_clip knows."""

import pytest

from hm3_jax.extraction.presets import PRESETS
from hm3_jax.extraction.texts import TextSplit


@pytest.mark.parametrize(
    ("name", "model", "weights", "quick"),
    [
        ("hm3", "ViT-B-32-quickgelu", "openai", True),
        ("museums3k", "ViT-B-32", "laion2b_s34b_b79k", False),
    ],
)
def test_presets_are_the_published_choices(name, model, weights, quick):
    open_clip = pytest.importorskip("open_clip", reason="needs open_clip")
    preset = PRESETS[name]
    assert (preset.clip.model, preset.clip.pretrained) == (model, weights)
    assert preset.text_split == TextSplit("sentence_by_sentence", None)
    assert (preset.frames_per_second, preset.max_frames) == (1.0, 32)
    assert preset.video_pooling == "mean"
    tag = open_clip.get_pretrained_cfg(model, weights)
    assert tag.get("quick_gelu", False) is quick
    config = open_clip.get_model_config(model)
    assert config and config["embed_dim"] == 512
    assert config.get("quick_gelu", False) is quick


@pytest.mark.parametrize("name", ["siglip", "siglip2"])
def test_presets_of_siglip_are_known_to_open_clip(name):
    open_clip = pytest.importorskip("open_clip", reason="needs open_clip")
    clip = PRESETS[name].clip
    tag = open_clip.get_pretrained_cfg(clip.model, clip.pretrained)
    assert (tag["mean"], tag["resize_mode"]) == ((0.5, 0.5, 0.5), "squash")
    config = open_clip.get_model_config(clip.model)
    assert config and config["embed_dim"] == 768
    text = config["text_cfg"]
    assert text["context_length"] == 64
    assert text["pool_type"] == "last" and text["no_causal_mask"]
