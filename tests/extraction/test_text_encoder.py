"""The encoder that a store's sentences came from, found again for queries."""

import dataclasses
import json

import numpy as np
import pytest

from hm3_jax.extraction.clip_choice import ClipChoice
from hm3_jax.extraction.clip_model import load_clip, text_model_for
from hm3_jax.extraction.facts import feature_facts, library_versions
from tests.extraction.clips import PLAIN, QUICK, random_clip, save_folder

open_clip = pytest.importorskip("open_clip", reason="needs open_clip")

TEXTS = ["A quiet room.", "Boats on a wide river at night, painted in 1889."]


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_clip(ClipChoice(None, str(clip_folder)), device="cpu")


def encode(model, texts):
    return model.encode_tokens(model.tokenize(texts))


def as_stored(facts):
    """Facts as they come out of a store's manifest."""
    return json.loads(json.dumps(dataclasses.asdict(facts)))


@pytest.fixture(scope="module")
def facts(clip):
    return as_stored(feature_facts(clip.facts(), "sentences"))


def test_encodes_as_the_store_was(clip, clip_folder, facts):
    found = text_model_for(facts, pretrained=str(clip_folder), device="cpu")
    np.testing.assert_array_equal(encode(found, TEXTS), encode(clip, TEXTS))
    assert encode(found, []).shape == (0, 24)


def test_the_weights_may_have_moved(clip_folder, facts, tmp_path):
    weights = (clip_folder / "open_clip_model.safetensors").read_bytes()
    (tmp_path / "renamed.safetensors").write_bytes(weights)
    settings = (clip_folder / "open_clip_config.json").read_bytes()
    (tmp_path / "open_clip_config.json").write_bytes(settings)
    found = text_model_for(facts, pretrained=str(tmp_path))
    assert encode(found, TEXTS).shape == (2, 24)


def test_other_weights_are_refused(facts, tmp_path):
    other = save_folder(tmp_path, QUICK, random_clip(QUICK, seed=1))
    with pytest.raises(ValueError, match="expected the encoder.*weights_sha256"):
        text_model_for(facts, pretrained=str(other))


def test_another_activation_is_refused(facts, tmp_path):
    other = save_folder(tmp_path, PLAIN, random_clip(PLAIN))
    with pytest.raises(ValueError, match=f"with model {facts['model']}, found custom"):
        text_model_for(facts, pretrained=str(other))
    with pytest.raises(ValueError, match="activation QuickGELU, found GELU"):
        text_model_for(facts | {"model": resolved_name(other)}, pretrained=str(other))


def resolved_name(folder):
    return load_clip(ClipChoice(None, str(folder)), device="cpu").facts()["model"]


def test_models_without_a_name_need_their_folder(facts):
    with pytest.raises(ValueError, match=r"without a name \(custom-.*give the folder"):
        text_model_for(facts)


def test_models_of_the_hub_are_found_again(clip, clip_folder, facts, monkeypatch):
    from open_clip import factory, pretrained

    hub = facts | {"model": "hf-hub:owner/name", "weights": "owner/name"}
    expected = encode(clip, TEXTS)
    found = text_model_for(hub, pretrained=str(clip_folder), device="cpu")
    np.testing.assert_array_equal(encode(found, TEXTS), expected)

    def fetch(name, filename=None, **_):
        assert name == "owner/name"
        return str(clip_folder / (filename or "open_clip_model.safetensors"))

    for module in (factory, pretrained):
        monkeypatch.setattr(module, "download_pretrained_from_hf", fetch)
    found = text_model_for(hub, device="cpu")
    np.testing.assert_array_equal(encode(found, TEXTS), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "expected features that say which model"),
        ({"feature_size": 512}, "feature_size 512, found 24"),
    ],
)
def test_facts_that_do_not_fit_are_refused(facts, clip_folder, change, message):
    with pytest.raises(ValueError, match=message):
        text_model_for(facts | change, pretrained=str(clip_folder))


def test_published_features_name_their_weights(monkeypatch):
    # A store made of published files knows no checksum, only what is published.
    published = {"feature_size": 512, "model": "ViT-B-32-quickgelu", "details": {}}
    with pytest.raises(ValueError, match="expected pretrained weights for the model"):
        text_model_for(published)
    asked = []

    def fetch(tag):
        asked.append(tag["quick_gelu"])
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "download_pretrained", fetch)
    with pytest.raises(FileNotFoundError, match="ViT-B-32-quickgelu openai"):
        text_model_for(published | {"weights": "openai"})
    assert asked == [True]


@pytest.mark.parametrize("kind", ["sentences", "views", "images", "videos"])
def test_facts_of_every_kind(clip, kind):
    facts = feature_facts(clip.facts(), kind, pooling="mean", details={"frames": 3})
    assert as_stored(facts) == dataclasses.asdict(facts)
    assert (facts.feature_size, facts.pooling) == (24, "mean")
    assert facts.details["frames"] == 3
    assert facts.details["activation"] == "QuickGELU"
    assert not facts.details["normalized"]
    assert len(facts.details["weights_sha256"]) == 64
    if kind == "sentences":
        assert facts.details["context_length"] == 77
        assert facts.preprocessing == "tokens of the model's tokenizer, cut to 77"
    else:
        assert facts.details["preprocessing"]["interpolation"] == "bicubic"
        assert "to 32 x 32 (bicubic)" in (facts.preprocessing or "")
    assert "precision" not in facts.details and "versions" not in facts.details


def test_versions_are_those_installed(clip):
    import PIL
    import torch

    versions = library_versions()
    assert versions["torch"] == torch.__version__.partition("+")[0]
    assert versions["pillow"] == PIL.__version__
    assert versions["open_clip_torch"] == open_clip.__version__
    assert clip.facts()["versions"] == versions
