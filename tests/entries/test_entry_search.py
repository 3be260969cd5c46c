"""build_index and search as a user runs them."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from hm3_jax.app.index_commands import IndexInputs
from hm3_jax.app.index_commands import build as build_index
from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.searching import SearchSettings, search
from hm3_jax.data.raw_museum import RawMuseum, RawRoom, museum_to_json
from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.strategy import PoolConfig, RecurrentConfig, TowersConfig
from hm3_jax.objective.metrics import score_queries
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.index import Index, open_index, verify_index
from hm3_jax.retrieval.server.collection import Answer, Query
from hm3_jax.retrieval.server.indexed import IndexCollection
from tests.commands import fail, succeed
from tests.learn import small

SIZE = 32
STRATEGY = TowersConfig(
    name="hier_by_room_rnn_meanPoolProc_video",
    text=RecurrentConfig(cell="gru", in_size=SIZE, hidden_size=12, bidirectional=True),
    room=PoolConfig(kinds={"views": SIZE, "videos": SIZE}, size=8, out_size=8),
    museum=RecurrentConfig(cell="gru", in_size=8, hidden_size=12, bidirectional=True),
)
CONFIG = SyntheticConfig(museums=100, feature_size=SIZE, sentences=8, rooms=3)
QUERY = "A portrait museum. In the first room, a crimson vase lies beside a mirror."


def save_model(folder: Path, seed: int, store: FeatureStore) -> None:
    """A model that nobody trained; ranks are ranks all the same."""
    params = draw_params(STRATEGY, jax.random.split(jax.random.key(seed), 1))
    model = Model(STRATEGY, take_run(params, 0), store.feature_facts())
    checkpoint.save(folder, "last", Checkpoint(model, epoch=3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, two models of it, and an index of its test split."""
    path = tmp_path_factory.mktemp("searched")
    synthesize(path / "store", CONFIG)
    for seed in (1, 2):
        save_model(path / f"model{seed}", seed, open_store(path / "store"))
    source = IndexInputs(path / "model1", str(path / "store"), ("test",))
    build_index(source, path / "index")
    return path


@pytest.fixture(scope="module")
def store(folder) -> FeatureStore:
    return open_store(folder / "store")


@pytest.fixture(scope="module")
def index(folder) -> Index:
    return open_index(folder / "index")


@pytest.fixture
def ask(folder, run_module):
    return lambda *arguments: run_module(
        "hm3_jax.search", f"--index={folder / 'index'}", *arguments
    )


def source_flags(folder: Path, model: int = 1) -> list[str]:
    return [f"--checkpoint={folder}/model{model}", f"--features={folder}/store"]


def test_ranks_are_those_of_evaluate(folder, store, index):
    tested = small.evaluated(folder / "model1", store, "test").tested
    museums = store.splits["test"]
    assert list(index.museums.ids) == [store.ids[i] for i in museums]
    np.testing.assert_allclose(
        index.museums.vectors, unit(tested.museums), rtol=0, atol=1e-6
    )
    texts = [" ".join(store.sentence_texts(int(i)) or []) for i in museums]
    queries = QueryEncoder.of_index(index)(texts)
    found = exact_search(index.museums).search(queries, len(museums))
    ranks = [1 + hits.rows.tolist().index(row) for row, hits in enumerate(found)]
    expected, _ = score_queries(
        tested.descriptions, tested.museums, np.zeros(len(museums), int)
    )
    assert ranks == expected.rank.tolist()
    # An untrained model finds some and not others, or this would say little.
    assert 1 < np.median(ranks) < len(museums)
    # The same by what the command and the server call.
    collection = IndexCollection(
        index, QueryEncoder.of_index(index).encode, exact_search(index.museums)
    )
    answers = collection.search(
        [Query(len(museums), text=text, match="pictures") for text in texts]
    )
    for museum, rank, answer in zip(museums, ranks, answers, strict=True):
        assert isinstance(answer, Answer)
        assert answer.hits[rank - 1].id == store.ids[museum]


def test_an_index_is_built_grown_and_searched(folder, store, run_module, tmp_path):
    build = source_flags(folder)
    shown = succeed(
        run_module("hm3_jax.build_index", *build, "--splits=test,val", "--output=index")
    )
    assert shown.startswith("30 museums embedded; index has 30 museums of ")
    arguments = ["--output=index", "--append", "--splits=train", "--verify"]
    shown = succeed(run_module("hm3_jax.build_index", *build, *arguments))
    assert "70 museums embedded; index has 100 museums of" in shown
    assert shown.endswith("verified, 100 museums: every byte is as it was written\n")
    dropped = [store.ids[0], store.ids[99]]
    arguments = ["--output=index", f"--remove={','.join(dropped)}"]
    assert "2 museums removed; index has 98" in succeed(
        run_module("hm3_jax.build_index", *arguments)
    )
    index = open_index(tmp_path / "index")
    assert set(index.museums.ids) == set(store.ids) - set(dropped)
    row = index.row(store.ids[50])
    assert index.museums.detail(row)["description"] == store.sentence_texts(50)
    # All at once, without removing: the same vectors.
    build_index(
        IndexInputs(folder / "model1", str(folder / "store")), tmp_path / "whole"
    )
    whole = open_index(tmp_path / "whole")
    for one in index.museums.ids:
        np.testing.assert_allclose(
            index.museums.columns["vectors"][index.row(one)],
            whole.museums.columns["vectors"][whole.row(one)],
            rtol=0,
            atol=1e-6,
        )

    arguments = ["--index=index", f"--query={QUERY}", "--top_k=4"]
    lines = succeed(run_module("hm3_jax.search", *arguments)).splitlines()
    assert lines[:2] == [
        f"[{i + 1}] {t}." for i, t in enumerate(QUERY[:-1].split(". "))
    ]
    assert [line[:4] for line in lines if line[:4].strip()][2:] == [
        "  1.",
        "  2.",
        "  3.",
        "  4.",
    ]
    assert "sentence 1 " in lines[3] and "room 1 " in lines[3]
    assert lines[2].endswith(" by words") or lines[2].endswith(" by pictures and words")
    assert "words: " in lines[4] and "[" in lines[4]
    by_pictures = succeed(run_module("hm3_jax.search", *arguments, "--match=pictures"))
    assert " by " not in by_pictures and "words:" not in by_pictures
    by_words = run_module("hm3_jax.search", *arguments, "--match=words")
    assert succeed(by_words).count("words: ") == 4


def test_json_has_all_of_it(index, ask):
    theme = index.manifest.themes[0]
    answer = json.loads(
        succeed(
            ask(
                f"--query={QUERY}",
                "--json",
                f"--theme={theme}",
                "--top_k=50",
                "--match=pictures",
            )
        )
    )
    assert answer["match"] == "pictures"
    rows = np.flatnonzero(index.museums.theme_index == 0)
    assert {hit["id"] for hit in answer["hits"]} == {index.museums.ids[i] for i in rows}
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)
    encoder = QueryEncoder.of_index(index)
    first, second = answer["sentences"]
    for hit in answer["hits"]:
        vector = index.museums.columns["vectors"][index.row(hit["id"])]
        score, without_first, without_second = (
            query.vector @ vector for query in encoder([QUERY, second, first])
        )
        wanted = [score, score - without_first, score - without_second]
        found = [hit["score"], *hit["sentences"]]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
        rooms = (
            index.museums.rooms_of(index.row(hit["id"])) @ encoder([QUERY])[0].vector
        )
        np.testing.assert_allclose(hit["rooms"], score - rooms, rtol=0, atol=1e-3)


def test_a_file_asks_what_its_text_asks(ask, tmp_path):
    (tmp_path / "query.txt").write_text(QUERY + "\n")
    asked = succeed(ask(f"--query={QUERY}", "--json"))
    assert succeed(ask(f"--query_file={tmp_path / 'query.txt'}", "--json")) == asked


def test_a_museum_is_not_like_itself(index, ask):
    name = index.museums.ids[3]
    answer = json.loads(succeed(ask(f"--like={name}", "--top_k=5", "--json")))
    products = index.museums.vectors.astype(float) @ index.museums.vectors[3]
    order = [row for row in np.argsort(-products, kind="stable") if row != 3][:5]
    assert [hit["id"] for hit in answer["hits"]] == [
        index.museums.ids[i] for i in order
    ]
    assert answer["sentences"] == []


@pytest.mark.thorough
def test_an_engine_gives_the_same_answer(folder, ask, run_module, tmp_path):
    pytest.importorskip(
        "qdrant_client", reason="needs qdrant-client, of the extra qdrant"
    )
    index, client = folder / "index", tmp_path / "client"
    uri = f"--uri={tmp_path}/qdrant"
    copied = run_module(
        "hm3_jax.build_index", f"--output={index}", uri, f"--client={client}"
    )
    assert "collection hm3_museums_" in succeed(copied)
    # Without the museums: their vectors, and what is shown of them, are in the engine.
    assert sorted(path.name for path in client.rglob("*") if path.is_file()) == [
        "manifest.json",
        "text_tower.safetensors",
        "words.sqlite",
    ]
    for arguments in (
        [f"--query={QUERY}", "--json", "--theme=portrait"],
        ["--like=museum00085", "--top_k=3"],
    ):
        wanted = succeed(ask(*arguments))
        assert succeed(ask(*arguments, f"--index={client}", uri)) == wanted
    fail(ask("--like=nobody", f"--index={client}", uri), "the index, found 'nobody'")
    fail(ask("--like=museum00085", f"--index={client}"), "to search by --uri")


def test_a_list_gives_titles(folder, store, tmp_path):
    (tmp_path / "a.png").touch()
    listed = [
        RawMuseum(
            name, "test", "marine", (("One.", "Two."),), (RawRoom(("a.png",)),), t
        )
        for name, t in ((store.ids[90], "House of Sails"), (store.ids[91], None))
    ]
    lines = "".join(json.dumps(museum_to_json(museum)) + "\n" for museum in listed)
    (tmp_path / "museums.jsonl").write_text(lines)
    source = IndexInputs(
        folder / "model1",
        str(folder / "store"),
        ("test",),
        tmp_path / "museums.jsonl",
    )
    build_index(source, tmp_path / "index")
    museums = open_index(tmp_path / "index").museums
    details = {museums.ids[row]: museums.detail(row) for row in range(len(museums))}
    assert details[store.ids[90]]["title"] == "House of Sails"
    assert details[store.ids[91]]["description"] == ["One.", "Two."]
    assert "title" not in details[store.ids[92]]
    rooms = np.diff(store.room_offsets)[92]
    assert [room["views"] for room in details[store.ids[92]]["rooms"]] == [4] * rooms


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        (Query(5, ""), "expected a query with some text, found an empty one"),
        (Query(5, " \u200b\n\u00ad"), "found an empty one"),
        (Query(5, "a " * 50_000), "at most 10000 characters, found 100000"),
        (Query(5, "So. " * 129), "at most 128 sentences, found 129"),
        (Query(5, "a\x07b"), r"found the control character U\+0007 at place 2"),
        (Query(5, "a\udc80"), r"found the control character U\+DC80 at place 2"),
        (Query(5, "Музей у моря"), "expected English words"),
        (Query(5, "\N{SLICE OF PIZZA} 1234"), "expected English words"),
        (Query(0, "a"), "top_k: expected 1 to 1000, found 0"),
        (Query(-1, "a"), "top_k: expected 1 to 1000, found -1"),
        (Query(10**30, "a"), "top_k: expected 1 to 1000, found 1000"),
        (Query(5, "a", theme="cubist"), "found 'cubist'"),
        (Query(5, like="nobody"), "the id of a museum in the index, found 'nobody'"),
    ],
)
def test_wrong_queries_are_refused(index, query, complaint):
    with pytest.raises(ValueError, match=complaint):
        search(SearchSettings(index.path, query))


def test_weights_are_for_other_encoders(index):
    settings = SearchSettings(index.path, Query(5, "a"), pretrained="x")
    with pytest.raises(ValueError, match="weights 'x' are for real features"):
        search(settings)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            [],
            "expected --query, --query_file, --picture or --like, found none of them",
        ),
        (["--like=b", "--match=words"], "--match is for a text, found --like"),
        (["--picture=b", "--match=words"], "--match is for a text, found --picture"),
        (["--picture=bytes"], "expected an index of a vector for each item"),
        (["--query=a", "--theme_weight=1"], "theme_weight: expected none, as the "),
        (["--query=a", "--like=b"], "found --query and --like"),
        (["--like=a", "--pretrained=b"], "--pretrained is for the encoder of a text"),
        (["--query=a\x07b"], "found the control character U+0007 at place 2"),
        (
            ["--query=a", "--top_k=1000000000000"],
            "top_k: expected 1 to 1000, found 1000",
        ),
        (
            ["--query_file=bytes"],
            "bytes: expected text in UTF-16, as its mark says, found",
        ),
        (["--query=a", "--uri=no"], "no: expected a folder of Qdrant's embedded mode"),
        (["--query=a", "--token=a"], "--token is for --uri, found none"),
        (["--query=a", "--candidates=9"], "--candidates is for --uri, found none"),
        (
            ["--query=a", "--uri=tcp://host"],
            "expected the URI of Qdrant, http://HOST:6333 or a folder, found 'tcp",
        ),
        (
            ["--like=museum00080", "--index=nowhere"],
            "nowhere: expected an index made by",
        ),
    ],
)
def test_wrong_flags_of_search_are_refused(ask, tmp_path, arguments, complaint):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    fail(ask(*arguments), complaint)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "expected --checkpoint and --features to build an index, or --remove"),
        (["--checkpoint=model1"], "--checkpoint needs --features, found none"),
        (["--splits=test", "--verify"], "--splits is for --checkpoint and --features"),
        (
            ["--remove=a"],
            "no: expected an index made by build_index, found no manifest",
        ),
        (["--verify", "--token=a"], "--token is for --uri, found none"),
        (["--verify", "--client=a"], "--client is for --uri, found none"),
        (["--checkpoint=a", "--features=b", "--remove=c"], "call build_index twice"),
    ],
)
def test_wrong_flags_of_build_index_are_refused(run_module, arguments, complaint):
    fail(run_module("hm3_jax.build_index", "--output=no", *arguments), complaint)


@pytest.mark.parametrize(
    ("model", "append", "split", "error", "complaint"),
    [
        (
            1,
            False,
            "val",
            FileExistsError,
            r"no such folder, found one \(--append adds",
        ),
        (
            1,
            True,
            "test",
            ValueError,
            "museums that are not in the index, found 'museu",
        ),
        (2, True, "val", ValueError, "was made with model parameters_sha256 '"),
        (1, True, "odd", ValueError, "expected museums in split 'odd', found splits"),
        (3, True, "val", FileNotFoundError, "model3: expected a checkpoint"),
    ],
)
def test_wrong_museums_are_refused(
    folder, index, model, append, split, error, complaint
):
    source = IndexInputs(folder / f"model{model}", str(folder / "store"), (split,))
    with pytest.raises(error, match=complaint):
        build_index(source, index.path, append=append)
    verify_index(open_index(index.path))


def test_a_damaged_index_is_refused(folder, tmp_path):
    source = IndexInputs(folder / "model1", str(folder / "store"), ("val",))
    build_index(source, tmp_path / "index")
    file = tmp_path / "index" / "generation-1" / "vectors.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="vectors.npy: damaged: expected"):
        search(SearchSettings(tmp_path / "index", Query(5, "a")))


def test_the_help_page_has_the_name_that_is_typed(run_module):
    page = succeed(run_module("hm3_jax.search", "--help"))
    assert "Usage: python -m hm3_jax.search --index=VALUE [--flag=value ...]" in page
