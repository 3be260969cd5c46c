"""What the API takes, and the one line that it says about what it does not take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hm3_jax.retrieval.query_text import MOST_HITS, MOST_THEME_WEIGHT, check_query
from hm3_jax.retrieval.server.collection import Match

MOST_BYTES = 2**16
"""Largest request body; a query of letters outside ASCII takes up to 6 bytes each."""

MOST_PICTURE_BYTES = 2**24
"""Largest body that is a picture."""

PICTURE_SEARCH = "/api/search/picture"

_SHOWN = 60


QueryText = Annotated[
    str,
    AfterValidator(check_query),
    Field(
        description="What to see, in one or more sentences.",
        examples=["A baroque museum with paintings of angels."],
    ),
]
TopK = Annotated[
    int, Field(ge=1, le=MOST_HITS, description="How many museums to return at most.")
]
ThemeName = Annotated[str | None, Field(description="Search only in this theme.")]


MatchName = Annotated[
    Match | None,
    Field(
        description=(
            "What to search: pictures, the words written about museums, or both; the "
            "server's setting if not given."
        )
    ),
]
ThemeWeight = Annotated[
    float | None,
    Field(
        ge=0,
        le=MOST_THEME_WEIGHT,
        allow_inf_nan=False,
        description=(
            "How much it counts that a museum shares the query's theme: 0 finds this "
            "museum, more finds museums like it."
        ),
    ),
]


class SearchBody(BaseModel):
    """A search that does not fit an address."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: QueryText
    top_k: TopK = 10
    theme: ThemeName = None
    match: MatchName = None
    theme_weight: ThemeWeight = None


class Problem(BaseModel):
    """What was wrong with a request."""

    error: str = Field(examples=["top_k: expected at least 1, found 0"])


def problem_line(error: Mapping[str, Any]) -> str:
    """One line about one of pydantic's errors: where, what was expected and found."""
    kind, context = error["type"], error.get("ctx", {})
    place = ".".join(str(part) for part in error["loc"][1:]) or "request body"
    if kind == "json_invalid":
        return f"request body: expected JSON, found {context['error']}"
    if kind == "missing":
        return f"{place}: expected a value, found none"
    if kind == "extra_forbidden":
        return f"{place}: expected only {', '.join(SearchBody.model_fields)}"
    if kind == "value_error":
        return f"{place}: {context['error']}"
    found = repr(error["input"])
    found = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
    wanted = {
        "greater_than_equal": f"at least {context.get('ge')}",
        "less_than_equal": f"at most {context.get('le')}",
        "string_type": "text",
        "int_type": "an integer",
        "int_parsing": "an integer",
        "int_from_float": "an integer",
        "int_parsing_size": "an integer of fewer digits",
        "float_type": "a number",
        "float_parsing": "a number",
        "finite_number": "a finite number",
        "literal_error": context.get("expected"),
        "model_attributes_type": "a JSON object (Content-Type: application/json)",
    }.get(kind, error["msg"])
    return f"{place}: expected {wanted}, found {found}"
