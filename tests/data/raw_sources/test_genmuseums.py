import pytest

from hm3_jax.data.importers.museum_package import MuseumPackage
from hm3_jax.data.museum_jsonl import RawArtwork, RawMuseum, RawRoom
from hm3_jax.data.raw_sources.genmuseums import read_genmuseums
from tests.data.raw_sources.test_semart import write as write_semart

PIL = pytest.importorskip("PIL")

A, B, C = "m0_TYPE_genre", "m1_x_TYPE_study", "m2_TYPE_genre"

# As published: a class that takes the name of its table and opens pictures.
PACKAGE = """
import os
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
SPLITS = {"train": ["m1_x_TYPE_study", "m0_TYPE_genre"], "val": [],
          "test": ["m2_TYPE_genre"]}
SENTENCES = {"m0_TYPE_genre": [["One.", "Two."], ["Three."]],
             "m1_x_TYPE_study": [["Four."]],
             "m2_TYPE_genre": [["Five.", ["Six."]]]}


class Museums:
    def __init__(self, table, videos="videos"):
        assert table == "metadata" and videos == "videos"

    def getMuseumList(self, split=None):
        return SPLITS[split] if split else sum(SPLITS.values(), [])

    def getMuseumArtWorksPerRoom(self, id):
        rooms = 2 if id.startswith("m0") else 1
        images = [["1.jpg", "4.jpg"], ["1.jpg"]][:rooms]
        return images, [[f"v{id[1]}"]] + [["v0", "v9"]] * (rooms - 1)

    def loadDesc(self):
        return SENTENCES

    def flattenDescriptionList(self, nested):
        flat = []
        for a in nested:
            flat += [a] if isinstance(a, str) else self.flattenDescriptionList(a)
        return flat

    def getMuseumScreenshots(self, id):
        def picture(room, view):
            path = os.path.join(HERE, "povs", id, f"{room}_{view}.png")
            with Image.open(path) as picture:
                return picture.convert("RGB").resize((224, 224))
        return [[picture(room, view) for view in range(2)]
                for room in range(2 if id.startswith("m0") else 1)]
"""


@pytest.fixture
def data(tmp_path):
    """The published downloads side by side."""
    (tmp_path / "museums").mkdir()
    (tmp_path / "museums" / "utils.py").write_text(PACKAGE)
    write_semart(tmp_path / "SemArt")
    for name in ("a/v0.mp4", "v1.webm", "v2", "v2.mp4", "v0.txt", "meta.json"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def read(data, **changes):
    folders = {"semart": data / "SemArt", "videos": data / "videos"}
    return read_genmuseums(data / "museums", **(folders | changes))


def room(museum, number, images=(), videos=()):
    views = [f"museums/povs/{museum}/{number}_{view}.png" for view in range(2)]
    return RawRoom(tuple(views), tuple(images), tuple(videos))


def test_the_package_is_asked(data):
    raw = read(data)
    assert raw.root == data.resolve()
    assert raw.museums == [
        RawMuseum(
            B,
            "train",
            "TYPE_study",
            (("Four.",),),
            (room(B, 0, ["1.jpg", "4.jpg"], ["v1"]),),
        ),
        RawMuseum(
            A,
            "train",
            "TYPE_genre",
            (("One.", "Two."), ("Three.",)),
            (
                room(A, 0, ["1.jpg", "4.jpg"], ["v0"]),
                room(A, 1, ["1.jpg"], ["v0", "v9"]),
            ),
        ),
        # Nested deeper than by room: the package's own flattening counts.
        RawMuseum(
            C,
            "test",
            "TYPE_genre",
            ("Five.", "Six."),
            (room(C, 0, ["1.jpg", "4.jpg"], ["v2"]),),
        ),
    ]
    titles = [(artwork.id, artwork.path, artwork.title) for artwork in raw.artworks[:2]]
    assert titles == [
        ("1.jpg", "SemArt/Images/1.jpg", "St Jerome"),
        ("4.jpg", "SemArt/Images/4.jpg", "Man"),
    ]
    assert raw.artworks[0].facts["SCHOOL"] == "German"
    assert list(raw.artworks[2:]) == [
        RawArtwork("v1", "videos/v1.webm"),
        RawArtwork("v0", "videos/a/v0.mp4"),
        RawArtwork("v9", "videos/v9.mp4"),
        RawArtwork("v2", "videos/v2.mp4"),
    ]
    assert raw.notes == ("videos without a file: 1 (v9)",)


def test_what_is_not_given_is_left_out(data):
    raw = read(data, semart=None, videos=None)
    # Now everything lies in the museums' own folder.
    assert raw.root == data.resolve() / "museums"
    assert raw.museums[0].rooms == (
        RawRoom((f"povs/{B}/0_0.png", f"povs/{B}/0_1.png")),
    )
    assert raw.artworks == []
    assert raw.notes == (
        "paintings left out: there is no --semart",
        "videos left out: there is no --videos",
    )


def change(data, old, new):
    path = data / "museums" / "utils.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_paths_are_taken_as_they_are(data):
    change(data, "with Image.open(path) as picture:", "if True:")
    change(data, 'picture.convert("RGB").resize((224, 224))', "path")
    assert read(data).museums[0].rooms[0].views == room(B, 0).views


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('["1.jpg", "4.jpg"]', '["1.jpg", "5.jpg"]', "SemArt: expected all paintings "),
        ("][:rooms]", "][:1]", "museum 'm0_TYPE_genre': expected images for 2 rooms"),
        ("m2_TYPE_genre", "m2-genre", "last two of three or more '_'-separated"),
        (
            "SPLITS[split] if",
            "SPLITS['a'] if",
            r"getMuseumList\('train'\), found KeyEr",
        ),
        ("return SENTENCES", "return [1]", r"loadDesc\(\), found AttributeError"),
        (
            "def getMuseumScreenshots",
            "def shots",
            "getMuseumScreenshots.*Attribute",
        ),
        ("HERE, ", "'/', ", "--input_root can name a folder that holds both"),
        (
            'picture.convert("RGB").resize((224, 224))',
            'Image.new("RGB", (1, 1))',
            "expected paths, or pictures that PIL.Image.open opened, found Image",
        ),
    ],
)
def test_faults_are_named(data, old, new, complaint):
    change(data, old, new)
    with pytest.raises(ValueError, match=complaint):
        read(data)


def test_videos_must_be_one_file_each(data):
    (data / "videos" / "v1.mp4").touch()
    with pytest.raises(ValueError, match="expected one file for video 'v1', found"):
        read(data)
    (data / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"found none of 4 \(v1, v0, v9, ...\)"):
        read(data, videos=data / "empty")


def test_pictures_can_be_opened_again_afterwards(data):
    from PIL import Image

    package = MuseumPackage(data / "museums")
    opened = Image.open
    package.screenshots(A)
    assert Image.open is opened
    with pytest.raises(ValueError, match="getMuseumScreenshots"):
        package.screenshots(3)  # type: ignore[arg-type]
    assert Image.open is opened
