"""The examples in docstrings hold."""

import doctest
import importlib

import pytest

from tests.conftest import REPOSITORY

MODULES = [
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for path in sorted((REPOSITORY / "hm3_jax").rglob("*.py"))
    if "\n    >>> " in path.read_text(encoding="utf-8")
]


def test_there_are_examples() -> None:
    assert "hm3_jax.files.words" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if ".figures." in name:
        pytest.importorskip("matplotlib")
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0
    assert failed == 0
