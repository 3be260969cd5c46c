"""What people type: queries by concept on generated museums, which know what they show.

python -m benchmarks.concepts [--features=STORE] [--checkpoint=RUN,...] [--split=test]

For every concept that at least ten museums of the split show, and for pairs of them
that ten show in one room, a query of one sentence ("a harbour at night", "a golden
angel") goes the way of a search, and the precision of the first ten is measured: the
share of them that show what was asked for. Models that compare sentences with items
are also asked for the room of each sentence of the descriptions (room_R@1). Beside
each figure stands what chance reaches: the mean share of museums that are relevant, and
of a museum's items that are in the right room.

Without --features, the demo's thousand museums are generated first; without
--checkpoint, only search without training is measured.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from benchmarks.concept_queries import (
    FIRST,
    ConceptQuery,
    concept_queries,
    precision_of_first,
)
from hm3_jax.app.models import load_checkpoint
from hm3_jax.app.query_encoder import describer, encoder_facts
from hm3_jax.data.open_features import open_features
from hm3_jax.data.store import FeatureStore
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.batches.features import load_features
from hm3_jax.learn.evaluation.embed_museums import embed_items, embed_museums
from hm3_jax.learn.evaluation.sentence_rooms import sentence_room_recall
from hm3_jax.learn.evaluation.text_tower import InteractionTower, QueryTower
from hm3_jax.learn.model import Model
from hm3_jax.nn.strategy import hm3_strategy
from hm3_jax.objective.late_interaction import scores_of
from hm3_jax.objective.similarity import COSINE

_DEMO = SyntheticConfig(museums=1000, seed=1)


def measured(
    model: Model,
    store: FeatureStore,
    museums: Int[np.ndarray, " museums"],
    queries: Sequence[ConceptQuery],
    features: Sequence[np.ndarray],
) -> dict[str, Any]:
    """What one model reaches."""
    held = load_features(store, model.config)
    if not model.spec.compares_parts:
        vectors, _ = embed_museums(model, held, museums)
        params = jax.tree.map(np.asarray, dict(model.params["text"]))
        tower = QueryTower(hm3_strategy(model.config).text, params)
        shown = COSINE.prepare(vectors, {})
        return precision_of_first(
            queries, features, lambda rows: COSINE.block(tower([rows]), shown, {})[0]
        )
    embedded = embed_items(model, held, museums)
    interaction = InteractionTower(model)

    def search(rows: np.ndarray) -> np.ndarray:
        (query,) = interaction([rows])
        return scores_of(
            query, embedded, interaction.sharpness, interaction.theme_weight
        )

    found: dict[str, Any] = precision_of_first(queries, features, search)
    rooms = sentence_room_recall(store, museums, interaction, embedded)
    if rooms is not None:
        found["room_R@1"] = {
            "sentences": rooms.sentences,
            "recall": rooms.recall / 100,
            "chance": rooms.chance / 100,
        }
    return found


def features_of(
    queries: Sequence[ConceptQuery], store: FeatureStore
) -> list[Float[np.ndarray, "sentences size"]]:
    """Features of queries, made and rounded as those of the store's sentences."""
    facts: Mapping[str, Any] = encoder_facts(store)
    describe = describer(facts, pretrained=None, device="auto")
    return [
        describe(query.text)[1].astype(facts["dtype"]).astype(np.float32)
        for query in queries
    ]


def main() -> None:
    """Measures, and prints a JSON line a model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--features", help="store that synthesize made")
    parser.add_argument("--checkpoint", default="zero-shot", help="several with commas")
    parser.add_argument("--split", default="test")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.features is None:
            args.features = str(Path(folder) / "store")
            synthesize(args.features, _DEMO)
        store = open_features(args.features)
        museums = np.asarray(store.splits[args.split])
        queries = concept_queries(store, museums, least=FIRST)
        features = features_of(queries, store)
        for name in args.checkpoint.split(","):
            model = load_checkpoint(name, store).model
            found = measured(model, store, museums, queries, features)
            print(json.dumps({"checkpoint": name, **found}))


if __name__ == "__main__":
    main()
