"""Late interaction equals a plain loop over sentences and items, in float64."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.batches.features import load_features
from hm3_jax.learn.batches.spans import spans_of_length
from hm3_jax.learn.batches.statistics import standardising, with_statistics
from hm3_jax.learn.devices.mesh import BY_RUN, Layout
from hm3_jax.learn.evaluation.embed_museums import embed_items
from hm3_jax.learn.evaluation.pairs import PairScores
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.learn.model import SCORES, Model, draw_params, take_run
from hm3_jax.learn.zero_shot import zero_shot
from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.nn.strategy_json import load_strategy, parse_strategy, to_json
from hm3_jax.objective.late_interaction import scores_of

SIZE = 16
CONFIG = LateInteractionConfig(
    name="late_interaction_image_video",
    size=SIZE,
    order=2,
    sizes=3,
    context=True,
    themes=3,
    theme_units=5,
    theme_weight=0.5,
    sharpness=7.0,
    whole=6,
)
KINDS = ("views", "images", "videos")
STRATEGIES = sorted(
    Path(__file__).parents[2].glob("configs/strategies/late_interaction/*.json")
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "store"
    synthesize(path, SyntheticConfig(museums=40, sentences=8.0, feature_size=SIZE))
    return open_store(path)


@pytest.fixture(scope="module")
def model(store):
    """Every parameter is something else than where it begins."""
    drawn = take_run(draw_params(CONFIG, jax.random.key(3)[None]), 0)
    generator = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: np.asarray(x) + 0.3 * generator.normal(size=x.shape).astype("f4"),
        drawn,
    )
    features = load_features(store, CONFIG)
    statistics = standardising(features, np.asarray(store.splits["train"]))
    return Model(CONFIG, with_statistics(params, statistics), None)


class Loop:
    """The model, one museum and one sentence at a time."""

    def __init__(self, model, store):
        self.config, self.store = model.config, store
        self.params = jax.tree.map(lambda x: np.asarray(x, np.float64), model.params)
        self.sharpness = math.exp(self.params[SCORES]["log_sharpness"])

    def _standard(self, tower, kind, row):
        values = self.params[tower][kind]
        return (row - values["mean"]) / values["deviation"] / math.sqrt(len(row))

    def _unit(self, vector):
        return vector / math.sqrt(vector @ vector + 1e-18)

    def _mapped(self, tower, row):
        values = self.params[tower]["map"]
        return row + row @ values["kernel"] + values["bias"]

    def _waves(self, place):
        return [
            wave(math.pi * h * place)
            for h in range(1, self.config.order + 1)
            for wave in (math.cos, math.sin)
        ]

    def _themes(self, tower, mean):
        values = self.params[tower]["themes"]
        hidden = 4 * self._unit(mean) @ values["hidden"]["kernel"]
        hidden = np.maximum(hidden + values["hidden"]["bias"], 0)
        logits = hidden @ values["out"]["kernel"] + values["out"]["bias"]
        return logits - np.log(np.exp(logits).sum())

    def _linear(self, values, row):
        return row @ values["kernel"] + values["bias"]

    def _recurrent(self, values, rows):
        """Mean of the last states of two GRUs, one from each end."""
        lasts = []
        for d, steps in enumerate((rows, rows[::-1])):
            state = np.zeros(self.config.whole)
            for row in steps:
                of_input = row @ values["kernel_ih"][d] + values["bias_ih"][d]
                of_state = state @ values["kernel_hh"][d] + values["bias_hh"][d]
                r, z, n = np.split(of_input, 3)
                from_r, from_z, from_n = np.split(of_state, 3)
                reset, update = 1 / (1 + np.exp(-np.array([r + from_r, z + from_z])))
                new = np.tanh(n + reset * from_n)
                state = (1 - update) * new + update * state
            lasts.append(state)
        return np.mean(lasts, axis=0)

    def whole(self, sentences, museum):
        """What wholes add to a score; features as they are in the store."""
        values = self.params["whole"]
        rooms = []
        for room in self.items(museum):
            means = []
            for kind in KINDS:
                layer = values["scene"]["room"][kind]
                rows = [row for of, row in room if of == kind] or [np.zeros(SIZE)]
                shown = [np.maximum(self._linear(layer, row), 0) for row in rows]
                means.append(np.mean(shown, axis=0))
            out = values["scene"]["room"]["out"]
            rooms.append(self._linear(out, np.concatenate(means)))
        shown = self._recurrent(values["scene"]["museum"], rooms)
        said = self._recurrent(values["text"], sentences)
        weight = self.params["whole"]["weight"][0]
        return weight * (self._unit(said) @ self._unit(shown))

    def said(self, museum):
        """Features of the sentences of a museum's description."""
        first, end = self.store.sentences.offsets[museum : museum + 2]
        return list(np.asarray(self.store.sentences.values[first:end], np.float64))

    def sentences(self, museum):
        return [self._standard("text", "sentences", row) for row in self.said(museum)]

    def items(self, museum):
        """Kind and features of each item of each room."""
        found = []
        for room in range(*self.store.room_offsets[museum : museum + 2]):
            first, end = self.store.views.offsets[room : room + 2]
            items = [("views", row) for row in self.store.views.values[first:end]]
            for kind in self.config.uses[1:]:
                art = self.store.artworks(kind)
                first, end = art.hung.offsets[room : room + 2]
                items += [(kind, art.table[i]) for i in art.hung.values[first:end]]
            found.append([(kind, np.asarray(row, np.float64)) for kind, row in items])
        return found

    def rooms(self, museum):
        return [
            [(kind, self._standard("scene", kind, row)) for kind, row in room]
            for room in self.items(museum)
        ]

    def score(
        self, description, museum, *, complete, theme_weight=0.0, part=slice(None)
    ):
        rooms, sentences = self.rooms(museum), self.sentences(description)[part]
        everything = [row for room in rooms for _, row in room]
        of_museum = np.mean(everything, axis=0)
        scene, text = self.params["scene"], self.params["text"]
        best = []
        for t, sentence in enumerate(sentences):
            cosines = []
            query = self._unit(self._mapped("text", sentence))
            for r, room in enumerate(rooms):
                for _, row in room:
                    item = self._mapped("scene", row)
                    if self.config.context:
                        of_room = np.mean([other for _, other in room], axis=0)
                        item = item + of_room @ scene["of_room"]
                        item = item + of_museum @ scene["of_museum"]
                    cosine = query @ self._unit(item)
                    if complete and self.config.order:
                        pairs = zip(
                            self._waves((t + 0.5) / len(sentences)),
                            self._waves((r + 0.5) / len(rooms)),
                            np.repeat(text["order"], 2),
                            strict=True,
                        )
                        cosine += sum(a * b * w for a, b, w in pairs)
                    cosines.append(cosine)
            total = np.log(np.exp(self.sharpness * np.array(cosines)).mean())
            best.append(total / self.sharpness)
        score = np.mean(best)
        if complete and self.config.sizes:
            length = math.log((len(sentences) + 1) / 21)
            hidden = np.array([length, length**2]) @ text["length"]["kernel"]
            guess = np.tanh(hidden + text["length"]["bias"]) @ text["sizes"]
            counts = [len(rooms), *(0 for _ in KINDS)]
            for kind, _ in (item for room in rooms for item in room):
                counts[1 + KINDS.index(kind)] += 1
            usual = (5, 20, 5, 8)
            logs = [
                math.log((c + 1) / (u + 1)) for c, u in zip(counts, usual, strict=True)
            ]
            score += guess @ np.concatenate([logs, np.square(logs)])
        if theme_weight:
            said = self._themes("text", np.mean(sentences, axis=0))
            shown = self._themes("scene", of_museum)
            score += theme_weight * np.log(np.exp(said + shown).sum())
        if self.config.whole:
            score += self.whole(self.said(description)[part], museum)
        return score


def test_scores_of_a_split_are_those_of_a_loop(store, model):
    layout = Layout.of(1)
    split = Task(store, CONFIG).split("test", layout)
    params = layout.put(jax.tree.map(np.asarray, model.stacked()), BY_RUN)
    pairs = split.embed(params, jnp.ones(1, bool), model.spec)
    assert isinstance(pairs, PairScores)
    loop, museums = Loop(model, store), store.splits["test"]
    for weight in (0.0, 0.5):
        wanted = [
            [loop.score(d, m, complete=True, theme_weight=weight) for m in museums]
            for d in museums
        ]
        np.testing.assert_allclose(pairs.weighted(weight)[0], wanted, atol=2e-5)
    (tested,) = split.test(model.stacked(), model.spec)
    assert tested.scores is not None
    np.testing.assert_allclose(tested.scores, wanted, atol=2e-5)
    own = np.diag(wanted)[:, None]
    ranks = 1 + (np.array(wanted) > own).sum(axis=1)
    assert tested.metrics["t2s_mAP"] == pytest.approx(
        100 * np.mean(1 / ranks), abs=1e-4
    )


def test_parts_of_descriptions_have_neither_order_nor_size(store, model):
    layout = Layout.of(1)
    split = Task(store, CONFIG).split("test", layout)
    params = layout.put(jax.tree.map(np.asarray, model.stacked()), BY_RUN)
    _, *parts = split.by_length(params, jnp.ones(1, bool), model.spec, [1, 3], seed=5)
    loop, museums = Loop(model, store), store.splits["test"]
    for length, pairs in zip((1, 3), parts, strict=True):
        assert isinstance(pairs, PairScores)
        spans = spans_of_length(store.sentences.lengths, length, seed=5)
        part = [slice(first, first + count) for first, count in spans]
        wanted = [
            [loop.score(d, m, complete=False, part=part[d]) for m in museums]
            for d in museums
        ]
        np.testing.assert_allclose(pairs.scores[0], wanted, atol=2e-5)


def test_queries_and_items_by_themselves_score_as_a_loop(store, model):
    features = load_features(store, CONFIG)
    museums = np.array([5, 0, 3])
    embedded = embed_items(model, features, museums)
    tower, loop = InteractionTower(model), Loop(model, store)
    first, end = store.sentences.offsets[2:4]
    (query,) = tower([np.asarray(store.sentences.values[first:end], np.float32)])
    found = scores_of(query, embedded, tower.sharpness, tower.theme_weight)
    wanted = [loop.score(2, m, complete=False, theme_weight=0.5) for m in museums]
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    # Where each item hangs.
    rooms = loop.rooms(5)
    hangs = [(r, KINDS.index(kind)) for r, room in enumerate(rooms) for kind, _ in room]
    last = embedded.offsets[1]
    found_at = zip(embedded.rooms[:last], embedded.kinds[:last], strict=True)
    assert list(found_at) == hangs
    within: dict[tuple[int, int], int] = {}
    for place, at in zip(embedded.places[:last], hangs, strict=True):
        assert place == within.get(at, 0)
        within[at] = place + 1


def test_without_training_sentences_look_for_the_nearest_item(store):
    model = zero_shot(store)
    embedded = embed_items(model, load_features(store, model.config), np.arange(4))
    loop = Loop(model, store)
    assert loop.config.uses == KINDS and loop.config.themes == 0
    first, end = store.sentences.offsets[1:3]
    tower = InteractionTower(model)
    (query,) = tower([np.asarray(store.sentences.values[first:end], np.float32)])
    rows = [row for m in range(4) for room in loop.rooms(m) for _, row in room]
    for t, sentence in enumerate(loop.sentences(1)):
        wanted = [loop._unit(sentence) @ loop._unit(row) for row in rows]
        found = query.sentences[t] @ embedded.items.T
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    wanted = [loop.score(1, m, complete=False) for m in range(4)]
    np.testing.assert_allclose(
        scores_of(query, embedded, tower.sharpness), wanted, atol=1e-5
    )


def test_the_whole_counts_nothing_before_training(store):
    config = LateInteractionConfig(name="late_interaction", size=SIZE, whole=4)
    drawn = take_run(draw_params(config, jax.random.key(0)[None]), 0)
    model = Model(config, drawn, None)
    embedded = embed_items(model, load_features(store, config), np.arange(4))
    assert embedded.vectors.shape == (4, 4)
    np.testing.assert_allclose(np.linalg.norm(embedded.vectors, axis=1), 1, rtol=1e-5)
    tower = InteractionTower(model)
    (query,) = tower([np.asarray(store.sentences.values[:3], np.float32)])
    assert not query.vector.any() and query.vector.shape == (4,)


def test_a_query_may_be_a_picture(store, model):
    """A view of a museum finds itself, with cosine 1."""
    plain = zero_shot(store)
    embedded = embed_items(plain, load_features(store, plain.config), np.arange(4))
    picture = np.asarray(store.views.values[:1], np.float32)
    query = InteractionTower(plain).pictures(picture)
    cosines = query.sentences @ embedded.items.T
    assert cosines.argmax() == 0 and cosines.max() == pytest.approx(1, abs=1e-6)
    # A picture is no museum: nothing is said of it as a whole.
    assert InteractionTower(model).pictures(picture).vector.tolist() == [0] * 6


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({}, "lacks feature_size"),
        ({"feature_size": 0}, "feature_size must be a positive integer, found 0"),
        ({"feature_size": 4, "rooms": 1}, "unknown keys rooms"),
        ({"feature_size": 4, "dropout": 1.0}, "dropout must be at least 0, below 1"),
        ({"feature_size": 4, "context": 1}, "context must be true or false, found 1"),
        ({"feature_size": 4, "order": "2"}, "order must be a number, found '2'"),
        ({"feature_size": 4, "sharpness": 99}, "sharpness must be 1 to 40, found 99"),
        ({"feature_size": 4, "whole": -1}, "whole must be a positive integer"),
        ({"feature_size": 4, "theme_weight": -1}, "theme_weight must be at least 0"),
    ],
)
def test_a_wrong_strategy_is_refused(args, complaint):
    value = {"strategy_name": "late_interaction_video", "ee_args": args}
    with pytest.raises(ValueError, match=complaint):
        parse_strategy(value)


def test_a_strategy_is_written_as_it_is_read():
    assert parse_strategy(to_json(CONFIG)) == CONFIG
    unset = dataclasses.replace(CONFIG, themes=None)
    assert parse_strategy(to_json(unset)) == unset
    assert unset.trained_on(9, 100).themes == 9
    assert unset.trained_on(90, 100).themes == 0  # hardly two museums a theme
    assert CONFIG.trained_on(9, 100).themes == 3


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_strategies_that_come_with_it_are_read(path):
    config = load_strategy(path)
    assert isinstance(config, LateInteractionConfig)
    assert config.file_stem == path.stem and config.inputs["sentences"] == 512
    assert to_json(config)["ee_args"]["whole"] == (128 if "whole" in path.stem else 0)
    assert config.uses == tuple(
        kind for kind in KINDS if kind == "views" or kind[:-1] in path.stem
    )
