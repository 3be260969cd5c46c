"""Features against open_clip called directly, on one item at a time."""

import numpy as np
import pytest

from hm3_jax.extraction.clip_model import ClipChoice, load_clip
from hm3_jax.extraction.pictures import open_picture
from hm3_jax.extraction.videos import map_frames, pool_frames
from tests.extraction.clips import PLAIN, QUICK, changed, random_clip, save_folder
from tests.extraction.clips_av import flat_frames, sample_frames, write_video

torch = pytest.importorskip("torch", reason="needs torch to run CLIP")
open_clip = pytest.importorskip("open_clip", reason="needs open_clip")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

TEXTS = [
    "A room.",
    "Dutch masters of the seventeenth century hang beside photographs!",
    "",
    "日本の絵画、とても大きい。",
    "an <end_of_text> inside of a sentence",
    "word " * 2000,
]
SQUASHED = {"resize_mode": "squash", "interpolation": "bilinear", "mean": 0.5}
CAPTIONER = changed(
    PLAIN,
    text={"embed_cls": True, "output_tokens": True, "context_length": 76},
    vision={"output_tokens": True},
    multimodal_cfg={
        "width": 32,
        "context_length": 76,
        "vocab_size": 49408,
        "layers": 1,
        "heads": 2,
    },
    custom_text=True,
)
# Settings of the architecture, of pictures, and whether short texts cost less.
ARCHITECTURES = {
    "plain": (PLAIN, {}, True),
    "quick": (QUICK, {}, True),
    "squashed": (PLAIN, SQUASHED, True),
    "convolutions": (changed(PLAIN, vision={"layers": [1, 1, 1, 1]}), {}, True),
    "short": (changed(PLAIN, text={"context_length": 12}), {}, True),
    "apart": (changed(PLAIN, custom_text=True), {}, True),
    "end": (
        changed(PLAIN, text={"pool_type": "eos", "eos_id": 49407}, custom_text=True),
        {},
        True,
    ),
    "biased": (changed(PLAIN, text={"proj_bias": True}, custom_text=True), {}, True),
    "unprojected": (
        changed(PLAIN, text={"proj_type": "none", "width": 24}, custom_text=True),
        {},
        True,
    ),
    "both ways": (
        changed(
            PLAIN, text={"no_causal_mask": True, "pool_type": "last"}, custom_text=True
        ),
        {},
        False,
    ),
    "last": (changed(PLAIN, text={"pool_type": "last"}), {}, False),
    "captioner": (CAPTIONER, {}, False),
    "class token": (
        changed(PLAIN, text={"embed_cls": True}, custom_text=True),
        {},
        False,
    ),
}


@pytest.fixture(scope="module", params=ARCHITECTURES, autouse=True)
def folder(request, tmp_path_factory):
    config, preprocessing, _ = ARCHITECTURES[request.param]
    where = tmp_path_factory.mktemp("clip")
    return save_folder(where, config, random_clip(config), preprocessing)


@pytest.fixture(scope="module")
def theirs(folder):
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    return model.eval(), transform, tokenize


@pytest.fixture(scope="module")
def ours(folder):
    return load_clip(ClipChoice(None, str(folder)), device="cpu")


@pytest.fixture(scope="module")
def pictures():
    seed = np.random.default_rng(0)
    sizes = [(40, 60), (33, 32), (90, 31), (1, 1), (32, 32)]
    return [
        Image.fromarray(seed.integers(0, 256, (*size, 3), dtype=np.uint8))
        for size in sizes
    ]


def encode_alone(theirs, pictures):
    model, transform, _ = theirs
    with torch.no_grad():
        return np.concatenate(
            [
                model.encode_image(transform(picture)[None], normalize=False)
                for picture in pictures
            ]
        )


def test_pictures(ours, theirs, pictures, tmp_path):
    expected = encode_alone(theirs, pictures)
    assert np.abs(expected[0] - expected[1]).max() > 2e-4
    pixels = []
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
        pixels.append(ours.picture_transform(open_picture(tmp_path / f"{number}.png")))
    found = ours.encode_pictures(np.stack(pixels))
    assert found.dtype == np.float32 and found.shape == (5, ours.feature_size)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_texts(ours, theirs):
    model, _, tokenize = theirs
    with torch.no_grad():
        expected = np.concatenate(
            [model.encode_text(tokenize([t]), normalize=False) for t in TEXTS]
        )
    assert np.abs(expected[0] - expected[1]).max() > 1e-2
    tokens = ours.tokenize(TEXTS)
    found = ours.encode_tokens(tokens)
    assert found.dtype == np.float32 and found.shape == (6, ours.feature_size)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Without the long one, and without company at all.
    np.testing.assert_allclose(ours.encode_tokens(tokens[:4]), expected[:4], atol=1e-5)
    np.testing.assert_allclose(ours.encode_tokens(tokens[:1]), expected[:1], atol=1e-5)


def test_short_texts_cost_less(ours, request):
    shortens = ARCHITECTURES[request.node.callspec.params["folder"]][2]
    tokens = ours.tokenize(TEXTS)
    lengths = ours.text_lengths(tokens)
    # Start, "a", "room", ".", end; start, end; all there is.
    expected = [5, 2, ours.context_length]
    if not shortens:
        expected = [ours.context_length] * 3
    np.testing.assert_array_equal(lengths[[0, 2, 5]], expected)


@pytest.mark.parametrize("pooling", ["mean", "first_frame"])
def test_videos(ours, theirs, tmp_path, pooling):
    path = write_video(tmp_path / "a.mp4", flat_frames(45))
    each = encode_alone(theirs, sample_frames(path))
    assert len(each) == 5
    expected = each.astype(np.float64).mean(axis=0) if pooling == "mean" else each[0]
    pixels = np.stack(map_frames(path, ours.picture_transform))
    found = pool_frames(ours.encode_pictures(pixels), pooling)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sizes_are_the_models(ours, theirs):
    model, _, tokenize = theirs
    assert ours.context_length == tokenize.context_length == model.context_length
    assert ours.feature_size == 24
