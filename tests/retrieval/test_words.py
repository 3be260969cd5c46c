"""Search by words against a plain loop, and what people may type."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.retrieval.fusion import fuse
from hm3_jax.retrieval.words import Found, Told, Words, write_words

TOLD = [
    Told("m-0", "", ["A golden angel stands.", "The harbour is seen at night."]),
    Told("m-1", "Angels & harbours", ["Two angels.", "One harbour, one angel."]),
    Told("m-2", "", []),
    Told("m-3", "Musée d'Été", ["Ships sail to a harbour; sailors sing of Été."]),
    Told("m-4", "", ["An unrelated still-life with lemons."]),
    *(Told(f"n-{i}", "", ["In a room that is the other's."]) for i in range(25)),
]


def written(path: Path, museums: Sequence[Told]) -> Words:
    assert write_words(path / "words.sqlite", museums)
    return Words.open(path / "words.sqlite")


@pytest.fixture
def words(tmp_path: Path) -> Words:
    return written(tmp_path, TOLD)


def test_stems_without_diacritics_titles_and_ids(words: Words) -> None:
    assert len(words) == 30
    assert words.find("sailing", 9).rows == [3]
    assert words.find("ete MUSEE", 9).rows == [3]
    assert words.find("lemon", 9).rows == [4]
    assert words.find("m-2", 9).rows == [2]
    assert set(words.find("harbours angel", 9).rows) == {0, 1, 3}
    # Most have a room, and the small words of English say nothing.
    assert words.find("an angel of that is in the room", 9).rows == [1, 0]
    assert words.find("an echo of that is in the room", 9).rows == []
    assert words.find("nothing", 9).rows == []


def test_ranks_are_those_of_bm25(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vocabulary = [f"w{i}q" for i in range(12)]
    texts = [
        [vocabulary[i] for i in rng.choice(12, rng.integers(4, 12), replace=False)]
        for _ in range(60)
    ]
    museums = [Told("", "", [" ".join(text)]) for text in texts]
    asked = ["w3q", "w7q", "w11q"]

    def bm25(text: list[str]) -> float:
        total, mean = 0.0, sum(map(len, texts)) / len(texts)
        for word in asked:
            having = sum(word in other for other in texts)
            weight = math.log((len(texts) - having + 0.5) / (having + 0.5))
            count = text.count(word)
            length = 1 - 0.75 + 0.75 * len(text) / mean
            total += max(weight, 1e-6) * count * 2.2 / (count + 1.2 * length)
        return total

    scores = np.array([bm25(text) for text in texts])
    every = np.array([set(asked) <= set(text) for text in texts])
    # Short texts have their words together.
    tiers = [every & (scores >= scores[every].max() / 4), scores >= scores.max() / 4]
    wanted = list(
        dict.fromkeys(
            row
            for tier in tiers
            for row in sorted(np.flatnonzero(tier), key=lambda row: -scores[row])
        )
    )
    words = written(tmp_path, museums)
    found = words.find(" ".join(asked), 99)
    assert found.rows == wanted
    assert 2 < found.together == tiers[0].sum() < len(wanted)
    assert words.find(" ".join(asked), 3) == (wanted[:3], 3)
    even = words.find(
        " ".join(asked), 5, lambda rows: {row for row in rows if row % 2 == 0}
    ).rows
    assert even == [row for row in wanted if row % 2 == 0][:5]


def test_words_of_one_sentence_are_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    asked = ["angel", "golden", "harbour"]
    texts = []
    for _ in range(60):
        places = np.sort(rng.choice(40, 3, replace=False))
        text = [f"x{i}" for i in range(40)]
        for place, word in zip(places, rng.permutation(asked), strict=True):
            text[place] = str(word)
        texts.append(text)

    def between(text: list[str]) -> int:
        places = [text.index(word) for word in asked]
        return max(places) - min(places) - 1

    museums = [Told("", "", [" ".join(text)]) for text in texts]
    # Words that most have would not count.
    words = written(tmp_path, museums + [Told("", "", ["nothing"])] * 70)
    for filler, most in (("", 10), (" the of in a" * 5, 23)):
        found = words.find(" ".join(asked) + filler, 99)
        together = {i for i, text in enumerate(texts) if between(text) <= most}
        assert set(found.rows[: found.together]) == together
        assert 2 < len(together) < len(found.rows) == 60


def test_words_that_most_museums_have_do_not_count(tmp_path: Path) -> None:
    museums = [
        Told(f"{i}", "", [f"A museum of the {'sea' if i % 4 else 'moon'}"])
        for i in range(40)
    ]
    words = written(tmp_path, museums)
    assert words.find("a museum of the moon", 99).rows == list(range(0, 40, 4))
    # Unless there is nothing else.
    assert words.find("a museum", 99).rows == list(range(40))


@pytest.mark.parametrize(
    "text",
    [
        'angel" OR "',
        "angel AND",
        "NOT angel",
        "angel*",
        "{title}: angel",
        "title:angel ^angel angel",
        "NEAR(angel, x)",
        "-angel (angel",
        "'; DROP TABLE words; -- angel",
        '" angel',
        "angel " + "x " * 5000,
    ],
)
def test_what_people_type_has_no_syntax(words: Words, text: str) -> None:
    assert {0, 1} >= set(words.find(text, 9).rows)
    passages = words.passages(text, dict(enumerate(TOLD)))
    assert set(passages) == set(words.find(text, 9).rows)
    assert words.find("angel", 9).rows == [1, 0]


@pytest.mark.parametrize("text", ['"', "... ?! *", "\u0301", "(((", "\U0001f600"])
def test_what_says_nothing_finds_nothing(words: Words, text: str) -> None:
    assert words.find(text, 9).rows == []
    assert words.passages(text, {0: TOLD[0]}) == {}


def test_passages_show_the_words_in_their_sentence(words: Words) -> None:
    told = {
        7: TOLD[0],
        8: TOLD[3],
        9: TOLD[4],
        5: Told("m-5", "", ["\x02Angel\x03 " * 90]),
    }
    found = words.passages("Angels, ETE", told)
    assert found[7] == ("A golden ", "angel", " stands.")
    assert found[8] == ("Musée d'", "Été", "")
    assert 9 not in found
    assert words.share("Angels, ETE", found[7]) == 0.5
    assert words.share("the angels in a room that is nowhere", ("", "x")) == 0.5
    assert words.share("", ()) == 0
    assert "".join(found[5]).startswith("Angel Angel") and len("".join(found[5])) < 250


def test_a_passage_has_all_the_words_where_one_sentence_does(words: Words) -> None:
    one, both = "Angels, angel, angel.", "By a harbour, as is told at length, an angel."
    museum = Told("x", "", [one, both, "One harbour."])
    (passage,) = words.passages("harbour angel", {0: museum}).values()
    assert "".join(passage) == both and passage[1::2] == ("harbour", "angel")
    (passage,) = words.passages("angel sailing", {0: museum}).values()
    assert "".join(passage) == one


def test_without_descriptions_there_is_no_file(tmp_path: Path) -> None:
    assert not write_words(tmp_path / "words.sqlite", [Told("a", "A title", [])])
    assert list(tmp_path.iterdir()) == []


def test_the_same_museums_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_words(tmp_path / name, TOLD)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_in_memory_it_finds_the_same(tmp_path: Path, words: Words) -> None:
    file = tmp_path / "words.sqlite"
    loaded = Words.of_bytes(file.read_bytes())
    # Nothing that happens to the file changes what is open.
    file.unlink()
    for found in (words, loaded):
        assert found.find("angel", 9).rows == [1, 0]


def test_damage_is_said(tmp_path: Path) -> None:
    write_words(tmp_path / "words", TOLD)
    content = (tmp_path / "words").read_bytes()
    damaged = content[:4096] + b"\xff" * (len(content) - 4096)
    with pytest.raises(RuntimeError, match="words of the index: damaged"):
        Words.of_bytes(damaged).find("harbour", 9)


def test_fused_ranks_are_sums_of_reciprocals() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.permutation(40)[:20].tolist()
    words = rng.permutation(40)[:15].tolist()
    merit = {
        row: sum(
            1 / (61 + found.index(row)) for found in (pictures, words) if row in found
        )
        for row in {*pictures, *words}
    }
    found = fuse(pictures, Found(words, 0), 12)
    assert [merit[one.row] for one in found] == sorted(merit.values())[:-13:-1]
    for row, found_by in found:
        assert ("words" in found_by) == (row in words)
        assert ("pictures" in found_by) == (row in pictures[:12] or row not in words)


def test_some_of_the_words_do_not_count_where_all_are_together() -> None:
    pictures, words = [5, 6, 7], [1, 2, 6, 3, 7]
    assert [one.row for one in fuse(pictures, Found(words, 2), 9)] == [1, 5, 2, 6, 7]
    found = fuse(pictures, Found(words, 3), 2)
    assert found == [(6, ("pictures", "words")), (1, ("words",))]
    assert fuse(pictures, Found([], 0), 1) == [(5, ("pictures",))]
