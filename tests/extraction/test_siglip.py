"""SigLIP's models: other pictures, another tokenizer, and padding that counts."""

import pickle

import numpy as np
import pytest
from PIL import Image

from hm3_jax.extraction.clip_choice import ClipChoice, resolve
from hm3_jax.extraction.clip_model import load_clip
from hm3_jax.extraction.texts import TextPiece
from tests.extraction.clips import random_clip, save_folder

open_clip = pytest.importorskip("open_clip", reason="needs open_clip")
pytest.importorskip("transformers", reason="needs transformers")

CONTEXT = 16
# As open_clip's ViT-B-16-SigLIP, but small.
SIGLIP = {
    "embed_dim": 96,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160,
        "timm_model_name": "test_vit3",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": 60,
        "hf_tokenizer_name": "nobody/nothing",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 32,
        "heads": 2,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    },
}
PICTURES = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
TEXTS = ["a river", "Angels stand; before a HARBOUR!", "a quiet room with boats"]
LONG = "a painting of a river at night with boats and angels " * 3


def save_tokenizer(folder):
    """A small tokenizer as SigLIP's: one end token, with which texts are padded."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"
    )
    tokenizer.train_from_iterator([*map(str.lower, TEXTS), LONG], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="</s>",
        eos_token="</s>",
        unk_token="<unk>",
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = save_folder(
        tmp_path_factory.mktemp("siglip"), SIGLIP, random_clip(SIGLIP), PICTURES
    )
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def clip(folder):
    return load_clip(ClipChoice(None, str(folder)), device="cpu")


@pytest.fixture(scope="module")
def theirs(folder):
    """What open_clip makes of the same folder: model, preprocessing, tokenizer."""
    source = f"local-dir:{folder}"
    model, _, transform = open_clip.create_model_and_transforms(source)
    return model.eval(), transform, open_clip.get_tokenizer(source)


def test_texts_are_encoded_with_all_of_their_padding(clip, theirs):
    import torch

    model, _, tokenizer = theirs
    tokens = clip.tokenize(TEXTS)
    assert tokens.shape == (3, CONTEXT)
    # Lower case, no punctuation, one end token, then padding with the same.
    assert (tokens[0, -8:] == 1).all() and (tokens[:, 0] > 2).all()
    np.testing.assert_array_equal(clip.tokenize(["A, RIVER."]), tokens[:1])
    np.testing.assert_array_equal(clip.text_lengths(tokens), [CONTEXT] * 3)
    found = clip.encode_tokens(tokens)
    with torch.inference_mode():
        for text, row in zip(TEXTS, found, strict=True):
            wanted = model.encode_text(tokenizer([text])).numpy()[0]
            np.testing.assert_allclose(row, wanted, rtol=0, atol=1e-5)
        # A tower that stopped at the longest text would give something else.
        short = model.text(torch.from_numpy(tokens[:1, : CONTEXT // 2])).numpy()[0]
    assert np.abs(short - found[0]).max() > 1e-2


def test_pictures_are_squashed_and_normalised_as_siglip_does(clip, theirs):
    import torch

    model, transform, _ = theirs
    pixels = np.random.default_rng(0).integers(0, 256, (90, 230, 3), np.uint8)
    picture = Image.fromarray(pixels)
    found = clip.picture_transform(picture)
    wanted = transform(picture)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-6)
    assert found.shape == (3, 160, 160) and found.min() >= -1 and found.max() <= 1
    with torch.inference_mode():
        features = model.encode_image(wanted[None]).numpy()
    ours = clip.encode_pictures(found[None])
    assert ours.shape == (1, 96)
    np.testing.assert_allclose(ours, features, rtol=0, atol=1e-5)


def test_what_is_too_long_is_counted(clip):
    tokens, cut = clip.tokenize.pieces([TextPiece("a river"), TextPiece(LONG)])
    tokenizer = pickle.loads(pickle.dumps(clip.tokenize))
    np.testing.assert_array_equal(tokenizer([LONG]), tokens[1:])
    whole = clip.tokenize._tokenizer.tokenizer([LONG.strip()], verbose=False)[
        "input_ids"
    ][0]
    assert cut.tolist() == [0, len(whole) - CONTEXT] and cut[1] > 0
    assert clip.tokenize([]).shape == (0, CONTEXT)


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "ViT-B-16-SigLIP2"])
def test_weights_in_a_file_take_the_pictures_of_their_architecture(model, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.touch()
    found = resolve(ClipChoice(model, str(path))).preprocessing
    assert found["mean"] == found["std"] == (0.5, 0.5, 0.5)
    assert found["resize_mode"] == "squash"
    clip = resolve(ClipChoice("ViT-B-32", str(path))).preprocessing
    assert clip["mean"] == open_clip.OPENAI_DATASET_MEAN


def test_a_tokenizer_that_is_missing_is_named_in_one_line(folder, tmp_path):
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(FileNotFoundError, match="expected the tokenizer nobody/noth"):
        load_clip(ClipChoice(None, str(tmp_path)), device="cpu")
