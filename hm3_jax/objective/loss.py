"""What a loss is: a number of a batch's scores, with parameters of its own or none."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from jaxtyping import Array, Bool, Float, Int

_Self = TypeVar("_Self", bound="Loss")


class Loss(abc.ABC):
    """The structure of a loss: frozen and hashable, for `static_argnames`.

    What only changes numbers is handed over with each call, so that runs that differ
    in nothing else share a compilation. Parameters are trained with the model's, saved
    in its checkpoints, and looked at by nothing but the loss.
    """

    def parameters(self) -> dict[str, Float[Array, ""]]:
        """Initial parameters of the loss's own; none unless a loss says otherwise."""
        return {}

    @classmethod
    def covering(cls: type[_Self], losses: Collection[_Self]) -> _Self:
        """One structure for runs with any of the given ones, to compute together.

        Raises:
            ValueError: they cannot be computed together.
        """
        (shared,) = set(losses)
        return shared

    @abc.abstractmethod
    def __call__(
        self,
        scores: Float[Array, "batch batch"],
        themes: Int[Array, " batch"],
        valid: Bool[Array, " batch"],
        numbers: Any,
        key: Array | None = None,
        params: Mapping[str, Array] | None = None,
    ) -> Float[Array, ""]:
        """Loss of a batch in both directions.

        Args:
            scores: ``s[i, j]`` of description ``i`` and museum ``j``, float.
            themes: theme of each museum; read only where the loss uses themes.
            valid: rows and columns that hold a museum. Nothing at the others has any
                influence on values or gradient, NaN included. (The gradient is safe
                from here to ``scores``; `Scores` takes ``valid`` for the rest.)
            numbers: of this kind of loss, traced.
            key: PRNG key, read only where the loss draws. What is drawn for an anchor
                depends on the key and its row, not on the amount of padding.
            params: as `parameters` gives them, after some training.
        """
