"""What `import hm3_jax` offers."""

import ast
from pathlib import Path

import jax
import numpy as np
import pytest

import hm3_jax
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.nn.strategy import PoolConfig, RecurrentConfig, TowersConfig
from tests.commands import code_blocks, output_of
from tests.docs.test_inside import quoted

SIZE = 32
STRATEGY = TowersConfig(
    name="hier_by_room_rnn_meanPoolProc_video",
    text=RecurrentConfig(cell="gru", in_size=SIZE, hidden_size=12, bidirectional=True),
    room=PoolConfig(kinds={"views": SIZE, "videos": SIZE}, size=8, out_size=8),
    museum=RecurrentConfig(cell="gru", in_size=8, hidden_size=12, bidirectional=True),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> hm3_jax.FeatureStore:
    config = hm3_jax.SyntheticConfig(40, rooms=3, sentences=8, feature_size=SIZE)
    return hm3_jax.generate_store(tmp_path_factory.mktemp("api") / "store", config)


@pytest.fixture(scope="module")
def untrained(store) -> hm3_jax.Checkpoint:
    params = draw_params(STRATEGY, jax.random.split(jax.random.key(1), 1))
    return hm3_jax.Checkpoint(
        Model(STRATEGY, take_run(params, 0), store.feature_facts()), epoch=0
    )


@pytest.fixture(scope="module")
def zero_shot(store) -> hm3_jax.Checkpoint:
    return hm3_jax.load_model("zero-shot", store)


def texts_of(store) -> list[str]:
    """Whole descriptions of the test split."""
    return [
        " ".join(store.sentence_texts(int(museum)) or [])
        for museum in store.splits["test"]
    ]


def test_importing_it_starts_nothing(repository):
    code = (
        "import sys, hm3_jax\n"
        "print(sorted({'absl', 'jax', 'numpy', 'torch'} & set(sys.modules)))\n"
        "print(set(hm3_jax.__all__) <= set(dir(hm3_jax)), hm3_jax.__version__)\n"
        "hm3_jax.Query\n"
        "print('jax' in sys.modules)\n"
    )
    shown = output_of(code, repository)
    assert shown.splitlines() == ["[]", f"True {hm3_jax.__version__}", "False"]


def test_type_checkers_see_what_programs_get(repository):
    body = ast.parse((repository / "hm3_jax/__init__.py").read_text()).body
    (block,) = [
        node
        for node in body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert list(seen) and sorted(seen) == hm3_jax.__all__
    places = {n: f"hm3_jax.{place}" for n, place in hm3_jax._PLACES.items()}
    assert seen == places
    for name in hm3_jax.__all__:
        assert getattr(hm3_jax, name).__doc__
    # A command that is imported as a module takes no function's place.
    assert not {path.stem for path in (repository / "hm3_jax").iterdir()} & set(seen)


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="'hm3_jax' has no attribute 'musems'"):
        hm3_jax.musems  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]


def test_texts_and_museums_are_embedded_as_evaluation_embeds_them(store, untrained):
    tested = hm3_jax.evaluate_model(untrained, store).tested
    texts = hm3_jax.embed_texts(untrained, store, texts_of(store))
    museums = hm3_jax.embed_museums(untrained, store, store.splits["test"])
    assert len(texts) == len(museums) == len(store.splits["test"])

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    cosines = unit(tested.descriptions) @ unit(tested.museums).T
    found = hm3_jax.score(texts, museums)
    assert (found.dtype, found.shape) == (np.float32, cosines.shape)
    np.testing.assert_allclose(found, cosines, rtol=0, atol=1e-5)


def test_an_index_scores_as_score_does(store, untrained, zero_shot, tmp_path):
    museums = store.splits["test"]
    for name, model in {"vectors": untrained, "items": zero_shot}.items():
        made = hm3_jax.make_index(tmp_path / name, model, store, splits=["test"])
        assert len(made) == len(museums)
        (text, *_) = texts_of(store)
        query = hm3_jax.Query(len(museums), text=text, match="pictures")
        with hm3_jax.open_index(tmp_path / name) as index:
            hits = index.search(query).hits
        assert set(index.themes) <= set(store.themes)
        (scores,) = hm3_jax.score(
            hm3_jax.embed_texts(model, store, [text]),
            hm3_jax.embed_museums(model, store, museums),
        )
        by_id = dict(zip([store.ids[i] for i in museums], scores, strict=True))
        assert [hit.id for hit in hits] == sorted(by_id, key=lambda i: -by_id[i])
        # An index has items in half precision.
        for hit in hits:
            assert hit.score == pytest.approx(by_id[hit.id], abs=2e-3)
        assert made.search(text).hits[0].id in by_id
        with pytest.raises(
            FileExistsError, match="expected a path to make an index at"
        ):
            hm3_jax.make_index(tmp_path / name, model, store)


def test_what_an_index_cannot_answer(store, untrained, tmp_path):
    index = hm3_jax.make_index(tmp_path / "index", untrained, store)
    for query, complaint in (
        (hm3_jax.Query(0, text="a"), "top_k: expected 1 to"),
        (hm3_jax.Query(like="nobody"), "nobody"),
        (hm3_jax.Query(text="a", theme="nothing"), "nothing"),
        ("", "expected"),
    ):
        with pytest.raises(ValueError, match=complaint):
            index.search(query)


def test_the_guide_names_all_of_it(repository):
    text = (repository / "docs/python.md").read_text()
    table = text.split("| to | use |")[1].split("\n\n")[0]
    assert sorted(quoted(table)) == hm3_jax.__all__


@pytest.mark.thorough
def test_the_guide_runs(repository: Path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {}
    blocks = code_blocks(repository / "docs/python.md", "python")
    assert len(blocks) > 5
    for block in blocks:
        exec(compile(block, "python.md", "exec"), scope)
    shown = capsys.readouterr().out
    assert "10 museums; the first is museum0" in shown
    assert shown.endswith("epochs: 2\n")
