"""Metrics and losses of a split for several runs at once."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from hm3_jax.learn.batches.placement import PlacedFeatures
from hm3_jax.learn.batches.plan import MuseumSizes, in_batches
from hm3_jax.learn.batches.spans import QUERY_SEED, spans_of_length
from hm3_jax.learn.devices.mesh import BY_RUN, EVERYWHERE, Layout
from hm3_jax.learn.evaluation.embed import (
    TOWERS,
    Tower,
    TowerPlan,
    embed_tower,
    of_one_size,
    plan_tiles,
    plan_tower,
)
from hm3_jax.learn.evaluation.pairs import (
    PairScores,
    rank_pairs,
    score_pairs,
)
from hm3_jax.learn.evaluation.scoring import Embeddings, batch_losses, rank_embeddings
from hm3_jax.learn.model import ModelSpec
from hm3_jax.learn.saved.run_folder import Tested
from hm3_jax.objective.loss import Loss
from hm3_jax.objective.metrics import summarise

# Large enough for full speed, small enough for little padding.
EMBED_BATCH = 64


class Split:
    """Some museums of a store, planned once and evaluated many times."""

    def __init__(
        self,
        source: PlacedFeatures,
        counts: MuseumSizes,
        themes: Int[np.ndarray, " all_museums"],
        museums: Int[np.ndarray, " museums"],
        name: str,
        layout: Layout,
    ):
        """Plans the batches.

        Args:
            source: features of the store.
            counts: of the same features.
            themes: theme of every museum of the store.
            museums: numbers of the museums, in the order results are wanted in.
            name: what messages call the split.
            layout: of the devices.

        Raises:
            ValueError: there is no museum.
        """
        self._name, self._layout = name, layout
        # Any numbers are fine: only equality matters.
        self.themes = np.unique(themes[museums], return_inverse=True)[1].astype(
            np.int32
        )
        self._placed_themes = layout.put(self.themes, EVERYWHERE)
        self._source, self._counts, self._museums = source, counts, museums
        self._plans = functools.cache(
            lambda in_tiles: [self._planned(tower, in_tiles) for tower in TOWERS]
        )

    def _planned(
        self,
        tower: Tower,
        in_tiles: bool,
        spans: Int[np.ndarray, "all_museums 2"] | None = None,
    ) -> TowerPlan:
        counts, museums = self._counts, self._museums
        source, layout = self._source, self._layout
        if in_tiles:
            return plan_tiles(tower, counts, museums, source, layout, spans)
        return plan_tower(tower, counts, museums, EMBED_BATCH, source, layout, spans)

    def embed(
        self, params: Mapping[str, Any], active: Array, spec: ModelSpec
    ) -> Embeddings | PairScores:
        """Embeds descriptions and museums with the parameters of every active run.

        Models that compare sentences with items also compare all pairs: their vectors
        are too many to keep.
        """
        (whole,) = self.by_length(params, active, spec)
        return whole

    def by_length(
        self,
        params: Mapping[str, Any],
        active: Array,
        spec: ModelSpec,
        lengths: Sequence[int] = (),
        seed: int = QUERY_SEED,
    ) -> Iterator[Embeddings | PairScores]:
        """`embed`, and again with some consecutive sentences of each description.

        Museums are embedded once.

        Args:
            params: with a leading axis of slots.
            active: runs that are wanted.
            spec: structure of the model.
            lengths: numbers of sentences; all of a description that has fewer.
            seed: where they begin, see `spans_of_length`.

        Yields:
            Whole descriptions; then each length.
        """
        in_tiles = spec.compares_parts
        text, scene = self._plans(in_tiles)
        of_lengths = [
            self._planned(
                "text", in_tiles, spans_of_length(self._counts.sentences, n, seed=seed)
            )
            for n in lengths
        ]
        museums = embed_tower(params, active, scene, self._layout, spec=spec)
        for plan in (text, *of_one_size(of_lengths, self._counts, self._source)):
            descriptions = embed_tower(params, active, plan, self._layout, spec=spec)
            if not in_tiles:
                yield Embeddings.of(descriptions, museums, active, params, spec)
                continue
            yield score_pairs(
                descriptions,
                museums,
                params,
                active,
                count=len(self.themes),
                spec=spec,
                layout=self._layout,
            )

    def metrics(
        self, embeddings: Embeddings | PairScores, theme_weight: float = 0.0
    ) -> list[dict[str, float] | str]:
        """Retrieval metrics of every slot, published keys, see `retrieval_metrics`.

        Args:
            embeddings: of this split.
            theme_weight: how much a shared theme counts, in models that tell
                themes apart.

        Returns:
            A dictionary for each slot (of meaningless numbers where the slot is not
            active), or what is wrong with the slot's embeddings: the first row that is
            not finite.
        """
        if isinstance(embeddings, PairScores):
            found = rank_pairs(
                embeddings.weighted(theme_weight),
                embeddings.active,
                self._placed_themes,
                layout=self._layout,
            )
        else:
            found = rank_embeddings(
                embeddings, self._placed_themes, layout=self._layout
            )
        scores, bad_rows = self._layout.fetch(found)
        return [
            self._fault(rows)
            or summarise(*jax.tree.map(lambda x, place=place: x[place], scores))
            for place, rows in enumerate(bad_rows)
        ]

    def _fault(self, bad_rows: Int[np.ndarray, " 2"]) -> str:
        for what, row in zip(("descriptions", "museums"), bad_rows, strict=True):
            if row >= 0:
                return (
                    f"{self._name}: {what}: expected finite embeddings, found row "
                    f"{row} with NaN, infinity or a length beyond float32"
                )
        return ""

    def test(
        self,
        params: Mapping[str, Any],
        spec: ModelSpec,
        theme_weights: Sequence[float] = (),
        lengths: Sequence[int] = (),
        seed: int = QUERY_SEED,
    ) -> list[Tested]:
        """Embeds the split with some models and scores it.

        Args:
            params: of the models, on the host, with a leading axis of as many as the
                layout was made for.
            spec: structure of the models.
            theme_weights: how much a shared theme counts: one that replaces the
                model's, or several to test with besides it.
            lengths: of queries to test as well, see `by_length`.
            seed: of their sentences.

        Raises:
            ValueError: an embedding is not finite; the message names split and row.
        """
        count = jax.tree.leaves(params)[0].shape[0]
        places = np.arange(self._layout.slots(count)) % count
        filled = jax.tree.map(lambda x: np.asarray(x)[places], params)
        active = np.arange(len(places)) < count
        weight = theme_weights[0] if len(theme_weights) == 1 else spec.theme_weight
        every = self.by_length(
            self._layout.put(filled, BY_RUN),
            self._layout.put(active, BY_RUN),
            spec,
            lengths,
            seed,
        )
        whole = next(every)
        outputs = self._outputs(whole, weight, count)
        # One alone has replaced the model's, and is tested as such.
        others = theme_weights if len(theme_weights) > 1 else ()
        weighted = [self.metrics(whole, one) for one in others]
        found = [self.metrics(one, weight) for one in itertools.chain([whole], every)]
        tested = []
        for place, arrays in enumerate(outputs):
            metrics, *parts = (_sound(of_runs[place]) for of_runs in found)
            by_length = dict(zip(lengths, parts, strict=True))
            by_weight = zip(others, weighted, strict=True)
            tested.append(
                Tested(
                    metrics,
                    *arrays,
                    by_length=by_length,
                    by_theme_weight={w: _sound(of[place]) for w, of in by_weight},
                )
            )
        return tested

    def _outputs(
        self, embeddings: Embeddings | PairScores, weight: float, count: int
    ) -> list[tuple[np.ndarray, ...]]:
        """What is kept of the first slots besides metrics, as `Tested` has it."""
        if isinstance(embeddings, PairScores):
            matrices = self._layout.fetch(embeddings.weighted(weight))
            none = np.empty((len(self.themes), 0), np.float32)
            return [(none, none, matrix) for matrix in matrices[:count]]
        both = self._layout.fetch((embeddings.descriptions, embeddings.museums))
        return list(zip(*(x[:count] for x in both), strict=True))

    def loss(
        self,
        embeddings: Embeddings | PairScores,
        batch_size: int,
        loss: Loss,
        numbers: Any,
        keys: Array,
    ) -> Float[np.ndarray, " slots"]:
        """Mean loss over the split's batches, with the training loss's settings.

        Args:
            embeddings: of this split.
            batch_size: museums of a batch, in the order of the split; the last batch
                may be smaller.
            loss: structure of the loss.
            numbers: of the loss, of every run.
            keys: random key of every run, for losses that draw.
        """
        batches = in_batches(np.arange(len(self.themes), dtype=np.int32), batch_size)
        if isinstance(embeddings, PairScores):
            compared, scores = (embeddings.scores,), None
        else:
            compared = (embeddings.descriptions, embeddings.museums)
            scores = embeddings.scores
        losses = batch_losses(
            compared,
            embeddings.active,
            embeddings.params,
            self._placed_themes,
            self._layout.put(batches, EVERYWHERE),
            numbers,
            keys,
            scores=scores,
            loss=loss,
            layout=self._layout,
        )
        return np.asarray(self._layout.fetch(losses))


def _sound(metrics: dict[str, float] | str) -> dict[str, float]:
    if isinstance(metrics, str):
        raise ValueError(metrics)
    return metrics
