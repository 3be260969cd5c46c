"""build_index and search by museums of many vectors, with training and without."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from hm3_jax.app.index_commands import IndexInputs
from hm3_jax.app.index_commands import build as build_index
from hm3_jax.app.query_encoder import QueryEncoder, model_of
from hm3_jax.app.query_pictures import PictureEncoder
from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.files.input_kinds import ROOM_KINDS
from hm3_jax.learn.batches.features import load_features
from hm3_jax.learn.evaluation.embed_museums import embed_items
from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.objective.late_interaction import scores_of
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.index import Index, open_index, verify_index
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.item_search import ItemSearch
from tests.commands import fail, succeed
from tests.entries.test_entry_search import save_model

SIZE = 32
CONFIG = SyntheticConfig(museums=60, feature_size=SIZE, sentences=8, rooms=3)
TEXT = "A crimson vase lies beside a mirror. An angel stands before a harbour."
STRATEGY = LateInteractionConfig(
    name="late_interaction_image_video", size=SIZE, themes=4, theme_weight=0.2
)


def save_trained(folder: Path, store: FeatureStore) -> None:
    """A model as if some epochs had trained it: nothing is zero any more."""
    params = take_run(draw_params(STRATEGY, jax.random.key(0)[None]), 0)
    rng = np.random.default_rng(0)
    moved = jax.tree.map(
        lambda x: (x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32), params
    )
    model = Model(STRATEGY, moved, store.feature_facts())
    checkpoint.save(folder, "last", Checkpoint(model, epoch=3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, a trained model of it, and indexes of its test split."""
    path = tmp_path_factory.mktemp("items")
    synthesize(path / "store", CONFIG)
    save_trained(path / "trained", open_store(path / "store"))
    for model, name in ((path / "trained", "of_trained"), ("zero-shot", "untrained")):
        build_index(inputs(path, model, "test"), path / name)
    return path


def inputs(folder: Path, model: str | Path, *splits: str) -> IndexInputs:
    return IndexInputs(model, str(folder / "store"), splits)


def opened(path: Path) -> tuple[Index, ItemMuseums]:
    index = open_index(path)
    assert isinstance(index.museums, ItemMuseums)
    return index, index.museums


def test_without_training_standardised_features_are_compared(folder):
    store = open_store(folder / "store")
    index, museums = opened(folder / "untrained")
    model = model_of(index)
    features = load_features(store, model.config)
    rooms = np.asarray(store.room_offsets)

    def rows_of(column, first, last):
        ends = np.asarray(column.offsets)
        every = range(int(ends[first]), int(ends[last]))
        return column.table[every if column.index is None else column.index[every]]

    def standardised(rows, by):
        rows = (rows.astype(np.float64) - by["mean"]) / by["deviation"]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    encoder = QueryEncoder.of_index(index)
    (query,) = encoder.encode([TEXT])
    said = encoder._describe(TEXT)[1]
    wanted = standardised(said, model.params["text"]["sentences"])
    np.testing.assert_allclose(query.vectors.sentences, wanted, atol=2e-3)
    (hits,) = ItemSearch(museums).search([query.vectors], 3)
    for score, row in zip(hits.scores, hits.rows, strict=True):
        museum = store.splits["test"][row]
        items, names = [], []
        for number, room in enumerate(range(rooms[museum], rooms[museum + 1])):
            for kind in ROOM_KINDS:
                own = rows_of(features.items[kind], room, room + 1)
                if len(own):
                    items.append(standardised(own, model.params["scene"][kind]))
                names += [(number, kind, place) for place in range(len(own))]
        cosines = wanted @ np.concatenate(items).T
        carried = museums.carried(query.vectors, None, int(row), float(score))
        for of_sentence, best in zip(cosines, carried.answering, strict=True):
            assert best.cosine == pytest.approx(of_sentence.max(), abs=5e-3)
            chosen = names.index((best.room, best.kind, best.place))
            assert of_sentence[chosen] == pytest.approx(of_sentence.max(), abs=5e-3)
        soft = np.log(np.exp(museums.sharpness * cosines).sum(axis=1))
        bias = museums.embedded.bias[row]
        assert score == pytest.approx(
            (soft / museums.sharpness).mean() + bias, abs=5e-3
        )


def test_an_index_ranks_as_its_trained_model_does(folder):
    store = open_store(folder / "store")
    index, museums = opened(folder / "of_trained")
    model = checkpoint.load_model(folder / "trained").model
    tower = InteractionTower(model)
    embedded = embed_items(
        model, load_features(store, model.config), np.array(store.splits["test"])
    )
    assert museums.embedded.themes.shape[1] == 4
    assert (museums.sharpness, museums.theme_weight) == (tower.sharpness, 0.2)
    encoder = QueryEncoder.of_index(index)
    for theme_weight in (None, 0.0, 3.0):
        (query,) = encoder([TEXT])
        (hits,) = ItemSearch(museums).search([query], 6, None, [theme_weight])
        weight = 0.2 if theme_weight is None else theme_weight
        scores = scores_of(query, embedded, tower.sharpness, weight)
        # In 16 bits, a cosine is known to a thousandth.
        np.testing.assert_allclose(hits.scores, scores[hits.rows], atol=1e-3)
        assert hits.scores[-1] > np.sort(scores)[-6] - 1e-3


@pytest.mark.parametrize("name", ["of_trained", "untrained"])
def test_what_is_added_is_as_if_it_had_been_there(folder, tmp_path, name):
    model = folder / "trained" if name == "of_trained" else "zero-shot"
    build_index(inputs(folder, model, "val", "test"), tmp_path / "whole")
    build_index(inputs(folder, model, "val"), tmp_path / "grown")
    build_index(inputs(folder, model, "test"), tmp_path / "grown", append=True)
    (grown, museums), (whole, wanted) = map(
        opened, (tmp_path / "grown", tmp_path / "whole")
    )
    verify_index(grown)
    assert sorted(museums.ids) == sorted(wanted.ids)
    for one in museums.ids:
        items, others = (
            held.embedded.items[slice(*held.embedded.offsets[row : row + 2])]
            for held, row in ((museums, grown.row(one)), (wanted, whole.row(one)))
        )
        np.testing.assert_allclose(items, others, atol=1e-3)


def test_models_of_another_family_and_other_statistics_are_refused(folder, tmp_path):
    store = open_store(folder / "store")
    save_model(tmp_path / "hm3", 1, store)
    build_index(inputs(folder, tmp_path / "hm3", "val"), tmp_path / "of_hm3")
    for index, model, complaint in (
        ("untrained", tmp_path / "hm3", "a model that makes one vector for each museu"),
        (tmp_path / "of_hm3", folder / "trained", "the index has one vector for each "),
        (tmp_path / "of_hm3", "zero-shot", "expected an index of a vector for each it"),
        ("of_trained", "zero-shot", "model trained for 3 epochs, found zero-shot"),
        ("untrained", folder / "trained", "the index was made with model "),
    ):
        with pytest.raises(ValueError, match=complaint):
            build_index(inputs(folder, model, "val"), folder / index, append=True)


def test_generated_museums_have_no_pictures_to_compare_with(folder):
    with pytest.raises(ValueError, match="generated museums, which have none"):
        PictureEncoder.of_index(open_index(folder / "untrained"))


def test_commands_build_and_search_without_training(folder, run_module):
    build = ["--checkpoint=zero-shot", f"--features={folder}/store", "--output=index"]
    shown = succeed(run_module("hm3_jax.build_index", *build, "--splits=test"))
    assert shown.startswith("12 museums embedded; index has 12 museums of ")
    ask = ["--index=index", f"--query={TEXT}", "--json", "--match=pictures"]
    answer = json.loads(succeed(run_module("hm3_jax.search", *ask)))
    _, museums = opened(folder / "untrained")
    (query,) = QueryEncoder.of_index(open_index(folder / "untrained"))([TEXT])
    (hits,) = exact_search(museums).search([query], 10)
    assert [hit["id"] for hit in answer["hits"]] == [museums.ids[r] for r in hits.rows]
    for hit, score, row in zip(answer["hits"], hits.scores, hits.rows, strict=True):
        assert hit["score"] == pytest.approx(score, abs=1e-6)
        # What terms add is no sentence's.
        by_items = museums.score(query, None, int(row)) - museums.embedded.bias[row]
        assert sum(hit["sentences"]) == pytest.approx(by_items, abs=1e-5)
    alone = run_module(
        "hm3_jax.build_index", "--checkpoint=zero-shot", "--output=other"
    )
    fail(alone, "--checkpoint needs --features")
