"""The text tower by itself: embeds descriptions that come in one by one, as queries do.

Compiled once for each of few sizes, so that a query takes milliseconds.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from hm3_jax.nn.packing import pack
from hm3_jax.nn.ragged import Ragged
from hm3_jax.nn.recurrent import RecurrentEncoder
from hm3_jax.nn.strategy import RecurrentConfig

# Sizes that are compiled: descriptions of a call (larger calls are cut), and sentences,
# the first of them and its products with powers of the factor.
_DESCRIPTIONS = (1, 8, 64)
_FIRST_SENTENCES, _FACTOR = 16, 4


class QueryTower:
    """A trained text tower, ready to embed queries."""

    def __init__(self, config: RecurrentConfig, params: Mapping[str, Any]):
        """Puts the parameters on the default device.

        Args:
            config: of the tower.
            params: its arrays by name, float32: a model's `params["text"]`.

        Raises:
            ValueError: parameters are missing, unknown or of a wrong shape.
        """
        self.config = config
        abstract = nnx.eval_shape(lambda: RecurrentEncoder(config, rngs=nnx.Rngs(0)))
        self._graph = nnx.graphdef(abstract)
        state = nnx.to_pure_dict(nnx.state(abstract, nnx.Param))
        wanted = {name: leaf.shape for name, leaf in state.items()}
        found = {name: np.shape(array) for name, array in params.items()}
        if found != wanted:
            raise ValueError(
                f"expected the parameters of a text tower, {wanted}, found {found}"
            )
        self._params = jax.device_put(dict(params))

    def __call__(
        self, descriptions: Sequence[Float[np.ndarray, "_sentences in_size"]]
    ) -> Float[np.ndarray, "descriptions d"]:
        """Embeds descriptions.

        Args:
            descriptions: sentence features of each, in order, float32; none of them
                empty.

        Returns:
            float32, not normalised.
        """
        most = _DESCRIPTIONS[-1]
        parts = [
            self._embed(descriptions[first : first + most])
            for first in range(0, len(descriptions), most)
        ]
        return np.concatenate(
            [np.empty((0, self.config.hidden_size), np.float32), *parts]
        )

    def warm_up(self, sentences: int) -> None:
        """Compiles for any number of descriptions with up to so many sentences a call.

        Without it, the first call of each size takes seconds.
        """
        for count in _DESCRIPTIONS:
            rows = _FIRST_SENTENCES
            while rows < _FACTOR * max(sentences, _FIRST_SENTENCES):
                if rows >= count:
                    each = np.zeros((rows // count, self.config.in_size), np.float32)
                    self([each] * count)
                rows *= _FACTOR

    def _embed(self, descriptions: Sequence[np.ndarray]) -> np.ndarray:
        places = next(size for size in _DESCRIPTIONS if size >= len(descriptions))
        lengths = np.zeros(places, np.int32)
        lengths[: len(descriptions)] = [len(rows) for rows in descriptions]
        capacity = _FIRST_SENTENCES
        while capacity < lengths.sum():
            capacity *= _FACTOR
        values = np.zeros((capacity, self.config.in_size), np.float32)
        values[: lengths.sum()] = np.concatenate(descriptions)
        embedded = _embed(self._params, values, lengths, graph=self._graph)
        return np.asarray(embedded)[: len(descriptions)]


@functools.partial(jax.jit, static_argnames="graph")
def _embed(
    params: Mapping[str, Array],
    values: Float[Array, "capacity in_size"],
    lengths: Int[Array, " descriptions"],
    *,
    graph: nnx.GraphDef[RecurrentEncoder],
) -> Float[Array, "descriptions d"]:
    capacity = values.shape[0]
    tower = nnx.merge(graph, dict(params))
    packing = pack(lengths, capacity, capacity)
    return tower({"sentences": Ragged(values, lengths)}, packing)
