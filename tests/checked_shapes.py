"""Checks the package's array annotations, dtypes and shapes, whenever tests call it."""

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import beartype
import jaxtyping

_REPOSITORY = Path(__file__).resolve().parent.parent
# By name, as what tests set for JAX must be set before it is imported.
_ARRAYS = ("Array", "ndarray")
_CHECKED = ["hm3_jax.learn", "hm3_jax.nn", "hm3_jax.objective", "hm3_jax.retrieval"]


def check_from_now_on() -> None:
    """Checks what is imported after this call."""
    jaxtyping.install_import_hook(_CHECKED, f"{__name__}.checked")


def checked(function: Callable) -> Callable:
    """The function, checking its arrays; everything else is pyright's to check."""
    arrays = {
        name: hint
        for name, hint in function.__annotations__.items()
        if any(inspect.isclass(part) and _of_array(part) for part in _parts(hint))
    }
    if not arrays:
        return function
    function.__annotations__ = arrays
    check = beartype.beartype(function)
    if function.__name__ != "__init__":
        return check

    def check_unless_jax_builds(*arguments: Any, **named: Any) -> Any:
        # Transformations build the package's dataclasses of whatever takes the place
        # of arrays: specifications, more axes, nothing.
        return check(*arguments, **named) if _called_by_us() else None

    return check_unless_jax_builds


def _of_array(part: type) -> bool:
    # `ArrayLike` is lists and numbers too, which have no shape to look at.
    return (
        issubclass(part, jaxtyping.AbstractArray)
        and part.array_type.__name__ in _ARRAYS
    )


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _called_by_us() -> bool:
    """Says whether our code, not a library's, called what is being checked."""
    here = {__file__, jaxtyping.jaxtyped.__code__.co_filename}
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename in here:
        frame = frame.f_back
    assert frame is not None
    file = frame.f_code.co_filename
    return file.startswith(str(_REPOSITORY / "hm3_jax")) or file.startswith(
        str(_REPOSITORY / "tests")
    )
