"""Pictures of every kind, against pixels worked out by hand."""

import io
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data.picture_formats import PICTURE_FORMATS, PICTURE_SUFFIXES
from hm3_jax.extraction.errors import UnreadableInput, first_line, require_packages
from hm3_jax.extraction.pictures import MAX_ASPECT, MAX_PIXELS, open_picture

Image = pytest.importorskip("PIL.Image", reason="needs Pillow to make pictures")

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.fixture
def read(tmp_path):
    """Saves a picture and reads it back: (height, width, 3) uint8."""

    def read(picture, name="picture.png", **options):
        picture.save(tmp_path / name, **options)
        opened = open_picture(tmp_path / name)
        assert opened.mode == "RGB"
        return np.asarray(opened)

    return read


def refusal(path):
    with pytest.raises(UnreadableInput) as info:
        open_picture(path)
    error = info.value
    assert error.path == path and str(error) == f"{path}: {error.reason}"
    assert "\n" not in str(error)
    return error.reason


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.PPM", "no_suffix"])
def test_plain_pictures_come_as_they_are(read, tmp_path, name):
    form = {"format": "PNG"} if "." not in name else {}
    np.testing.assert_array_equal(read(Image.fromarray(RGB), name, **form), RGB)


def test_a_picture_outlives_its_file(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    picture = open_picture(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    np.testing.assert_array_equal(np.asarray(picture), RGB)


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.swapaxes(0, 1)),
        (6, lambda x: x[::-1].swapaxes(0, 1)),
        (7, lambda x: x[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda x: x[:, ::-1].swapaxes(0, 1)),
    ],
)
def test_the_orientation_of_cameras_is_applied(read, orientation, shown):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read(Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(found, shown(RGB))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_damaged_metadata_cost_no_picture(read, exif):
    picture = Image.new("RGB", (8, 8), (200, 100, 50))
    found = read(picture, "a.jpg", exif=exif)
    assert np.abs(found.astype(int) - [200, 100, 50]).max() < 5


CORNERS = {
    (0, 0, 0, 0): (255, 255, 255),
    (255, 0, 0, 0): (0, 255, 255),
    (0, 255, 255, 0): (255, 0, 0),
    (0, 0, 0, 255): (0, 0, 0),
    (255, 255, 255, 255): (0, 0, 0),
}


@pytest.mark.parametrize(("name", "slack"), [("a.tif", 0), ("a.jpg", 4)])
@pytest.mark.parametrize("inks", CORNERS, ids=str)
def test_inks_of_print_become_light(read, name, slack, inks):
    found = read(Image.new("CMYK", (16, 16), inks), name)
    assert np.abs(found.astype(int) - CORNERS[inks]).max() <= slack


def test_palettes_become_colours(read):
    colours = [(10, 20, 30), (40, 50, 60), (70, 80, 90)]
    picture = Image.new("P", (3, 1))
    picture.putpalette([value for colour in colours for value in colour])
    picture.putdata([2, 0, 1])
    found = read(picture)
    np.testing.assert_array_equal(found[0], [colours[2], colours[0], colours[1]])
    found = read(picture, transparency=0)
    np.testing.assert_array_equal(found[0], [colours[2], (255,) * 3, colours[1]])
    found = read(picture, "a.gif", transparency=1)
    np.testing.assert_array_equal(found[0], [colours[2], colours[0], (255,) * 3])


@pytest.mark.parametrize(
    ("mode", "pixel", "shown"),
    [
        ("RGBA", (200, 100, 0, 255), (200, 100, 0)),
        ("RGBA", (200, 100, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 100, 0, 51), (244, 224, 204)),  # a fifth of it, four of white
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (100, 51), (224, 224, 224)),
    ],
)
def test_what_is_transparent_lies_on_white(read, mode, pixel, shown):
    found = read(Image.new(mode, (3, 2), pixel))
    np.testing.assert_array_equal(found, np.broadcast_to(shown, (2, 3, 3)))


def test_one_colour_can_be_transparent(read):
    picture = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    found = read(picture, transparency=(1, 2, 3))
    np.testing.assert_array_equal(found, [[[255, 255, 255], [4, 5, 6]]])


def test_greys_become_colours(read):
    greys = RGB[..., 0]
    found = read(Image.fromarray(greys))
    np.testing.assert_array_equal(found, np.stack([greys] * 3, -1))
    found = read(Image.fromarray(greys > 100))
    np.testing.assert_array_equal(found, np.stack([(greys > 100) * 255] * 3, -1))


@pytest.mark.parametrize(
    ("name", "dtype", "scale"),
    [
        ("a.png", "<u2", 257),
        ("a.tif", "<u2", 257),
        ("a.tif", "<i4", 257),
        ("a.tif", "<f4", 1 / 255),
    ],
)
def test_deep_greys_are_scaled(read, name, dtype, scale):
    greys = RGB[..., 0]
    deep = (greys.astype(np.float64) * scale).astype(dtype)
    found = read(Image.fromarray(deep), name)
    np.testing.assert_array_equal(found, np.stack([greys] * 3, -1))


@pytest.mark.parametrize("value", [-1.0, 2.0, np.nan])
def test_greys_without_a_known_scale_are_refused(tmp_path, value):
    greys = np.array([[0.5, value]], np.float32)
    Image.fromarray(greys).save(tmp_path / "a.tif")
    assert "expected greys from 0 to 1, found" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("pixel", "shown"),
    [((255, 128, 128), 255), ((0, 128, 128), 0), ((136, 128, 128), 127)],
)
def test_colours_of_measuring_devices_become_light(read, pixel, shown):
    # The middle grey of sRGB has the lightness 53.4 of 100.
    found = read(Image.new("LAB", (4, 4), pixel), "a.tif")
    assert np.abs(found.astype(int) - shown).max() <= 2


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif"])
def test_one_pixel_is_a_picture(read, name):
    found = read(Image.new("RGB", (1, 1), (255, 255, 255)), name)
    np.testing.assert_array_equal(found, [[[255, 255, 255]]])


def test_of_an_animation_the_first_picture_counts(read):
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    found = read(first, "a.gif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(found, np.broadcast_to((255, 0, 0), (4, 4, 3)))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_pictures_cut_short_are_refused(tmp_path, form, kept):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, form)
    path = tmp_path / "a.picture"
    path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * kept)])
    assert "found" in refusal(path)


@pytest.mark.parametrize("form", ["JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_damage_anywhere_is_refused_or_lived_with(tmp_path, form):
    buffer = io.BytesIO()
    Image.fromarray(RGB.repeat(8, 0).repeat(8, 1)).save(buffer, form)
    data = np.frombuffer(buffer.getvalue(), np.uint8)
    seed = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = data.copy()
        places = seed.integers(0, seed.choice([64, len(data)]), 3)
        damaged[places] = seed.integers(0, 256, 3)
        (tmp_path / "damaged").write_bytes(damaged.tobytes())
        try:
            assert open_picture(tmp_path / "damaged").mode == "RGB"
        except UnreadableInput as error:
            assert "\n" not in str(error)
            refused += 1
    assert 0 < refused < 60


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected a picture, found an empty file"),
        (b"This is a text.\n" * 50, "expected a picture, found something else"),
        (b"\x89PNG\r\n\x1a\n", "found"),
        (b"\xff\xd8\xff", "found"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, data, reason):
    (tmp_path / "a.png").write_bytes(data)
    assert reason in refusal(tmp_path / "a.png")


def test_what_is_no_file_is_refused(tmp_path):
    assert refusal(tmp_path / "a.png") == "expected a picture, found no such file"
    assert refusal(tmp_path) == "expected a picture, found no such file"


def png_of_size(path, width, height):
    """A PNG whose header says a size that the rest of it has not."""
    Image.new("L", (1, 1)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def smooth(path, **options):
    """A picture of 1,600 x 1,200 pixels that does not change when it is halved."""
    y, x = np.mgrid[:1200, :1600]
    pixels = np.stack([x / 1600, y / 1200, (x + y) / 2800], -1) * 255
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "most", "size"),
    [
        ("a.jpg", 1_920_000, (1600, 1200)),
        ("a.jpg", 1_919_999, (800, 600)),
        ("a.jpg", 200_000, (400, 300)),
        ("a.jpg", 30_000, (200, 150)),
        ("a.jp2", 1_920_000, (1600, 1200)),
        ("a.jp2", 1_919_999, (800, 600)),
        ("a.j2k", 10_000, (100, 75)),
    ],
)
def test_large_pictures_are_decoded_smaller(tmp_path, name, most, size):
    found = open_picture(smooth(tmp_path / name, quality=95), max_pixels=most)
    assert found.size == size
    wanted = open_picture(smooth(tmp_path / "a.png")).resize(size, Image.Resampling.BOX)
    difference = np.asarray(found).astype(int) - np.asarray(wanted)
    assert np.abs(difference).max() <= 12 and np.abs(difference).mean() < 3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.tif", {}),
        ("a.jpg", {"progressive": True}),
        ("a.jp2", {"num_resolutions": 1}),
    ],
)
def test_large_pictures_that_cannot_be_decoded_smaller_name_the_flag(
    tmp_path, name, options
):
    path = smooth(tmp_path / name, **options)
    with pytest.raises(
        UnreadableInput,
        match=r"at most 1,919,999 pixels, found 1600 x 1200 \(--max_pixels allows more",
    ):
        open_picture(path, max_pixels=1_919_999)
    assert open_picture(path, max_pixels=1_920_000).size == (1600, 1200)


def test_more_pixels_than_pillow_allows_are_read_if_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500_000)
    path = smooth(tmp_path / "a.png")
    assert open_picture(path, max_pixels=2_000_000).size == (1600, 1200)
    assert Image.MAX_IMAGE_PIXELS == 500_000


@pytest.mark.parametrize(
    "suffix", sorted(PICTURE_SUFFIXES - {".heic", ".heif", ".psd", ".mpo"})
)
def test_every_format_of_the_list_is_read(read, suffix):
    (form,) = [name for name, of in PICTURE_FORMATS.items() if suffix in of]
    mode = {".pbm": "1", ".pgm": "L", ".pfm": "F", ".bw": "L"}.get(suffix, "RGB")
    found = read(Image.new(mode, (16, 16), 1 if mode == "F" else "white"), f"a{suffix}")
    assert found.shape == (16, 16, 3) and found.min() >= 250
    assert Image.registered_extensions()[suffix] in (form, "MPO")


def test_phones_files_of_two_pictures_are_read(read):
    left, right = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    found = read(left, "a.mpo", save_all=True, append_images=[right])
    assert np.abs(found.astype(int) - (255, 0, 0)).max() < 5


def test_layered_files_are_read(tmp_path):
    # The header, no colours, resources or layers, and the picture as it is shown.
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 5, 7, 8, 3)
    (tmp_path / "a.psd").write_bytes(
        head + bytes(12) + bytes(2) + RGB.transpose(2, 0, 1).tobytes()
    )
    np.testing.assert_array_equal(np.asarray(open_picture(tmp_path / "a.psd")), RGB)


ENDLESS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n"
    b"{ 1 pop } loop\nshowpage\n%%EOF\n"
)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (ENDLESS, "PostScript, which is a program"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, which needs pillow-heif"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path, monkeypatch, data, found):
    def start(*arguments, **options):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", start)
    monkeypatch.setattr("os.system", start)
    (tmp_path / "a.jpg").write_bytes(data)
    assert f"expected a picture, found {found}" in refusal(tmp_path / "a.jpg")


def test_no_format_starts_a_program():
    import inspect

    Image.init()
    for form in PICTURE_FORMATS:
        plugin = inspect.getmodule(Image.OPEN[form][0])
        assert plugin is not None
        source = inspect.getsource(Image.OPEN[form][0])
        assert "subprocess" not in source and "os.system" not in source, form
    assert not {"EPS", "WMF", "GRIB", "BUFR", "HDF5", "FPX", "MIC"} & {*PICTURE_FORMATS}


@pytest.mark.parametrize("side", [int(MAX_PIXELS**0.5) + 1, 60_000])
def test_decompression_bombs_are_refused_unopened(tmp_path, side):
    png_of_size(tmp_path / "a.png", side, side)
    assert "expected at most 178,956,970 pixels" in refusal(tmp_path / "a.png")


def test_large_scans_raise_no_warning(tmp_path):
    # Pillow warns from half of `MAX_PIXELS` on, and warnings are errors here.
    png_of_size(tmp_path / "a.png", 10_000, 10_000)
    assert "cut short" in refusal(tmp_path / "a.png")


def test_threads_are_refused_and_stripes_are_not(read, tmp_path):
    assert read(Image.new("RGB", (2 * MAX_ASPECT, 2))).shape == (2, 2 * MAX_ASPECT, 3)
    Image.new("RGB", (MAX_ASPECT + 1, 1)).save(tmp_path / "a.png")
    assert "found 201 x 1" in refusal(tmp_path / "a.png")


def test_refusals_come_whole_out_of_a_process():
    error = pickle.loads(pickle.dumps(UnreadableInput(Path("a/b.png"), "is bad")))
    assert (error.path, error.reason, str(error)) == (
        Path("a/b.png"),
        "is bad",
        "a/b.png: is bad",
    )


def test_missing_packages_say_how_to_get_them():
    require_packages("numpy")
    with pytest.raises(ModuleNotFoundError, match=r"needs no_such_module.*extraction"):
        require_packages("numpy", "no_such_module")


@pytest.mark.parametrize(
    ("said", "line"), [("", ""), ("a\nb", "a"), ("x" * 300, "x" * 200)]
)
def test_first_lines_of_errors(said, line):
    assert first_line(ValueError(said)) == line
