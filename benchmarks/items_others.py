"""Other searches of many vectors a museum, for `benchmarks.items`, if installed.

They know the plain maximum over items, no soft one, and no theme.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from hm3_jax.objective.late_interaction import QueryVectors

Museums = Sequence[np.ndarray]
"""Items of each museum, float32, of length 1."""
Found = Callable[[], Sequence[int]]
"""Searches once; the rows of the best museums."""


def qdrant(museums: Museums, query: QueryVectors, top_k: int) -> Found:
    """Qdrant's embedded mode, exact."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection(
        "museums",
        vectors_config=models.VectorParams(
            size=museums[0].shape[1],
            distance=models.Distance.DOT,
            multivector_config=models.MultiVectorConfig(
                comparator=models.MultiVectorComparator.MAX_SIM
            ),
        ),
    )
    client.upsert(
        "museums",
        [
            models.PointStruct(id=row, vector=items.tolist())
            for row, items in enumerate(museums)
        ],
    )

    def found() -> Sequence[int]:
        points = client.query_points("museums", query.sentences.tolist(), limit=top_k)
        return [int(point.id) for point in points.points]

    return found


def maxsim_cpu(museums: Museums, query: QueryVectors, top_k: int) -> Found:
    """maxsim-cpu, exact in float32; it takes lists of arrays."""
    scores_of = importlib.import_module("maxsim_cpu").maxsim_scores_variable
    held = list(museums)

    def found() -> Sequence[int]:
        scores = scores_of(query.sentences, held)
        return np.argsort(-scores, kind="stable")[:top_k].tolist()

    return found


def fast_plaid(museums: Museums, query: QueryVectors, top_k: int) -> Found:
    """fast-plaid, which compresses items and looks at some museums only."""
    import torch

    search = importlib.import_module("fast_plaid.search")
    folder = tempfile.TemporaryDirectory()
    index = search.FastPlaid(index=folder.name, device="cpu")
    index.create(documents_embeddings=[torch.from_numpy(items) for items in museums])
    asked = torch.from_numpy(query.sentences)[None]

    def found() -> Sequence[int]:
        _ = folder  # lasts as long as the search
        (best,) = index.search(queries_embeddings=asked, top_k=top_k)
        return [int(row) for row, _ in best]

    return found


OTHERS = {"qdrant": qdrant, "maxsim_cpu": maxsim_cpu, "fast_plaid": fast_plaid}
"""By name."""
