"""Whatever is sent, what comes back is what the OpenAPI document says."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.retrieval.serving import THEMES, WordCollection, served

# Nothing that the collection of words takes as an order to fail.
ORDERS = ("crash", "unreachable", "lost", "exit")
TEXT = st.text(max_size=60).filter(lambda text: not any(o in text for o in ORDERS))
NUMBERS = st.one_of(
    st.integers(-3, 40).map(str), st.integers().map(str), st.floats().map(str), TEXT
)
THEME = st.one_of(st.sampled_from(THEMES), TEXT)
VALUES = {
    "query": st.one_of(st.sampled_from(["king", "harbour. storm"]), TEXT),
    "top_k": NUMBERS,
    "theme": THEME,
    "match": st.one_of(st.sampled_from(["both", "pictures"]), TEXT),
    "theme_weight": NUMBERS,
    "most": NUMBERS,
    "museum": st.one_of(st.sampled_from(["museum-03", "a/b", "..", "%2e"]), TEXT),
    "room": NUMBERS,
    "number": NUMBERS,
}
# JSON may have halves of characters.
ANY_TEXT = TEXT | st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=5,
)
BODIES = JSON | st.fixed_dictionaries(
    {"query": VALUES["query"] | JSON},
    optional={
        "top_k": st.integers(-1, 1001) | JSON,
        "theme": THEME | JSON | ANY_TEXT,
        "match": st.sampled_from(["both", "pictures"]) | JSON,
        "theme_weight": st.floats() | JSON,
    },
)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with served(WordCollection()) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def check(document: dict[str, Any], operation: dict[str, Any], answer: httpx.Response):
    """An answer has a status that the document names, and the JSON it has there."""
    told = operation["responses"].get(str(answer.status_code))
    assert told is not None, (answer.status_code, answer.text)
    schema = told.get("content", {}).get("application/json", {}).get("schema")
    if schema:
        parts = {"components": document["components"]}
        jsonschema.validate(answer.json(), {**schema, **parts})
    if answer.status_code != 200:
        assert len(answer.json()["error"].splitlines()) == 1


GETS = [
    "/api/search",
    "/api/like/{museum}",
    "/api/museums/{museum}",
    "/api/map",
    "/api/collection",
    "/api/picture",
    "/api/thumbnail",
    "/healthz",
]


@pytest.mark.parametrize("path", GETS)
@settings(max_examples=60)
@given(data=st.data())
def test_addresses(
    client: httpx.Client, document: dict[str, Any], path: str, data: st.DataObject
) -> None:
    operation = document["paths"][path]["get"]
    address, parameters = path, []
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        value = data.draw(VALUES[name], label=name)
        if parameter["in"] == "path":
            # An empty one, and dots alone, make another address.
            value = value if value.strip(".") else "m"
            address = address.replace(f"{{{name}}}", quote(value, safe=""))
        elif data.draw(st.booleans(), label=f"with {name}"):
            parameters.append((name, value))
    check(document, operation, client.get(address, params=parameters))


@settings(max_examples=150)
@given(body=BODIES)
def test_bodies(client: httpx.Client, document: dict[str, Any], body: Any) -> None:
    answer = client.post(
        "/api/search",
        # As Python writes it, with NaN and halves of characters.
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    check(document, document["paths"]["/api/search"]["post"], answer)


@settings(max_examples=100)
@given(body=st.binary(max_size=60))
def test_bytes(client: httpx.Client, document: dict[str, Any], body: bytes) -> None:
    answer = client.post(
        "/api/search", content=body, headers={"Content-Type": "application/json"}
    )
    check(document, document["paths"]["/api/search"]["post"], answer)
