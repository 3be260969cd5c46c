"""Folders to share: what is read back, what is refused, what the card says."""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import yaml

from hm3_jax.interop.shared_facts import FACTS_FILE, Origin, SharedFacts, Tries
from hm3_jax.interop.shared_folder import read_shared_folder, write_shared_files
from hm3_jax.interop.torch_weights import from_torch
from hm3_jax.nn.strategy import hm3_strategy
from hm3_jax.nn.strategy_json import load_strategy

GOLDEN = Path(__file__).parents[1] / "golden"
STEM = "hier_by_room_rnn_meanPoolProc_cnn1d_video"
CONFIG = hm3_strategy(load_strategy(GOLDEN / f"{STEM}.json"))
METRICS = {"t2s_R@1": 37.5, "t2s_mAP": 100 / 3, "s2t_median_rank": 4.5}
ORIGIN = Origin(
    experiment="STL",
    description="Two lines\n---\nof text",
    tags=["new: 16th", "#1", "yes", "null", "\u2028é🏛"],
    attempt=2,
    dataset_name="generatedDigitalExps",
    dataset_kind="real",
    test_museums=2000,
    metrics=METRICS,
    tries=Tries(
        count=3,
        mean={key: value + 1 for key, value in METRICS.items()},
        std=dict.fromkeys(METRICS, 0.25),
    ),
)
FACTS = SharedFacts(
    cnn1d_masking="time",
    epoch=25,
    feature_facts={
        "sentences": {"feature_size": 24, "model": "ViT-B-32", "pooling": None},
        "views": {"feature_size": 24, "model": "a|b", "weights": "openai"},
    },
    settings={"lr": 1 / 3, "loss_patience": None, "note": "a|b"},
    origin=ORIGIN,
    versions={"hm3_jax": "0.1.0", "jax": "0.10.2"},
)


@pytest.fixture
def params() -> dict[str, Any]:
    with np.load(GOLDEN / f"{STEM}.npz") as arrays:
        return from_torch(
            {
                name.removeprefix("param/"): arrays[name]
                for name in arrays.files
                if name.startswith("param/")
            },
            CONFIG,
        )


@pytest.fixture
def folder(tmp_path: Path, params) -> Path:
    path = tmp_path / "shared"
    path.mkdir()
    write_shared_files(path, CONFIG, params, FACTS)
    return path


def assert_same(found, wanted) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        if isinstance(value, dict):
            assert_same(found[key], value)
        else:
            np.testing.assert_array_equal(found[key], value)


@pytest.mark.parametrize(
    "facts",
    [
        FACTS,
        dataclasses.replace(FACTS, feature_facts=None, settings=None, origin=None),
        dataclasses.replace(
            FACTS, origin=dataclasses.replace(ORIGIN, metrics=None, tries=None)
        ),
    ],
)
def test_what_was_written_is_read_back(tmp_path, params, facts):
    write_shared_files(tmp_path, CONFIG, params, facts)
    config, found, read = read_shared_folder(tmp_path)
    assert config == CONFIG
    assert_same(found, params)
    assert read == facts


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def of_a_larger_model(path: Path) -> None:
    text = path.read_text()
    assert '"desc_output_feature_size": 12' in text
    path.write_text(text.replace(": 12", ": 13"))


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil()))


DAMAGE = {
    "no facts": (FACTS_FILE, Path.unlink, "expected the facts of a shared model, fou"),
    "no weights": ("model.safetensors", Path.unlink, "expected a file of "),
    "no strategy": ("config.json", Path.unlink, "expected a file of "),
    "weights cut": ("model.safetensors", cut, r"expected \d+ bytes, found \d+"),
    "weights flipped": ("model.safetensors", flip, "its checksum differs"),
    "a pickle": ("model.safetensors", pickled, r"expected \d+ bytes, found \d+"),
    "other strategy": ("config.json", of_a_larger_model, "its checksum differs"),
    "facts cut": (FACTS_FILE, cut, "expected JSON, found "),
    "facts changed": (
        FACTS_FILE,
        lambda path: change(path, epoch=26),
        "damaged: expected checksum [0-9a-f]{64}, found [0-9a-f]{64}",
    ),
    "facts of bytes": (FACTS_FILE, pickled, "expected JSON, found "),
    "newer": (
        FACTS_FILE,
        lambda path: change(path, format_version=2, more={}),
        "expected format version 1 or older, found 2: this model was written by a newer"
        " version of hm3_jax",
    ),
    "another file": (
        FACTS_FILE,
        lambda path: path.write_text('{"format_version": "1"}'),
        "expected the facts of a shared model, found another file",
    ),
    "a list": (FACTS_FILE, lambda path: path.write_text("[1]"), "found another file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_in_one_line(folder, name, monkeypatch):
    monkeypatch.chdir(folder.parent)
    file, damage, message = DAMAGE[name]
    damage(folder / file)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        read_shared_folder(folder)
    assert str(raised.value).startswith(f"{folder / file}: ")
    assert "\n" not in str(raised.value)
    assert not (folder.parent / "harm").exists()


def test_fields_of_another_version_are_refused(folder, monkeypatch):
    """As a version that forgot to count up would write them."""
    path = folder / FACTS_FILE
    values = json.loads(path.read_text())
    del values["origin"]["tags"], values["checksum"]
    monkeypatch.setattr("hm3_jax.interop.shared_facts.checksum_of", lambda _: None)
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="expected the fields of format version 1"):
        read_shared_folder(folder)


def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_hub_understands_the_card(folder):
    _, matter, text = card(folder).split("---\n", 2)
    values = yaml.safe_load(matter)
    assert values["tags"][-6:] == [*ORIGIN.tags, CONFIG.name]
    loaded = vars(huggingface_hub.ModelCard.load(folder / "README.md").data)
    assert (loaded["library_name"], loaded["model_name"]) == ("hm3_jax", STEM)
    found = {result.metric_type: result for result in loaded["eval_results"]}
    assert {key: result.metric_value for key, result in found.items()} == METRICS
    assert {result.dataset_name for result in found.values()} == {
        "generatedDigitalExps"
    }
    assert {result.dataset_split for result in found.values()} == {"test"}
    assert text.startswith(f"\n# {STEM}\n")


def test_nothing_in_a_card_is_more_than_text(tmp_path, params):
    texts = [
        "!!python/object/apply:os.system [touch x]",
        "a\n---\n# b",
        "&a [*a, *a]",
        "{x: }",
        "'\"",
        "x: # y",
    ]
    for number, text in enumerate(texts):
        folder = tmp_path / str(number)
        folder.mkdir()
        origin = dataclasses.replace(ORIGIN, dataset_name=text, tags=texts)
        facts = dataclasses.replace(FACTS, origin=origin)
        write_shared_files(folder, CONFIG, params, facts, "ann/museums")
        data: Any = huggingface_hub.ModelCard.load(folder / "README.md").data
        assert [tag for tag in texts if tag not in data.tags] == []
        assert {of.dataset_type for of in data.eval_results} == {text}


def test_the_card_says_what_the_run_reached(folder):
    text = card(folder)
    for line in (
        "On 2,000 museums of the test split of generatedDigitalExps",
        "| museums for a description | this try | mean of 3 tries (standard deviati",
        "| R@1 | 37.5 | 38.5 (0.2) |",
        "| mAP | 33.3 | 34.3 (0.2) |",
        "| medR | 4.5 | 5.5 (0.2) |",
        "| sentences | 24 | ViT-B-32 | not recorded | not recorded |",
        "| views | 24 | a\\|b | openai | not recorded |",
        "| videos | not recorded | not recorded | not recorded | not recorded |",
        "Experiment `STL`, try 2, on generatedDigitalExps.",
        "Two lines --- of text",
        f"| lr | {1 / 3} |",
        "| note | a\\|b |",
        "Weights after 25 epochs.",
        "The convolution masks time.",
        "loaded there, it gives different embeddings from those tested here.",
        "python -m hm3_jax.evaluate --checkpoint=FOLDER \\",
    ):
        assert line in text, line
    assert "loss_patience" not in text and "generated features" not in text


def test_a_card_for_the_hub_has_the_name_there(tmp_path, params):
    write_shared_files(tmp_path, CONFIG, params, FACTS, "ann/museums")
    text = card(tmp_path)
    assert "\n# museums\n" in text and "FOLDER" not in text
    assert "python -m hm3_jax.evaluate --checkpoint=hub:ann/museums \\\n" in text
    assert vars(huggingface_hub.ModelCard(text).data)["model_name"] == "museums"


def test_a_card_of_little(tmp_path, params):
    """Of a model of the release, of which only the weights are known."""
    little = SharedFacts(
        cnn1d_masking="channels",
        epoch=0,
        feature_facts=None,
        settings=None,
        origin=None,
        versions={"hm3_jax": "0.1.0"},
    )
    write_shared_files(tmp_path, CONFIG, params, little)
    text = card(tmp_path)
    for line in (
        "No test of these weights is recorded.",
        "Its settings are not recorded.",
        "The model that its features must come from is not recorded;",
        "The convolution masks channels.",
    ):
        assert line in text
    assert vars(huggingface_hub.ModelCard(text).data)["eval_results"] is None
    assert "0 epochs" not in text


def test_generated_features_are_said(tmp_path, params):
    made_up = dataclasses.replace(ORIGIN, dataset_kind="synthetic")
    facts = dataclasses.replace(FACTS, origin=made_up)
    write_shared_files(tmp_path, CONFIG, params, facts)
    text = card(tmp_path)
    assert "test split of generatedDigitalExps (generated features)" in text
    assert "* It was trained on generated features" in text
