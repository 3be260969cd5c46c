"""Free descriptions ranked against the museums of a split by a model."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from hm3_jax.app.describers import Describe, describer, encoder_facts
from hm3_jax.app.embedding import EmbeddedMuseums, embed_museums, score
from hm3_jax.app.query_encoder import EmbeddedQuery, QueryEncoder, tower_of_model
from hm3_jax.data.store import FeatureStore
from hm3_jax.files.json_files import json_text
from hm3_jax.files.lines import text_file, write_text
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.objective.metric_table import (
    METRICS,
    Relevance,
    found_in,
    scores_of_queries,
)
from hm3_jax.objective.similarity import COSINE
from hm3_jax.reporting.query_scores import in_ranked_order, ranked
from hm3_jax.retrieval.query_file import WrittenQuery

# Queries that are ranked at a time.
_BLOCK = 128


@dataclasses.dataclass(frozen=True, slots=True)
class RankedQuery:
    """A query and the museums it found.

    Attributes:
        id: Of the query.
        text: Of the query.
        sentences: What it was cut into.
        museums: Ids of the best museums, best first.
        scores: Their cosines, or what else the model compares by.
        own: Scores by the museums it describes, by the metric's name; empty where they
            are not known or not in the split. With one such museum they are what the
            published metrics are; with several, mAP is average precision, avg_ndcg has
            gain 1 for each, and ranks and R@k are those of the best one.
        theme: Scores by the theme it describes; likewise.
    """

    id: str
    text: str
    sentences: Sequence[str]
    museums: Sequence[str]
    scores: Sequence[float]
    own: Mapping[str, float]
    theme: Mapping[str, float]


class QueryRanker:
    """Queries of a file, whose features are made once for all models."""

    def __init__(
        self,
        queries: Sequence[WrittenQuery],
        store: FeatureStore,
        *,
        top_k: int,
        pretrained: str | None = None,
        device: str = "auto",
    ):
        """Loads the text encoder of the store's features.

        Args:
            queries: At least one.
            store: Whose museums are ranked.
            top_k: Museums to list for each query.
            pretrained: As for `QueryEncoder.of_index`.
            device: As for `QueryEncoder.of_index`.

        Raises:
            ValueError: If a query names a museum or theme that the store has not, or
                as `QueryEncoder.of_index`.
            FileNotFoundError: As `QueryEncoder.of_index`.
            ModuleNotFoundError: As `QueryEncoder.of_index`.
        """
        _check_known(queries, store)
        self._queries, self._store, self._top_k = queries, store, top_k
        facts = encoder_facts(store)
        self._dtype = facts["dtype"]
        describe = describer(facts, pretrained=pretrained, device=device)
        self._describe: Describe = functools.cache(describe)

    def embed(self, saved: Checkpoint) -> list[EmbeddedQuery]:
        """The queries, embedded.

        Raises:
            ValueError: If a query says nothing to the encoder, or too much; the message
                names its place.
        """
        encoder = QueryEncoder(self._describe, tower_of_model(saved.model), self._dtype)
        embedded = []
        for query in self._queries:
            try:
                embedded += encoder.encode([query.text])
            except ValueError as error:
                raise ValueError(f"{query.where}: {error}") from None
        return embedded

    def rank(
        self,
        saved: Checkpoint,
        museums: Float[np.ndarray, "museums d"],
        split: str,
    ) -> list[RankedQuery]:
        """Ranks the museums of a split for each query.

        Args:
            saved: A model, whose text tower embeds the queries.
            museums: The split's museums, embedded by the same model, any lengths; not
                read where the model embeds items.
            split: Of the store.

        Raises:
            ValueError: As `embed`.
        """
        embedded = self.embed(saved)
        sentences = [list(query.sentences) for query in embedded]
        members = np.asarray(self._store.splits[split])
        ids = np.array([self._store.ids[i] for i in members], object)
        similarities = self._compared(saved, embedded, museums, members)
        found = []
        for first in range(0, len(embedded), _BLOCK):
            rows = slice(first, first + _BLOCK)
            similarity = similarities(rows)
            best = ranked(similarity, self._top_k)
            queries = self._queries[rows]
            for query, cut, row, items in zip(
                queries, sentences[rows], similarity, best, strict=True
            ):
                described = np.isin(ids, query.relevant)
                of_theme = self._of_theme(query, members)
                found.append(
                    RankedQuery(
                        id=query.id,
                        text=query.text,
                        sentences=cut,
                        museums=ids[items].tolist(),
                        scores=row[items].tolist(),
                        own=_scores("own", row, described),
                        theme=_scores("theme", row, of_theme),
                    )
                )
        return found

    def _compared(
        self,
        saved: Checkpoint,
        queries: Sequence[EmbeddedQuery],
        museums: Float[np.ndarray, "museums d"],
        members: Int[np.ndarray, " museums"],
    ) -> Callable[[slice], Float[np.ndarray, "rows museums"]]:
        """What compares some of the queries with all museums."""
        shown = EmbeddedMuseums(COSINE.prepare(museums, {}))
        if saved.model.spec.compares_parts:
            shown = embed_museums(saved, self._store, members)
        return lambda rows: score(queries[rows], shown)

    def _of_theme(
        self, query: WrittenQuery, members: Int[np.ndarray, " museums"]
    ) -> Bool[np.ndarray, " museums"]:
        if query.theme is None:
            return np.zeros(len(members), bool)
        number = self._store.themes.index(query.theme)
        return np.asarray(self._store.theme_index[members]) == number


def query_metrics(found: Sequence[RankedQuery]) -> dict[str, Any]:
    """Means over the queries that say what they describe.

    Returns:
        The number of queries, of those that name museums and of those that name a
        theme, and the means under the published keys; without a mean where no query
        has it.
    """
    by_museum = [query.own for query in found if query.own]
    by_theme = [query.theme for query in found if query.theme]
    return {
        "queries": len(found),
        "with_relevant": len(by_museum),
        "with_theme": len(by_theme),
        "metrics": _means(by_museum) | _means(by_theme),
    }


def write_ranked(folder: Path, found: Sequence[RankedQuery]) -> None:
    """Writes `rankings.jsonl`, one query a line, and `query_metrics.json`."""
    with text_file(folder / "rankings.jsonl") as file:
        for query in found:
            line = {
                "id": query.id,
                "text": query.text,
                "sentences": list(query.sentences),
                "museums": list(query.museums),
                "scores": list(query.scores),
            }
            given = {**query.own, **query.theme}
            if given:
                line["metrics"] = {
                    "rank" if name == "mean_rank" else name: score
                    for name, score in given.items()
                    if name != "median_rank"
                }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    write_text(folder / "query_metrics.json", json_text(query_metrics(found)))


def _scores(
    relevance: Relevance,
    similarity: Float[np.ndarray, " museums"],
    relevant: Bool[np.ndarray, " museums"],
) -> dict[str, float]:
    if not relevant.any():
        return {}
    found = found_in(in_ranked_order(similarity[None], relevant[None]))
    scores = scores_of_queries({relevance: found})
    return {name: float(score) for name, (score,) in scores.items()}


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metrics of queries that have scores of one kind; none of no queries."""
    return {
        f"t2s_{metric.name}": metric.summary(
            np.array([score[metric.name] for score in scores])
        )
        for metric in METRICS
        if scores and metric.name in scores[0]
    }


def _check_known(queries: Sequence[WrittenQuery], store: FeatureStore) -> None:
    ids = set(store.ids)
    for query in queries:
        for name in query.relevant:
            if name not in ids:
                raise ValueError(
                    f"{query.where}: expected relevant museums of {store.path}, found "
                    f"{name!r}"
                )
        if query.theme is not None and query.theme not in store.themes:
            raise ValueError(
                f"{query.where}: expected a theme of {store.path}, found "
                f"{query.theme!r}"
            )
