"""Queries by concept for generated museums, and which of them show what is asked."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from hm3_jax.data.concepts import THEMES, ConceptSpace
from hm3_jax.data.store import FeatureStore
from hm3_jax.data.synthetic_plan import SyntheticConfig, SyntheticPlan, plan_museums

FIRST = 10
"""Museums of a ranking that are looked at."""

Search = Callable[[str], Int[np.ndarray, " found"]]
"""The first ten museums that a text finds, best first, by their place in the split."""

# One sentence each, in the words of somebody who looks for something. No other word in
# them names a concept.
_SINGLE = {
    "theme": "{theme} art",
    "style": "a {style} collection",
    "subject": "a picture of a {subject}",
    "object": "a {object} on a table",
    "setting": "a {setting} at night",
    "colour": "something {colour}",
    "technique": "works in {technique}",
    "mood": "a {mood} room",
}
_PAIRS = {
    ("colour", "subject"): "a {colour} {subject}",
    ("colour", "object"): "a {colour} {object}",
    ("subject", "object"): "a {subject} with a {object}",
    ("subject", "setting"): "a {subject} in a {setting}",
    ("mood", "setting"): "a {mood} {setting}",
}


@dataclasses.dataclass(frozen=True, eq=False)
class ConceptQuery:
    """A query whose answers are known.

    Attributes:
        text: one sentence.
        kind: groups of the concepts that it names, joined by "+".
        words: the concepts.
        relevant: whether a museum shows them; of several, in one room.
    """

    text: str
    kind: str
    words: tuple[str, ...]
    relevant: Bool[np.ndarray, " museums"]


def concept_queries(
    store: FeatureStore, museums: Int[np.ndarray, " museums"], least: int
) -> list[ConceptQuery]:
    """Queries for all that enough museums show.

    Args:
        store: that `synthesize` has made.
        museums: numbers of the museums that are searched.
        least: museums that have to show a concept, or a pair of them in one room.

    Raises:
        ValueError: the store was not made by this version of `synthesize`.
    """
    plan, space = plan_of(store)
    shown = _shown(plan, space)
    owner = np.repeat(np.arange(len(plan.themes)), np.diff(plan.room_offsets))
    found = []
    for groups, template in _templates():
        for words in itertools.product(*(space.concepts[group] for group in groups)):
            rooms = shown[:, [space.index[word] for word in words]].all(axis=1)
            relevant = np.bincount(owner, rooms)[museums] > 0
            if relevant.sum() >= least:
                named = dict(zip(groups, words, strict=True))
                text = _with_articles(template.format(**named))
                found.append(ConceptQuery(text, "+".join(groups), words, relevant))
    return found


def precision_of_first(
    queries: Sequence[ConceptQuery], search: Search
) -> dict[str, Any]:
    """Precision of the first ten, and what chance reaches, by kind and over all.

    Where fewer are found, those that lack show nothing.

    Args:
        queries: what is asked, and which museums show it.
        search: finds museums.
    """
    by_kind: dict[str, list[tuple[float, float]]] = {}
    for query in queries:
        shown = query.relevant[search(query.text)].sum()
        found = shown / FIRST, query.relevant.mean()
        for kind in (query.kind, "pairs" if "+" in query.kind else "single", "all"):
            by_kind.setdefault(kind, []).append(found)
    return {
        kind: {
            "queries": len(found),
            "precision": float(np.mean([precision for precision, _ in found])),
            "chance": float(np.mean([share for _, share in found])),
        }
        for kind, found in sorted(by_kind.items())
    }


def plan_of(store: FeatureStore) -> tuple[SyntheticPlan, ConceptSpace]:
    """The plan that a generated store was made by, made again.

    Raises:
        ValueError: the store was not made by this version of `synthesize`.
    """
    origin = dict(store.manifest.origin)
    fault = (
        f"{store.path}: expected generated museums that this version of synthesize "
        f"makes, found {store.dataset_name!r}"
    )
    if origin.pop("source", None) != "synthesize":
        raise ValueError(fault)
    try:
        config = SyntheticConfig(**origin)
    except TypeError as error:
        raise ValueError(f"{fault}: {error}") from None
    space = ConceptSpace(config.concept_seed, config.feature_size)
    plan = plan_museums(config, space)
    themes = [THEMES[theme] for theme in plan.themes]
    same = np.array_equal(plan.room_offsets, store.room_offsets) and themes == [
        store.themes[theme] for theme in store.theme_index
    ]
    if not same:
        raise ValueError(f"{fault} with other rooms")
    return plan, space


def _templates() -> Iterator[tuple[tuple[str, ...], str]]:
    single: Mapping[tuple[str, ...], str] = {(g,): t for g, t in _SINGLE.items()}
    yield from {**single, **_PAIRS}.items()


def _shown(
    plan: SyntheticPlan, space: ConceptSpace
) -> Bool[np.ndarray, "rooms concepts"]:
    """Which room shows which concept, its museum's theme among them."""
    rooms = len(plan.concepts)
    shown = np.zeros((rooms, len(space.index)), bool)
    shown[np.arange(rooms)[:, None], plan.concepts] = True
    themes = np.repeat(plan.themes, np.diff(plan.room_offsets))
    shown[np.arange(rooms), space.index[THEMES[0]] + themes] = True
    return shown


def _with_articles(text: str) -> str:
    words: Sequence[str] = text.split()
    return " ".join(
        "an" if word == "a" and after[0] in "aeiou" else word
        for word, after in itertools.zip_longest(words, words[1:], fillvalue="-")
    )
