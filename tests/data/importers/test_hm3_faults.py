"""What is wrong with a published feature set is said in one line."""

import json

import pytest

from hm3_jax.data.importers.hm3 import read_hm3
from hm3_jax.data.importers.museum_list import read_museum_json
from tests.data.importers.feature_sets import SIZE, torch

M1 = "m1_TYPE_genre"


FAULTS = {}


def fault(*complaints):
    """Marks a function that puts a fault into a feature set."""

    def mark(change):
        FAULTS[change.__name__] = change, complaints

    return mark


@fault("split 'train' names museum 'm1_TYPE_genre'", "descriptions.pickle, found no")
def missing_sentences(s):
    del s.sentences[M1]


@fault("split 'train' names museum 'm1_TYPE_genre'", "povs.pickle, found no such id")
def missing_views(s):
    del s.views[M1]


@fault("split 'val' names museum 'x_TYPE_genre'", "descriptions.pickle and ")
def unknown_id(s):
    s.museums["splits"]["val"].append("x_TYPE_genre")


@fault("museums.json: splits: expected every id once, found 'm1_TYPE_genre' twice")
def duplicate_id(s):
    s.museums["splits"]["val"].append(M1)


@fault("museum 'm1_TYPE_genre'", "expected artworks that", "found 'nowhere'")
def unknown_artwork(s):
    s.museums["videos"][M1] = [["nowhere"]]


@fault("museum 'm1_TYPE_genre', sentences: expected features of size 6, found 5")
def sentence_size(s):
    s.sentences[M1] = torch.ones(2, 5)


@fault("museum 'm1_TYPE_genre', room 0, views: expected features of size 6, found 7")
def view_size(s):
    s.views[M1] = [torch.ones(2, 7)]


@fault("video_art.pickle: 'v1': expected a feature of size 6, found (5,)")
def video_size(s):
    s.videos["features"]["v1"] = torch.ones(5)


@fault("video_art.pickle: 'v1': expected a feature, found none")
def video_without_frames(s):
    s.videos["features"]["v1"] = torch.ones(0, SIZE)


@fault("videos: expected finite features with a direction, row")
def video_of_zeros(s):
    s.videos["features"]["v1"] = torch.zeros(SIZE)


@fault("museum 'm1_TYPE_genre', sentences: expected at least one row, found none")
def no_sentence(s):
    s.sentences[M1] = torch.ones(0, SIZE)
    s.museums["sentences"][M1] = []


@fault("museum 'm1_TYPE_genre': expected at least one room, found none")
def no_room(s):
    s.views[M1] = []
    s.museums["videos"][M1] = []


@fault("museum 'm1_TYPE_genre': expected videos for each of 1 rooms, found them for 2")
def room_counts(s):
    s.museums["videos"][M1] = [[], []]


@fault("museum 'm1_TYPE_genre': expected rooms as a list of tensors")
def rooms_are_no_list(s):
    s.views[M1] = 3


@fault("museum 'm1_TYPE_genre', sentences: expected a matrix of floats, found list")
def sentences_are_no_tensor(s):
    s.sentences[M1] = [1.0, 2.0]


@fault("museum 'm1_TYPE_genre': expected one text for each of 2 sentence features")
def text_counts(s):
    s.museums["sentences"][M1] = ["one"]


@fault("museum 'm1_TYPE_genre': expected sentences, found none")
def text_missing(s):
    del s.museums["sentences"][M1]


@fault("descriptions.pickle: expected features by id, found a list")
def no_dict(s):
    s.sentences = [torch.ones(2, 2)]


@fault("separated fields name the theme, found 'm_genre'")
def no_theme(s):
    s.museums["splits"]["val"].append("m_genre")
    s.sentences["m_genre"] = torch.ones(1, SIZE)
    s.views["m_genre"] = [torch.ones(1, SIZE)]


@fault("base.json: expected dataset_name and for each kind", "'data_fn'")
def incomplete_json(s):
    del s.entries["povs"]["data_fn"]


@fault("base.json: expected dataset_name and for each kind", "'descriptions'")
def no_descriptions(s):
    del s.entries["descriptions"]


@fault("museums.json: expected the keys splits, videos, images, sentences")
def unknown_key(s):
    s.museums["rooms"] = {}


@fault("museums.json: sentence_rooms: expected an object of lists of whole numbers")
def named_rooms(s):
    s.museums["sentence_rooms"] = {M1: [True, 0]}


@fault("museum 'm1_TYPE_genre', sentence 1: expected a room from 0 to 0", "found 1")
def unknown_room(s):
    s.museums["sentence_rooms"] = {M1: [0, 1]}


@fault("museums.json: videos: expected an object of lists of lists of strings")
def flat_videos(s):
    s.museums["videos"][M1] = ["v0"]


@fault("museums.json: expected splits of train, val, test, found train, val, dev")
def unknown_split(s):
    splits = s.museums["splits"]
    splits["dev"] = splits.pop("test")


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_refused_in_one_line(source, import_set, tmp_path, name):
    change, complaints = FAULTS[name]
    change(source)
    with pytest.raises(ValueError) as caught:
        import_set(source)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "input"))
    assert "\n" not in message
    for complaint in complaints:
        assert complaint in message
    assert not (tmp_path / "store").exists()


def test_a_key_that_occurs_twice_in_the_json_is_refused(source, tmp_path):
    file = source.write(tmp_path) / "museums.json"
    # JSON has no rule against it and Python keeps the last.
    text = json.dumps(source.museums["videos"])
    file.write_text(file.read_text().replace(text, text[:-1] + f', "{M1}": [[]]}}'))
    with pytest.raises(ValueError, match=f"a key twice in one object .'{M1}'"):
        read_museum_json(file)


@pytest.mark.parametrize("name", ["museums.json", "descriptions.pickle"])
def test_missing_files_are_named(source, import_set, tmp_path, name):
    source.write(tmp_path / "input")
    source.write = lambda folder: folder
    (tmp_path / "input" / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        import_set(source)


def test_a_missing_folder_or_feature_set_is_named(source, tmp_path):
    folder = source.write(tmp_path / "input")
    museum_list = read_museum_json(folder / "museums.json")
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder"):
        read_hm3(tmp_path / "nowhere", "base", museum_list)
    with pytest.raises(FileNotFoundError, match="other.json: .*, but base$"):
        read_hm3(folder, "other", museum_list)
    assert read_hm3(folder, "base.json", museum_list).origin["feature_set"] == "base"
    with pytest.raises(ValueError, match="mean or first_frame, found 'max'"):
        read_hm3(folder, "base", museum_list, video_pooling="max")


def test_a_pickle_that_would_run_code_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = source.write(tmp_path / "input")
    (folder / "povs.pickle").write_bytes(
        b"cos\nsystem\n(X\x0e\x00\x00\x00touch executedtR."
    )
    with pytest.raises(ValueError, match="povs.pickle: .*os.system: refused"):
        read_hm3(folder, "base", read_museum_json(folder / "museums.json"))
    assert not (tmp_path / "executed").exists()
