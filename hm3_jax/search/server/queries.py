"""What the API takes, and the one line that it says about what it does not take."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_CHARACTERS = 10_000
"""Longest query."""
MOST_HITS = 100
"""Largest `top_k`."""
MOST_BYTES = 2**16
"""Largest request body; a query of letters outside ASCII takes up to 6 bytes each."""

_SHOWN = 60


def check_text(text: str) -> str:
    """A query's text, without white space around it.

    Raises:
        ValueError: If it is empty or holds what is no text.
    """
    for character in text:
        category = unicodedata.category(character)
        if category == "Cs" or (category == "Cc" and character not in "\t\n\r\f\v"):
            raise ValueError(
                f"expected text, found the control character U+{ord(character):04X}"
            )
    text = text.strip()
    if not text:
        raise ValueError("expected a description of what to see, found none")
    return text


QueryText = Annotated[
    str,
    AfterValidator(check_text),
    Field(
        max_length=MOST_CHARACTERS,
        description="What to see, in one or more sentences.",
        examples=["A baroque museum with paintings of angels."],
    ),
]
TopK = Annotated[
    int, Field(ge=1, le=MOST_HITS, description="How many museums to return at most.")
]
ThemeName = Annotated[str | None, Field(description="Search in this theme only.")]


class SearchBody(BaseModel):
    """A search that does not fit an address."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: QueryText
    top_k: TopK = 10
    theme: ThemeName = None


class Problem(BaseModel):
    """What was wrong with a request."""

    error: str = Field(examples=["top_k: expected 1 to 100, found 0"])


def problem_line(error: Mapping[str, Any]) -> str:
    """One line about one of pydantic's errors: where, what was expected and found."""
    kind, context = error["type"], error.get("ctx", {})
    place = ".".join(str(part) for part in error["loc"][1:]) or "request body"
    if kind == "json_invalid":
        return f"request body: expected JSON, found an error: {context['error']}"
    if kind == "missing":
        return f"{place}: expected a value, found none"
    if kind == "extra_forbidden":
        return f"{place}: expected only query, top_k and theme"
    if kind == "value_error":
        return f"{place}: {context['error']}"
    if kind == "string_too_long":
        return (
            f"{place}: expected at most {context['max_length']} characters, found "
            f"{len(error['input'])}"
        )
    found = repr(error["input"])
    found = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
    wanted = {
        "greater_than_equal": f"1 to {MOST_HITS}",
        "less_than_equal": f"1 to {MOST_HITS}",
        "string_type": "text",
        "int_type": "an integer",
        "int_parsing": "an integer",
        "int_from_float": "an integer",
        "int_parsing_size": f"1 to {MOST_HITS}",
        "model_attributes_type": "a JSON object (Content-Type: application/json)",
    }.get(kind, error["msg"])
    return f"{place}: expected {wanted}, found {found}"
