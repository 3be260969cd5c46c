"""Pictures decoded in a process of their own."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hm3_jax.extraction.apart import read_apart
from hm3_jax.extraction.picture_transform import PictureTransform
from hm3_jax.extraction.pictures import open_picture

TRANSFORM = PictureTransform((8, 12), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_it_is_what_this_process_decodes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(picture())
    wanted = TRANSFORM(open_picture(tmp_path / "a"))
    np.testing.assert_array_equal(read_apart(picture(), TRANSFORM), wanted)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"GIF89a and no more", "^expected a picture, found something else$"),
        (picture()[:100], "^expected a whole picture, found it damaged or cut short"),
        (b"%PDF-1.5", "^expected a picture, found a PDF$"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(content: bytes, line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        read_apart(content, TRANSFORM)
    assert "\n" not in str(caught.value)


def test_what_takes_long_is_ended() -> None:
    with pytest.raises(ValueError, match="decoded within 0.01 s, found one that takes"):
        read_apart(picture(), TRANSFORM, seconds=0.01)


def test_a_crash_is_no_crash_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ValueError, match="found one whose decoder crashes"):
        read_apart(picture(), TRANSFORM)
