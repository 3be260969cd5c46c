"""TIFFs of every photometric and depth, against what the specification makes of them.

All were compared with ImageMagick 6.9.11 once: it gives the same within 2 of 255, but
that it does not invert greys of 2, 4, 12 and 32 bits whose zero is white, nor floats.
"""

from typing import Any

import numpy as np
import pytest

from hm3_jax.extraction.errors import UnreadableInput
from hm3_jax.extraction.pictures import open_picture
from tests.extraction.tiffs import FLOAT, SIGNED, UNSIGNED, write_tiff

pytest.importorskip("PIL", reason="needs Pillow to read pictures")

PACKED = [{"deflate": deflate} for deflate in (False, True)]
ORDERED = [{"order": order, **how} for order in "<>" for how in PACKED]
IN_PLANES = [{"separate": yes, **how} for yes in (False, True) for how in PACKED]
LIGHT = np.linspace(0, 1, 4 * 6).reshape(4, 6)


def read(path):
    """(height, width, 3) floats from 0 to 1."""
    return np.asarray(open_picture(path), float) / 255


def colours(seed, samples=3):
    return np.random.default_rng(seed).random((4, 6, samples))


def stored(light, bits, form=UNSIGNED) -> tuple[Any, Any]:
    """Numbers that stand for light from 0 to 1, and the light that they stand for."""
    if form == FLOAT:
        return light, light
    top = 2**bits - 1
    numbers = np.rint(light * top).astype(np.int64)
    return (numbers - 2 ** (bits - 1) if form == SIGNED else numbers), numbers / top


@pytest.mark.parametrize("how", ORDERED)
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16, 32])
def test_greys(tmp_path, bits, white_is_zero, how):
    numbers, light = stored(LIGHT[..., None], bits)
    if white_is_zero:
        light = 1 - light
    photometric = 0 if white_is_zero else 1
    path = write_tiff(tmp_path / "a.tif", numbers, bits, photometric, **how)
    np.testing.assert_allclose(read(path), light.repeat(3, -1), atol=1.01 / 255)


@pytest.mark.parametrize("fill_order", [1, 2])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_bits_from_either_end(tmp_path, bits, fill_order):
    numbers, light = stored(LIGHT[..., None], bits)
    path = write_tiff(tmp_path / "a.tif", numbers, bits, 1, fill_order=fill_order)
    np.testing.assert_allclose(read(path), light.repeat(3, -1), atol=1.01 / 255)


@pytest.mark.parametrize("how", ORDERED)
@pytest.mark.parametrize(
    ("bits", "form", "photometric"), [(16, SIGNED, 1), (32, FLOAT, 1), (32, FLOAT, 0)]
)
def test_signed_and_floating_greys(tmp_path, bits, form, photometric, how):
    # Floats say how light they are, whatever the photometric, as ImageMagick has it.
    numbers, light = stored(LIGHT[..., None], bits, form)
    path = write_tiff(tmp_path / "a.tif", numbers, bits, photometric, form=form, **how)
    np.testing.assert_allclose(read(path), light.repeat(3, -1), atol=1.01 / 255)


@pytest.mark.parametrize("planes", IN_PLANES)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [8, 16])
class TestSamples:
    """Pixels of several samples."""

    def test_rgb(self, tmp_path, bits, order, planes):
        numbers, light = stored(colours(0), bits)
        path = write_tiff(tmp_path / "a.tif", numbers, bits, 2, order=order, **planes)
        np.testing.assert_allclose(read(path), light, atol=1.01 / 255)

    @pytest.mark.parametrize("extra", [1, 2])
    def test_transparent(self, tmp_path, bits, order, planes, extra):
        light = colours(1, 4)
        alpha = light[..., 3:]
        shown = light[..., :3] * alpha + 1 - alpha
        if extra == 1:  # multiplied already
            light[..., :3] *= alpha
        path = write_tiff(
            tmp_path / "a.tif",
            stored(light, bits)[0],
            bits,
            2,
            order=order,
            extra=[extra],
            **planes,
        )
        np.testing.assert_allclose(read(path), shown, atol=2.5 / 255)

    def test_inks(self, tmp_path, bits, order, planes):
        numbers, inks = stored(colours(2, 4), bits)
        path = write_tiff(tmp_path / "a.tif", numbers, bits, 5, order=order, **planes)
        light = (1 - inks[..., :3]) * (1 - inks[..., 3:])
        np.testing.assert_allclose(read(path), light, atol=2.5 / 255)


@pytest.mark.parametrize("planes", IN_PLANES)
def test_luminance_and_chrominance(tmp_path, planes):
    y, cb, cr = 0.3 + 0.4 * LIGHT, 0.4 + 0.2 * LIGHT, 0.6 - 0.2 * LIGHT
    numbers, _ = stored(np.stack([y, cb, cr], -1), 8)
    path = write_tiff(tmp_path / "a.tif", numbers, 8, 6, **planes)
    y, cb, cr = numbers[..., 0] / 255, *((numbers[..., 1:] - 128) / 255).T
    light = [y + 1.402 * cr.T, y - 0.344136 * cb.T - 0.714136 * cr.T, y + 1.772 * cb.T]
    np.testing.assert_allclose(read(path), np.stack(light, -1), atol=2.5 / 255)


@pytest.mark.parametrize("how", ORDERED)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes(tmp_path, bits, how):
    palette = np.random.default_rng(3).integers(0, 65536, (2**bits, 3))
    numbers, _ = stored(LIGHT[..., None], bits)
    path = write_tiff(tmp_path / "a.tif", numbers, bits, 3, palette=palette, **how)
    light = palette[numbers[..., 0]] / 65535
    np.testing.assert_allclose(read(path), light, atol=1.01 / 255)


@pytest.mark.parametrize(
    ("photometric", "bits", "form", "extra", "separate"),
    [
        (1, 16, UNSIGNED, [2], False),
        (0, 8, UNSIGNED, [2], False),
        (1, 8, UNSIGNED, [2], True),
        (2, 4, UNSIGNED, [], False),
        (2, 12, UNSIGNED, [], False),
        (2, 32, UNSIGNED, [], False),
        (2, 32, FLOAT, [], False),
        (1, 64, FLOAT, [], False),
        (1, 16, FLOAT, [], False),
        (0, 8, SIGNED, [], False),
        (5, 32, UNSIGNED, [], False),
        (8, 8, UNSIGNED, [], True),
        (8, 16, UNSIGNED, [], False),
    ],
)
def test_what_is_not_read_is_named_and_not_guessed(
    tmp_path, photometric, bits, form, extra, separate
):
    samples = {0: 1, 1: 1, 5: 4}.get(photometric, 3) + len(extra)
    numbers, _ = stored(colours(4, samples), bits if bits < 64 else 32, form)
    path = write_tiff(
        tmp_path / "a.tif",
        numbers,
        bits,
        photometric,
        form=form,
        extra=extra,
        separate=separate,
    )
    said = rf"supported TIFF, .*photometric {photometric} with bits \({bits},"
    with pytest.raises(UnreadableInput, match=said):
        open_picture(path)
