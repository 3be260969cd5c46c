"""What people type: queries by concept on generated museums, which know what they show.

python -m benchmarks.concepts [--features=STORE] [--checkpoint=RUN,...] [--split=test]
  [--index=INDEX,...]

For every concept that at least ten museums of the split show, and for pairs of them
that ten show in one room, a query of one sentence ("a harbour at night", "a golden
angel") goes the way of a search, and the precision of the first ten is measured: the
share of them that show what was asked for. Models that compare sentences with items
are also asked for the room of each sentence of the descriptions (room_R@1). Beside
each figure stands what chance reaches: the mean share of museums that are relevant, and
of a museum's items that are in the right room.

An index of all museums of the store is asked as `search` asks it, by pictures, by words
and by both: only there descriptions are known.

Without --features, the demo's thousand museums are generated first; without
--checkpoint, only search without training is measured.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import Int

from benchmarks.concept_queries import FIRST, concept_queries, precision_of_first
from hm3_jax.app.index_building import embed_store
from hm3_jax.app.models import load_checkpoint
from hm3_jax.app.open_index import open_index
from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.data.open_features import open_features
from hm3_jax.data.store import FeatureStore
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.evaluation.sentence_rooms import sentence_room_recall
from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.server.collection import Match, Query

_DEMO = SyntheticConfig(museums=1000, seed=1)


def measured(saved: Checkpoint, store: FeatureStore, split: str) -> dict[str, Any]:
    """What one model reaches on a split."""
    museums = np.asarray(store.splits[split])
    held = embed_store(saved, store, [split]).museums
    encoder, found = QueryEncoder.of_store(saved, store), exact_search(held)

    def search(text: str) -> Int[np.ndarray, " found"]:
        (hits,) = found.search(encoder([text]), FIRST)
        return hits.rows

    queries = concept_queries(store, museums, least=FIRST)
    figures: dict[str, Any] = precision_of_first(queries, search)
    if isinstance(held, ItemMuseums):
        tower = InteractionTower(saved.model)
        rooms = sentence_room_recall(store, museums, tower, held.embedded)
        if rooms is not None:
            figures["room_R@1"] = {
                "sentences": rooms.sentences,
                "recall": rooms.recall / 100,
                "chance": rooms.chance / 100,
            }
    return figures


def matched(index: str, store: FeatureStore) -> dict[str, Any]:
    """What each way to find museums reaches in an index of all museums of a store."""
    rows = {museum: row for row, museum in enumerate(store.ids)}
    queries = concept_queries(store, np.arange(len(rows)), least=FIRST)
    figures: dict[str, Any] = {}
    with open_index(index) as opened:
        for way in get_args(Match):

            def search(text: str, way: Match = way) -> Int[np.ndarray, " found"]:
                asked = Query(text=text, top_k=FIRST, match=way)
                hits = opened.search(asked).hits
                return np.array([rows[hit.id] for hit in hits], np.int64)

            figures[way] = precision_of_first(queries, search)
    return figures


def main() -> None:
    """Measures, and prints a JSON line a model and an index."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--features", help="store that synthesize made")
    parser.add_argument("--checkpoint", default="zero-shot", help="several with commas")
    parser.add_argument("--split", default="test")
    parser.add_argument("--index", help="indexes of the store, several with commas")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.features is None:
            args.features = str(Path(folder) / "store")
            synthesize(args.features, _DEMO)
        store = open_features(args.features)
        for name in args.checkpoint.split(","):
            found = measured(load_checkpoint(name, store), store, args.split)
            print(json.dumps({"checkpoint": name, **found}))
        for name in args.index.split(",") if args.index else ():
            print(json.dumps({"index": name, **matched(name, store)}))


if __name__ == "__main__":
    main()
