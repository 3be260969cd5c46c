"""Where nested mappings differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], *, given: bool = False
) -> Iterator[tuple[str, Any, Any]]:
    """Names that differ, sorted, with both values.

    Args:
        before: One mapping.
        now: The other.
        given: Whether only what `now` has is compared.

    Yields:
        The name, "a.b" for b in a; the value before and now, None where there is none.
    """
    for name in sorted(now.keys() if given else before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            for inner, *values in differences(old, new, given=given):
                yield (f"{name}.{inner}", *values)
        elif old != new:
            yield name, old, new
