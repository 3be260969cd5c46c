"""The published architecture with random weights, loaded as users load it."""

import dataclasses

import numpy as np
import pytest

from hm3_jax.extraction.clip_model import load_clip
from hm3_jax.extraction.presets import PRESETS
from hm3_jax.extraction.videos import map_frames, pool_frames
from tests.extraction.clips_av import flat_frames, sample_frames, write_video

open_clip = pytest.importorskip("open_clip", reason="needs open_clip")
torch = pytest.importorskip("torch", reason="needs torch to run CLIP")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")

TEXTS = [
    "A room.",
    "Dutch masters of the seventeenth century hang beside photographs!",
    "日本の絵画、とても大きい。",
    "word " * 2000,
]


# Short versions: test_clip_features.py, with small architectures.
@pytest.mark.slow
def test_features_equal_open_clip_on_one_item_at_a_time(tmp_path):
    torch.manual_seed(0)
    name = "ViT-B-32-quickgelu"
    theirs, _, transform = open_clip.create_model_and_transforms(name)
    weights = tmp_path / "weights.pt"
    # CLIP4Clip's form holds OpenAI's names and layout, the one published.
    state = {f"clip.{key}": value for key, value in theirs.state_dict().items()}
    torch.save(state, weights)
    choice = dataclasses.replace(PRESETS["hm3"].clip, pretrained=str(weights))
    ours = load_clip(choice, device="cpu")
    weights.unlink()  # 600 MB
    assert (ours.feature_size, ours.context_length) == (512, 77)
    theirs.eval()

    seed = np.random.default_rng(0)
    shapes = [(300, 400, 3), (224, 224, 3), (90, 500, 3)]
    pictures = [
        Image.fromarray(seed.integers(0, 256, shape, dtype=np.uint8))
        for shape in shapes
    ]
    video = write_video(tmp_path / "a.mp4", flat_frames(25))
    frames = sample_frames(video)
    with torch.no_grad():
        texts = np.concatenate(
            [theirs.encode_text(open_clip.tokenize([text])) for text in TEXTS]
        )
        views, shown = (
            np.concatenate([theirs.encode_image(transform(x)[None]) for x in those])
            for those in (pictures, frames)
        )
    found = ours.encode_pictures(np.stack([*map(ours.picture_transform, pictures)]))
    np.testing.assert_allclose(found, views, atol=1e-5)
    np.testing.assert_allclose(
        ours.encode_tokens(ours.tokenize(TEXTS)), texts, atol=1e-5
    )
    pixels = np.stack(map_frames(video, ours.picture_transform))
    found = pool_frames(ours.encode_pictures(pixels), "mean")
    np.testing.assert_allclose(found, shown.mean(axis=0), atol=1e-5)
