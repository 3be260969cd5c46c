"""A small index with random vectors, and with a text tower that nobody trained."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from safetensors.numpy import save

from hm3_jax.app.query_encoder import TEXT_TOWER
from hm3_jax.data.concepts import ConceptSpace
from hm3_jax.nn.recurrent import RecurrentEncoder
from hm3_jax.nn.strategy import hm3_strategy
from hm3_jax.nn.strategy_json import parse_strategy
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.index_writer import create_index
from hm3_jax.retrieval.museums import Museums, pack_details

THEMES = ("marine", "portrait")
ROOMS = (1, 2, 3)
STRATEGY = (
    Path(__file__).resolve().parents[2]
    / "configs/strategies/pov_and_video/hier_by_room_rnn_meanPoolProc_video.json"
)


def write_small_index(path: Path, museums: int = 12) -> None:
    """Museum i has 1, 2 or 3 rooms in turn, and every other one the same theme."""
    strategy = json.loads(STRATEGY.read_text())
    config = hm3_strategy(parse_strategy(strategy, str(STRATEGY))).text
    tower = RecurrentEncoder(config, rngs=nnx.Rngs(0))
    params = nnx.to_pure_dict(nnx.state(tower, nnx.Param))
    rng = np.random.default_rng(0)
    rooms = [ROOMS[i % 3] for i in range(museums)]
    details, offsets = pack_details(
        [
            {
                "title": f"Museum {i}",
                "description": [f"Sentence {i}."],
                "rooms": [{"views": 12, "images": 1}] * count,
            }
            for i, count in enumerate(rooms)
        ]
    )
    size = config.hidden_size
    facts = ConceptSpace(1, config.in_size).facts("words", "none")
    encoder = {
        "features": dataclasses.asdict(facts),
        "language": "en",
        "dtype": "float16",
    }
    create_index(
        path,
        Museums(
            ids=[f"museum/{i}" for i in range(museums)],
            themes=THEMES,
            theme_index=(np.arange(museums) % 2).astype(np.int32),
            vectors=unit(rng.normal(size=(museums, size))).astype(np.float32),
            room_offsets=np.cumsum([0, *rooms], dtype=np.int64),
            rooms=unit(rng.normal(size=(sum(rooms), size))).astype(np.float16),
            details=details,
            details_offsets=offsets,
        ),
        IndexFacts({"strategy": strategy}, encoder, {}),
        {TEXT_TOWER: save(jax.tree.map(np.asarray, dict(params)))},
    )
