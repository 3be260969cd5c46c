"""The transform without PyTorch against open_clip's, bit for bit."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.extraction.picture_transform import PictureTransform
from tests.commands import output_of

Image = pytest.importorskip("PIL.Image", reason="needs Pillow to make pictures")

CONFIG = {
    "size": 32,
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
# Width and height: both ways round, smaller and larger, odd and even, one pixel.
SIZES = [(70, 50), (50, 71), (33, 33), (32, 32), (31, 90), (5, 3), (1, 1), (1, 40)]


def picture(width, height):
    seed = np.random.default_rng(width * 1000 + height)
    pixels = seed.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [32, (32, 32), (24, 40), [40, 24]], ids=str)
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_open_clip(size, mode, interpolation):
    transform = pytest.importorskip("open_clip.transform")
    config = CONFIG | {
        "size": size,
        "resize_mode": mode,
        "interpolation": interpolation,
        "fill_color": 7,
    }
    expected = transform.image_transform_v2(
        transform.PreprocessCfg(**config), is_train=False
    )
    ours = PictureTransform.from_open_clip(config)
    for width, height in SIZES:
        given = picture(width, height)
        found = ours(given)
        assert found.flags.c_contiguous and found.dtype == np.float32
        np.testing.assert_array_equal(
            found, expected(given).numpy(), err_msg=f"{width} x {height}"
        )


def test_by_hand():
    ours = PictureTransform((2, 2), (0.5, 0.0, 0.25), (0.5, 1.0, 0.25))
    wide = np.zeros((2, 4, 3), np.uint8)
    wide[:, 1:3] = [255, 51, 0]
    expected = np.broadcast_to(np.array([[[1.0]], [[0.2]], [[-1.0]]]), (3, 2, 2))
    np.testing.assert_allclose(ours(Image.fromarray(wide)), expected, rtol=1e-6)


def test_survives_pickling_and_json():
    ours = PictureTransform.from_open_clip(CONFIG | {"mean": 0.5, "extra": 1})
    assert pickle.loads(pickle.dumps(ours)) == ours
    values = ours.to_json()
    assert values["mean"] == [0.5, 0.5, 0.5] and values["size"] == [32, 32]
    assert PictureTransform.from_open_clip(values) == ours


@pytest.mark.parametrize(
    "change", [{"interpolation": "nearest"}, {"resize_mode": "widest"}]
)
def test_refuses_what_open_clip_does_not_know(change):
    with pytest.raises(ValueError, match=f"found '{next(iter(change.values()))}'"):
        PictureTransform.from_open_clip(CONFIG | change)


def test_workers_need_no_torch(repository: Path) -> None:
    code = (
        "import sys\n"
        "from PIL import Image\n"
        "import hm3_jax.extraction.pictures, hm3_jax.extraction.videos\n"
        "from hm3_jax.extraction.picture_transform import PictureTransform\n"
        "t = PictureTransform((4, 4), (0, 0, 0), (1, 1, 1))\n"
        "t(Image.new('RGB', (9, 5)))\n"
        "print(sorted({'torch', 'open_clip', 'jax'} & set(sys.modules)))"
    )
    assert output_of(code, repository) == "[]\n"
