import pickle

import pytest

from hm3_jax.data.museum_jsonl import RawMuseum, RawRoom
from hm3_jax.data.raw_sources.museums3k import read_museums3k_raw
from tests.data.importers.feature_sets import write_indices

FEATURES = "tmp_museums/open_clip_features_museums3k"


@pytest.fixture
def data(tmp_path):
    """Museums "Museum0-2.unity", "Museum1-1.unity" and "lo", whose file is "plot"."""
    for name in ("plot", "Museum0-2.unity", "Museum1-1.unity"):
        sentences = [f"{name} is one.", " ", "Here is more."]
        write(tmp_path, f"{FEATURES}/images/{name}.pt", b"not read")
        write(
            tmp_path,
            f"{FEATURES}/descriptions/tokens_strings/{name}.pkl",
            pickle.dumps(sentences),
        )
    # The order of the published names: "lo" comes last.
    write_indices(tmp_path / "indices_museum_dataset.pkl", {"test": [0], "train": [2]})
    for i in range(24):
        write(tmp_path, f"shots/Museum0-2/{i}.png", b"")
    for path in ("room 10/1.jpg", "room 9/b.jpg", "room 9/a.jpg", "room 9/a.txt"):
        write(tmp_path, f"shots/lo/{path}", b"")
    return tmp_path


def write(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_museums_are_those_of_the_published_features(data):
    raw = read_museums3k_raw(data, pictures=data / "shots")
    views = [f"shots/Museum0-2/{i}.png" for i in range(24)]
    assert raw.root == data.resolve()
    assert raw.museums == [
        RawMuseum(
            "lo",
            "train",
            "lo",
            ("plot is one.", "Here is more."),
            (
                RawRoom(("shots/lo/room 9/a.jpg", "shots/lo/room 9/b.jpg")),
                RawRoom(("shots/lo/room 10/1.jpg",)),
            ),
        ),
        RawMuseum(
            "Museum0-2.unity",
            "test",
            "Museum0-2.unity",
            ("Museum0-2.unity is one.", "Here is more."),
            (RawRoom(tuple(views[:12])), RawRoom(tuple(views[12:]))),
        ),
    ]
    assert raw.notes == (
        "1 museum left out: in no split",
        f"files of no use here: 1 ({data}/shots/lo/room 9/a.txt)",
    )


def test_faults_are_named(data):
    texts = data / FEATURES / "descriptions" / "tokens_strings"
    pictures = data / "shots"
    (pictures / "Museum0-2" / "1.png").unlink()
    with pytest.raises(ValueError, match="Museum0-2: expected 12 .*found 23 screensh"):
        read_museums3k_raw(data, pictures=pictures)
    (pictures / "lo").rename(pictures / "else")
    with pytest.raises(
        FileNotFoundError, match="shots/lo: expected a folder of the mu"
    ):
        read_museums3k_raw(data, pictures=pictures)
    (texts / "plot.pkl").write_bytes(pickle.dumps(["a", 3]))
    with pytest.raises(ValueError, match="plot.pkl: expected a list of sentences"):
        read_museums3k_raw(data, pictures=pictures)
    (texts / "plot.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="plot.pkl: .*os.system"):
        read_museums3k_raw(data, pictures=pictures)
    (texts / "plot.pkl").unlink()
    with pytest.raises(FileNotFoundError, match="plot.pkl"):
        read_museums3k_raw(data, pictures=pictures)
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder"):
        read_museums3k_raw(data, pictures=data / "nowhere")
