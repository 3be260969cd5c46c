"""The examples in the docstrings of this room hold."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name", ["info_nce", "metric_table", "metrics", "similarity", "triplet"]
)
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(f"hm3_jax.objective.{name}")
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
