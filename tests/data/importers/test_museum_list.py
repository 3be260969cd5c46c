import sys

import pytest

from hm3_jax.data.importers.museum_list import read_museum_package

FUNCTIONS = """
import neighbour

MUSEUMS = {"train": ["b_T_x", "a_T_y"], "val": [], "test": ["c_T_x"]}

def getMuseumList(split=None):
    return MUSEUMS[split]

def getMuseumArtWorksPerRoom(id):
    return [[] for _ in range(2)], [["v1", 7], []]

def loadDesc():
    return {"a_T_y": [["One.", "Two."], ["Three."]], "b_T_x": [], "c_T_x": [["Four."]]}

def flattenDescriptionList(nested):
    return neighbour.flatten(nested)
"""

CLASS = """
class Unrelated:
    pass

class Museums:
    def __init__(self):
        self.splits = {"train": ["a_T_x"], "val": ["b_T_x"], "test": ["c_T_x"]}

    def getMuseumList(self, split=None):
        return self.splits[split]

    def getMuseumArtWorksPerRoom(self, id):
        rooms = [[], []]
        return rooms, rooms
"""


@pytest.fixture
def package(tmp_path):
    def package(text):
        (tmp_path / "utils.py").write_text(text)
        (tmp_path / "neighbour.py").write_text(
            "def flatten(rooms):\n    return [text for room in rooms for text in room]"
        )
        return tmp_path

    yield package
    sys.modules.pop("neighbour", None)


def test_functions_are_asked(package):
    path = list(sys.path)
    museum_list = read_museum_package(package(FUNCTIONS))
    assert museum_list.splits == {"train": ["b_T_x", "a_T_y"], "test": ["c_T_x"]}
    # Nothing hangs but videos.
    assert list(museum_list.hung) == ["videos"]
    assert museum_list.hung["videos"]["a_T_y"] == [["v1", "7"], []]
    assert museum_list.sentences == {
        "a_T_y": ["One.", "Two.", "Three."],
        "b_T_x": [],
        "c_T_x": ["Four."],
    }
    # The other descriptions have not as many parts as there are rooms.
    assert museum_list.sentence_rooms == {"a_T_y": (0, 0, 1)}
    assert museum_list.source.name == "utils.py"
    assert sys.path == path


def test_rooms_of_sentences_in_another_order_are_unknown(package):
    text = FUNCTIONS.replace(
        "neighbour.flatten(nested)", "neighbour.flatten(nested[::-1])"
    )
    museum_list = read_museum_package(package(text))
    assert (museum_list.sentences or {})["a_T_y"] == ["Three.", "One.", "Two."]
    assert museum_list.sentence_rooms == {}


def test_a_class_is_asked_too(package):
    museum_list = read_museum_package(package(CLASS))
    assert museum_list.splits == {
        "train": ["a_T_x"],
        "val": ["b_T_x"],
        "test": ["c_T_x"],
    }
    assert museum_list.hung == {}
    assert museum_list.sentences is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import nowhere", "answer to its import, found ModuleNotFoundError"),
        ("x = 1 +", "answer to its import, found SyntaxError"),
        ("x = 1", "found 0 such classes"),
        (CLASS + CLASS.replace("Museums", "Others"), "found 2 such classes"),
        (FUNCTIONS + "MUSEUMS.pop('val')", r"getMuseumList\('val'\), found KeyError"),
        (FUNCTIONS.replace("c_T_x", "b_T_x"), "splits: expected every id once, found"),
        (
            FUNCTIONS + "MUSEUMS = dict.fromkeys(MUSEUMS, [])",
            "expected splits of train",
        ),
        (FUNCTIONS.replace("neighbour.flatten(nested)", "1 / 0"), "ZeroDivisionError"),
        (
            CLASS.replace("return rooms, rooms", "return rooms, rooms, rooms"),
            r"getMuseumArtWorksPerRoom\('a_T_x'\), found ValueError: too many",
        ),
        (
            CLASS.replace("return self.splits[split]", "return 3"),
            "TypeError: 'int' object is not",
        ),
    ],
)
def test_faults_of_a_package_are_named(package, text, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        read_museum_package(package(text))
    assert "utils.py: expected" in str(caught.value) or "twice" in str(caught.value)


def test_a_missing_package_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="utils.py: expected a data set's"):
        read_museum_package(tmp_path)
