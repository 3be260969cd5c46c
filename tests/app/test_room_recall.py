"""`room_R@1` of evaluations, against plain NumPy on an untrained model."""

import csv
import json

import jax
import numpy as np
import pytest

from hm3_jax.app.evaluation import EvaluationSettings, evaluate_all
from hm3_jax.data.store import open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.nn.strategy import PoolConfig, RecurrentConfig, TowersConfig
from hm3_jax.objective.metric_table import KEYS

SIZE = 16
INTERACTION = LateInteractionConfig(name="late_interaction_video", size=SIZE, themes=0)
TOWERS = TowersConfig(
    name="rnn_meanPoolProc",
    text=RecurrentConfig(cell="gru", in_size=SIZE, hidden_size=8, bidirectional=True),
    room=None,
    museum=PoolConfig(kinds={"views": SIZE}, size=8, out_size=8),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A generated store, and models that nobody trained: `items` and `towers`."""
    path = tmp_path_factory.mktemp("rooms")
    config = SyntheticConfig(museums=90, feature_size=SIZE, rooms=3, sentences=8)
    synthesize(path / "store", config)
    store = open_store(path / "store")
    for name, strategy in (("items", INTERACTION), ("towers", TOWERS)):
        drawn = draw_params(strategy, jax.random.split(jax.random.key(0), 1))
        params = Task(store, strategy).initial(take_run(drawn, 0))
        model = Model(strategy, params, store.feature_facts())
        checkpoint.save(path / name, "last", Checkpoint(model, epoch=0))
    return path


def standardised(store, model, kind, museum):
    """Features of a museum as the model reads them."""
    if kind == "sentences":
        rows, statistics = store.sentences[museum], model.params["text"][kind]
    else:
        rooms = range(*store.room_offsets[museum : museum + 2])
        rows, statistics = (
            np.concatenate(
                [
                    store.views[room]
                    if kind == "views"
                    else store.videos.table[store.videos.hung[room]]
                    for room in rooms
                ]
            ),
            model.params["scene"][kind],
        )
    mean, deviation = (np.float64(statistics[x]) for x in ("mean", "deviation"))
    return (rows.astype(np.float64) - mean) / deviation


def expected(store, model, split):
    """Recall and chance in percent, and the number of sentences."""
    hits, shares = [], []
    for museum in store.splits[split].tolist():
        rooms = np.arange(np.diff(store.room_offsets)[museum])
        first, last = store.room_offsets[museum : museum + 2]
        items = np.concatenate(
            [standardised(store, model, kind, museum) for kind in ("views", "videos")]
        )
        where = np.concatenate(
            [
                np.repeat(rooms, lengths[first:last])
                for lengths in (store.views.lengths, store.videos.hung.lengths)
            ]
        )
        items /= np.linalg.norm(items, axis=1, keepdims=True)
        about = store.sentence_rooms[slice(*store.sentences.offsets[museum:][:2])]
        for vector, room in zip(
            standardised(store, model, "sentences", museum), about, strict=True
        ):
            if room >= 0:
                hits.append(where[np.argmax(items @ vector)] == room)
                shares.append(np.mean(where == room))
    return 100 * np.mean(hits), 100 * np.mean(shares), len(hits)


def test_it_stands_beside_the_published_metrics(folder, tmp_path):
    store = open_store(folder / "store")
    said: list[str] = []
    settings = EvaluationSettings(
        checkpoints=[str(folder / name) for name in ("items", "towers")],
        splits=("test",),
        output=tmp_path / "out",
    )
    evaluate_all(settings, store, said.extend)
    recall, chance, sentences = expected(
        store, checkpoint.load_model(folder / "items").model, "test"
    )
    assert chance + 5 < recall < 95
    items, towers = (
        json.loads((tmp_path / "out" / name / "metrics.json").read_text())
        for name in ("items", "towers")
    )
    assert set(towers) == set(KEYS)
    assert set(items) == {*KEYS, "room_R@1"}
    assert items["room_R@1"] == pytest.approx(recall)
    (line,) = [line for line in said if "room_R@1" in line]
    assert line.split()[1] == f"{recall:.3f}"
    assert line.endswith(f"({sentences} sentences; by chance {chance:.3f})")
    with (tmp_path / "out/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["room_R@1"]) == items["room_R@1"]
    assert rows[1]["room_R@1"] == ""
