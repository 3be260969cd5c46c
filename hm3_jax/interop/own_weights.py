"""Weights under our own names, for models that the published release does not have.

A name is the path to a leaf of the parameters, its keys joined by dots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def to_names(params: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """Parameters by name.

    Args:
        params: Nested dictionary of arrays.
        prefix: What names begin with.
    """
    named = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            named |= to_names(value, f"{prefix}{key}.")
        else:
            named[f"{prefix}{key}"] = np.asarray(value)
    return named


def from_names(weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Parameters as `to_names` took them apart.

    Raises:
        ValueError: An array is not float32, or its name begins with that of another.
    """
    params: dict[str, Any] = {}
    for name, array in sorted(weights.items()):
        if array.dtype != np.float32:
            raise ValueError(f"{name} expected float32, found {array.dtype}")
        *parents, last = name.split(".")
        node = params
        for key in parents:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ValueError(f"{name} is unexpected: {key} is an array already")
        node[last] = array
    return params
