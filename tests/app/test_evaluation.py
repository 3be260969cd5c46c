"""Several checkpoints, splits, themes, queries and descriptions of one's own."""

import csv
import dataclasses
import json
import os
from pathlib import Path

import jax
import numpy as np
import pyarrow.parquet
import pytest

from hm3_jax.app.evaluation import EvaluationSettings, evaluate_all
from hm3_jax.app.evaluation_table import checkpoint_names, table_of
from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.files.file_list import damage
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.strategy import PoolConfig, RecurrentConfig, TowersConfig
from hm3_jax.objective.metric_table import KEYS
from hm3_jax.objective.metrics import retrieval_metrics
from hm3_jax.reporting.by_length import read_by_length
from tests.learn import small

SIZE = 16
TEXT = RecurrentConfig(cell="gru", in_size=SIZE, hidden_size=8, bidirectional=True)
FLAT = TowersConfig(
    name="rnn_meanPoolProc",
    text=TEXT,
    room=None,
    museum=PoolConfig(kinds={"views": SIZE}, size=8, out_size=8),
)
BY_ROOM = TowersConfig(
    name="hier_by_room_rnn_meanPoolProc",
    text=TEXT,
    room=PoolConfig(kinds={"views": SIZE}, size=8, out_size=8),
    museum=RecurrentConfig(cell="gru", in_size=8, hidden_size=8, bidirectional=True),
)


def save_model(folder: Path, config: TowersConfig, seed: int, facts) -> None:
    """A model that nobody trained; ranks are ranks all the same."""
    params = draw_params(config, jax.random.split(jax.random.key(seed), 1))
    model = Model(config, take_run(params, 0), facts)
    checkpoint.save(folder, "last", Checkpoint(model, epoch=3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and models of it: flat, by room, flat again."""
    path = tmp_path_factory.mktemp("evaluated")
    synthesize(
        path / "store",
        SyntheticConfig(museums=90, feature_size=SIZE, sentences=6, rooms=2),
    )
    facts = open_store(path / "store").feature_facts()
    for seed, config in enumerate((FLAT, BY_ROOM, FLAT)):
        save_model(path / f"runs/a/x/try_{seed}", config, seed, facts)
    return path


@pytest.fixture(scope="module")
def store(folder) -> FeatureStore:
    return open_store(folder / "store")


def settings(folder: Path, output: Path, models=(0,), **changes) -> EvaluationSettings:
    checkpoints = [str(folder / f"runs/a/x/try_{seed}") for seed in models]
    return EvaluationSettings(
        **{
            "checkpoints": checkpoints,
            "splits": ("test",),
            "output": output / "out",
            **changes,
        }
    )


def evaluate(settings: EvaluationSettings, store: FeatureStore):
    said: list[str] = []
    return evaluate_all(settings, store, said.extend), said


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_checkpoint_is_written_into_the_folder_itself(folder, store, tmp_path):
    _, said = evaluate(settings(folder, tmp_path), store)
    output = tmp_path / "out"
    assert sorted(path.name for path in output.iterdir()) == [
        "by_theme.csv",
        "by_theme.json",
        "embeddings.npz",
        "files.json",
        "metrics.json",
    ]
    assert damage(output) is None
    wanted = small.evaluated(folder / "runs/a/x/try_0", store, "test")
    assert json.loads((output / "metrics.json").read_text()) == wanted.tested.metrics
    with np.load(output / "embeddings.npz") as arrays:
        assert arrays["ids"].tolist() == list(wanted.ids)
        np.testing.assert_array_equal(arrays["museums"], wanted.tested.museums)
    assert said[0].startswith("rnn_meanPoolProc, epoch 3, on test of synthetic (syn")


def test_several_checkpoints_and_splits_have_a_folder_each(folder, store, tmp_path):
    evaluated, _ = evaluate(
        settings(folder, tmp_path, models=(0, 1, 2), splits=("all",)), store
    )
    names = [(name, evaluation.split) for name, evaluation in evaluated]
    splits = list(store.splits)
    assert names == [(f"try_{i}", split) for i in range(3) for split in splits]
    rows = read_csv(tmp_path / "out/metrics.csv")
    assert [(row["checkpoint"], row["split"]) for row in rows] == names
    for row, (name, split) in zip(rows, names, strict=True):
        of_split = tmp_path / "out" / name / split
        wanted = small.evaluated(folder / "runs/a/x" / name, store, split)
        metrics = json.loads((of_split / "metrics.json").read_text())
        assert metrics == wanted.tested.metrics
        assert {key: float(row[key]) for key in metrics} == metrics
        assert row["strategy"] == wanted.strategy
        assert int(row["museums"]) == len(store.splits[split])
    assert len(table_of(evaluated)) == 1 + len(rows)


def test_queries_of_some_sentences_have_files_and_lines(folder, store, tmp_path):
    lengths = ("2", "all", "1")
    how = {"query_sentences": lengths, "query_seed": 4}
    ((_, evaluation),), said = evaluate(settings(folder, tmp_path, **how), store)
    output = tmp_path / "out"
    about = json.loads((output / "by_length.json").read_text())
    assert about["model"] == str(folder / "runs/a/x/try_0")
    assert (about["split"], about["query_seed"]) == ("test", 4)
    assert about["features_checksum"] == store.manifest.checksum
    assert tuple(about["lengths"]) == lengths  # as asked
    whole = json.loads((output / "metrics.json").read_text())
    assert about["lengths"]["all"] == {
        key: value for key, value in whole.items() if key.startswith("t2s_")
    }
    assert about["lengths"]["2"]["t2s_mAP"] == evaluation.tested.by_length[2]["t2s_mAP"]
    rows = read_csv(output / "by_length.csv")
    for row, length in zip(rows, lengths, strict=True):
        assert row.pop("sentences") == length
        values = {key: float(value) for key, value in row.items()}
        assert values == about["lengths"][length]
    begin = said.index("by sentences of the query:")
    assert [line.split()[0] for line in said[begin + 2 : begin + 5]] == list(lengths)
    # What was edited is not reported.
    assert read_by_length(output / "by_length.json").lengths == about["lengths"]
    text = (output / "by_length.json").read_text()
    (output / "by_length.json").write_text(
        text.replace('"split": "test"', '"split": "val"')
    )
    with pytest.raises(ValueError, match="by_length.json: damaged: expected"):
        read_by_length(output / "by_length.json")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"query_sentences": ("0",)}, "from 1 on, or all, found '0'"),
        ({"query_sentences": ("1", "1")}, "each number once, found 1,1"),
        ({"query_sentences": ("1",), "query_seed": -1}, "query_seed: expected 0 or"),
    ],
)
def test_wrong_numbers_of_sentences_are_refused(folder, tmp_path, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        settings(folder, tmp_path, **changes)


def test_nested_evaluations_are_on_the_disk(folder, store, tmp_path, monkeypatch):
    flushed, fsync = set(), os.fsync

    def flush(descriptor: int) -> None:
        flushed.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    evaluate(settings(folder, tmp_path, models=(0, 2), splits=("val", "test")), store)
    made = {str(path.relative_to(tmp_path / "out")) for path in output_files(tmp_path)}
    assert {"try_0", "try_2/val", "try_2/test/embeddings.npz"} < made
    (partial,) = {path for path in flushed if path.endswith("/metrics.csv")}
    partial = Path(partial).parent
    assert flushed - {str(tmp_path)} == {
        str(partial),
        *(str(partial / name) for name in made),
    }


def output_files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "out").rglob("*"))


def test_names_tell_checkpoints_apart():
    assert checkpoint_names(["a/b/try_1", "a/c/try_1"]) == ["b__try_1", "c__try_1"]
    assert checkpoint_names(["runs", "runs/x"]) == ["runs", "runs__x"]
    assert checkpoint_names(["p/a__b", "p/a/b"]) == ["1__a__b", "2__a__b"]
    assert checkpoint_names(["hub:u/n@v1", "hub:u/n"]) == ["n_v1", "n"]
    with pytest.raises(ValueError, match="each checkpoint once, found a/./b twice"):
        checkpoint_names(["a/b", "a/./b"])


@pytest.fixture(scope="module")
def detailed(folder, store, tmp_path_factory):
    """Output with themes and queries, and the embeddings it is of."""
    path = tmp_path_factory.mktemp("detailed")
    evaluate(settings(folder, path, per_query=("csv", "parquet"), top_k=4), store)
    with np.load(path / "out/embeddings.npz") as arrays:
        described, shown = arrays["descriptions"], arrays["museums"]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (described, shown)]
    themes = np.array(
        [store.themes[i] for i in store.theme_index[store.splits["test"]]]
    )
    return path / "out", unit[0] @ unit[1].T, themes


def test_themes_are_those_of_a_plain_loop(detailed):
    output, similarity, themes = detailed
    by_theme = json.loads((output / "by_theme.json").read_text())
    assert list(by_theme) == sorted(set(themes))
    whole = json.loads((output / "metrics.json").read_text())
    counts = [of_theme["n"] for of_theme in by_theme.values()]
    assert sum(counts) == len(themes)
    for key in KEYS:
        values = [of_theme["metrics"][key] for of_theme in by_theme.values()]
        if "median" not in key:
            mean = np.average(values, weights=counts)
            np.testing.assert_allclose(mean, whole[key], rtol=1e-5)
    order = np.argsort(-similarity, axis=1, kind="stable")
    ranks = 1 + np.argmax(order == np.arange(len(themes))[:, None], axis=1)
    rows = {row["theme"]: row for row in read_csv(output / "by_theme.csv")}
    for theme, of_theme in by_theme.items():
        mine = themes == theme
        found = of_theme["metrics"]
        assert found["t2s_median_rank"] == np.median(ranks[mine])
        assert found["t2s_mAP"] == pytest.approx(np.mean(100 / ranks[mine]))
        top = themes[order[mine][:, :10]]
        others = sorted(
            ((-np.mean(top == other) * 100, other) for other in set(themes) - {theme}),
        )
        wanted = [(name, -share) for share, name in others[:3] if share]
        confused = [(x["theme"], x["percent"]) for x in of_theme["confused_with"]]
        assert [name for name, _ in confused] == [name for name, _ in wanted]
        np.testing.assert_allclose([s for _, s in confused], [s for _, s in wanted])
        assert float(rows[theme]["s2t_R@5"]) == found["s2t_R@5"]
        assert rows[theme]["confused_with_1"] == (confused[0][0] if confused else "")


def test_every_query_has_a_row(detailed, store):
    output, similarity, themes = detailed
    ids = np.array([store.ids[i] for i in store.splits["test"]])
    rows = read_csv(output / "queries.csv")
    table = pyarrow.parquet.read_table(output / "queries.parquet").to_pylist()
    assert len(rows) == len(table) == 2 * len(ids)
    for number, (row, same) in enumerate(zip(rows, table, strict=True)):
        direction, query = divmod(number, len(ids))
        order = np.argsort(
            -(similarity.T if direction else similarity)[query], kind="stable"
        )
        assert row["direction"] == ("t2s", "s2t")[direction]
        assert (row["id"], row["theme"]) == (ids[query], themes[query])
        assert int(row["rank"]) == 1 + order.tolist().index(query)
        assert [row[f"top_{i}"] for i in range(1, 5)] == ids[order[:4]].tolist()
        assert "top_5" not in row
        hits = np.flatnonzero(themes[order] == themes[query]) + 1
        precision = np.mean(np.arange(1, len(hits) + 1) / hits)
        assert float(row["mAP_by_class"]) == pytest.approx(100 * precision, rel=1e-5)
        assert row.keys() == same.keys()
        for key, value in same.items():
            assert str(value) == row[key] or value == pytest.approx(float(row[key]))


def own_descriptions(store: FeatureStore, path: Path) -> Path:
    with path.open("w") as file:
        for museum in map(int, store.splits["test"]):
            line = {
                "id": f"of {store.ids[museum]}",
                "text": " ".join(store.sentence_texts(museum) or []),
                "relevant": [store.ids[museum]],
                "theme": store.themes[store.theme_index[museum]],
            }
            file.write(json.dumps(line) + "\n")
    return path


def test_museums_own_descriptions_reach_the_metrics_of_the_split(
    folder, store, tmp_path
):
    queries = own_descriptions(store, tmp_path / "own.jsonl")
    evaluate(
        settings(folder, tmp_path, splits=("test", "val"), queries=queries, top_k=3),
        store,
    )
    output = tmp_path / "out"
    metrics = json.loads((output / "test/metrics.json").read_text())
    found = json.loads((output / "test/query_metrics.json").read_text())
    count = len(store.splits["test"])
    assert found.pop("metrics") == {
        key: pytest.approx(value, rel=1e-5)
        for key, value in metrics.items()
        if key.startswith("t2s")
    }
    assert found == {"queries": count, "with_relevant": count, "with_theme": count}
    lines = (output / "test/rankings.jsonl").read_text().splitlines()
    with np.load(output / "test/embeddings.npz") as arrays:
        described, shown = arrays["descriptions"], arrays["museums"]
        ids = arrays["ids"]
    for line, row in zip(map(json.loads, lines), described, strict=True):
        lengths = np.linalg.norm(shown, axis=1) * np.linalg.norm(row)
        cosines = shown @ row / lengths
        best = np.argsort(-cosines, kind="stable")[:3]
        assert line["museums"] == ids[best].tolist()
        np.testing.assert_allclose(line["scores"], cosines[best], atol=1e-5)
    # None of the described museums is in the other split, but some of the themes are.
    found = json.loads((output / "val/query_metrics.json").read_text())
    assert found["with_relevant"] == 0 < found["with_theme"]
    assert "t2s_R@1" not in found["metrics"] and "t2s_class_P@1" in found["metrics"]


def test_free_descriptions_need_no_answer(folder, store, tmp_path):
    (tmp_path / "q.txt").write_text("A portrait museum.\n\nA vase. A mirror.\n")
    evaluate(settings(folder, tmp_path, queries=tmp_path / "q.txt"), store)
    lines = (tmp_path / "out/rankings.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [line["id"] for line in found] == ["1", "3"]
    assert found[1]["sentences"] == ["A vase.", "A mirror."]
    assert "metrics" not in found[0] and len(found[0]["museums"]) == 10
    about = json.loads((tmp_path / "out/query_metrics.json").read_text())
    assert about == {"queries": 2, "with_relevant": 0, "with_theme": 0, "metrics": {}}


def other_features(folder: Path, store: FeatureStore, where: Path) -> Path:
    facts = store.feature_facts()
    facts["sentences"] = {**facts["sentences"], "model": "RN50"}
    save_model(where / "bad", FLAT, 5, facts)
    return where / "bad"


def newer(folder: Path, store: FeatureStore, where: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT_VERSION", 99)
        save_model(where / "bad", FLAT, 5, store.feature_facts())
    return where / "bad"


def damaged(folder: Path, store: FeatureStore, where: Path) -> Path:
    save_model(where / "bad", FLAT, 5, store.feature_facts())
    (file,) = where.glob("bad/checkpoints/last/*/arrays/manifest.ocdbt")
    file.write_bytes(file.read_bytes()[:-5])
    return where / "bad"


def not_finite(folder: Path, store: FeatureStore, where: Path) -> Path:
    params = draw_params(FLAT, jax.random.split(jax.random.key(1), 1))
    params = jax.tree.map(lambda x: np.full_like(x[0], np.nan), params)
    model = Model(FLAT, params, store.feature_facts())
    checkpoint.save(where / "bad", "last", Checkpoint(model, epoch=1))
    return where / "bad"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (other_features, "bad: .*trained on sentences with model 'RN50', found"),
        (newer, "bad/checkpoints/last/3: expected checkpoint format 1, found 99"),
        (damaged, "bad/checkpoints/last/3/arrays/manifest.ocdbt: damaged"),
        (not_finite, "bad: .*split test: descriptions: expected finite embeddings"),
        (lambda *_: Path("nowhere"), "nowhere"),
    ],
)
def test_one_bad_checkpoint_of_several_leaves_nothing(
    folder, store, tmp_path, make, complaint
):
    bad = str(make(folder, store, tmp_path))
    good = settings(folder, tmp_path)
    both = dataclasses.replace(good, checkpoints=[*good.checkpoints, bad])
    with pytest.raises((ValueError, FileNotFoundError), match=complaint) as caught:
        evaluate(both, store)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.name != "bad"] == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"splits": ("dev",)}, "museums in split 'dev', found splits train .63., val"),
        ({"splits": ("test", "test")}, "splits, each once, found test, test"),
        ({"splits": ("all", "test")}, "museums in split 'all', found splits train"),
        ({"splits": ()}, "expected splits, each once, found none"),
        ({"per_query": ("xlsx",)}, "written as csv or parquet, found 'xlsx'"),
        ({"top_k": 0}, "top_k: expected 1 to 1000, found 0"),
        ({"checkpoints": ()}, "expected checkpoints, found none"),
        ({"queries": "A museum. 1\n1945, 67.\n"}, "q.txt, line 2: .*English words"),
        ({"queries": "2 + 2 = 4"}, "q.txt, line 1: expected English words"),
        ({"queries": "a. " * 200}, "q.txt, line 1: expected a query of at most 128 s"),
        ({"queries": [{"id": "1", "text": "A", "theme": "x"}]}, "a theme of .*'x'$"),
        ({"queries": [{"id": "1", "text": "A", "relevant": ["x"]}]}, "museums of .*'x"),
        ({"pretrained": "openai", "queries": "A dog."}, "are for real features, fou"),
    ],
)
def test_wrong_settings_leave_nothing(folder, store, tmp_path, changes, complaint):
    changes = dict(changes)
    queries = changes.get("queries")
    if isinstance(queries, str):
        changes["queries"] = tmp_path / "q.txt"
        changes["queries"].write_text(queries)
    elif queries is not None:
        changes["queries"] = tmp_path / "q.json"
        changes["queries"].write_text(json.dumps(queries))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=complaint):
        evaluate(settings(folder, tmp_path, **changes), store)
    assert sorted(tmp_path.iterdir()) == before


def test_metrics_of_the_settings_are_those_of_the_embeddings(detailed, store):
    output, _, themes = detailed
    with np.load(output / "embeddings.npz") as arrays:
        labels = np.unique(themes, return_inverse=True)[1]
        wanted = retrieval_metrics(arrays["descriptions"], arrays["museums"], labels)
    assert json.loads((output / "metrics.json").read_text()) == wanted
