"""A server of museums that are found by their words."""

from collections.abc import Iterator

import httpx
import pytest

from tests.retrieval.serving import WordCollection, served


@pytest.fixture(scope="module")
def collection() -> WordCollection:
    return WordCollection()


@pytest.fixture(scope="module")
def client(collection: WordCollection) -> Iterator[httpx.Client]:
    with served(collection) as url, httpx.Client(base_url=url) as client:
        yield client
