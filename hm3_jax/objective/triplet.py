"""Triplet losses on a batch's similarities: standard and theme-aware.

Source: HM3 (ICMR 2025) and its published release. Everything here is pure and works
under `jax.jit`, `jax.vmap` and `jax.grad`. What changes the program is in `TripletLoss`
(static); what only changes numbers is in `TripletWeights` (traced), so that a sweep
over margins and weights is one compilation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.objective.loss import Loss
from hm3_jax.objective.positives import Draws, draw_positives


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TripletLoss(Loss):
    """Triplet losses: standard, theme-aware, with a second component.

    With ``c`` the themes, ``row[i, j] = relu(m + s[i, j] - s[i, i])`` and
    ``col[i, j] = relu(m + s[i, j] - s[j, j])``, a component is the mean of ``row``
    over the pairs its mask keeps plus the same of ``col``, halved. A mean over no
    pair is 0, with zero gradient. The first component's mask is ``i != j``, or
    ``c_i != c_j`` with themes; the second's, within themes, is ``c_i == c_j`` and
    ``i != j``. With new positives the second component has the first one's negatives
    and, instead of the match, museums ``p`` drawn from the anchor's theme: the mean
    over an anchor's draws of ``relu(m + s[i, j] - s[i, p])``, and likewise in columns
    with the same draws; anchors without a draw are not counted. The filter of hard
    negatives drops pairs with ``s[i, j] >= s[i, i]`` from rows and with
    ``s[i, j] >= s[j, j]`` from columns, in every component. The loss is
    ``(1 - w) * first + w * second``, or the first alone without a second component.

    Errors name the published flags the fields stand for.

    Attributes:
        uses_themes: `use_categories_in_loss`: negatives of the first component are
            other themes'. None leaves it to `TripletWeights.uses_themes`, for runs that
            differ in it.
        within_theme: `loss_within_category_margin` is given: a second component within
            themes.
        filter_out_hard_negatives: keep negatives less similar than the match only. None
            leaves it to `TripletWeights.filter_out_hard_negatives`.
        new_positive_samples: museums of the anchor's theme drawn as positives of the
            second component; None for none.
        with_replacement: `allow_sampling_replacement_of_new_positives`.

    Raises:
        ValueError: settings that contradict each other, both named.
    """

    uses_themes: bool | None = False
    within_theme: bool = False
    filter_out_hard_negatives: bool | None = False
    new_positive_samples: int | None = None
    with_replacement: bool = False

    def __post_init__(self) -> None:
        """Refuses settings that contradict each other."""
        samples = self.new_positive_samples
        if samples is not None and samples < 1:
            raise ValueError(
                f"new_positive_samples: expected at least 1, found {samples}"
            )
        if self.within_theme and self.uses_themes is False:
            raise ValueError(
                "loss_within_category_margin needs use_categories_in_loss, which is off"
            )
        if samples is not None and self.uses_themes is False:
            raise ValueError(
                f"new_positive_samples ({samples}) needs use_categories_in_loss, "
                "which is off"
            )
        if samples is not None and self.within_theme:
            raise ValueError(
                f"new_positive_samples ({samples}) and loss_within_category_margin "
                "exclude each other: both define the second component"
            )
        if self.with_replacement and samples is None:
            raise ValueError(
                "allow_sampling_replacement_of_new_positives needs "
                "new_positive_samples, which is not given"
            )

    @property
    def has_second_component(self) -> bool:
        """Whether `TripletWeights.second_component_weight` has anything to weigh."""
        return self.within_theme or self.new_positive_samples is not None

    @classmethod
    def covering(cls, configs: Collection[TripletLoss]) -> TripletLoss:
        """One structure for runs with any of the given ones, to compute together.

        What they differ in is left to `TripletWeights`; a run without a second
        component has weight 0 for it, which changes no bit of its loss.

        Args:
            configs: at least one; all with the same new positives, or none.
        """

        def shared(values: set[bool | None]) -> bool | None:
            return values.pop() if len(values) == 1 else None

        (samples,) = {c.new_positive_samples for c in configs}
        (replacement,) = {c.with_replacement for c in configs}
        return cls(
            uses_themes=shared({c.uses_themes for c in configs}),
            within_theme=any(c.within_theme for c in configs),
            filter_out_hard_negatives=shared(
                {c.filter_out_hard_negatives for c in configs}
            ),
            new_positive_samples=samples,
            with_replacement=replacement,
        )

    def __call__(
        self,
        scores: Float[Array, "batch batch"],
        themes: Int[Array, " batch"],
        valid: Bool[Array, " batch"],
        numbers: TripletWeights,
        key: Array | None = None,
        params: Mapping[str, Array] | None = None,
    ) -> Float[Array, ""]:
        """Loss of a batch, see `Loss`; ``numbers`` are margins and weight.

        Raises:
            ValueError: shapes do not fit, or new positives without a key.

        References:
            HM3 (ICMR 2025), and its published release.

        >>> import jax.numpy as jnp
        >>> loss = TripletLoss()(
        ...     jnp.array([[0.9, 0.8], [0.1, 0.7]]), jnp.array([0, 1]),
        ...     jnp.array([True, True]), TripletWeights(margin=0.25))
        >>> round(float(loss), 4)  # rows 0.15 and 0, columns 0 and 0.35
        0.125
        """
        del params
        size = valid.shape[0]
        if scores.shape != (size, size) or themes.shape != (size,):
            raise ValueError(
                "expected scores (batch, batch), themes (batch,) and valid (batch,), "
                f"found {scores.shape}, {themes.shape} and {valid.shape}"
            )
        present = valid[:, None] & valid[None, :]
        itself = jnp.eye(size, dtype=bool)
        # Before any arithmetic: 0 * NaN would put NaN into the gradient of the rest.
        scores = jnp.where(present, scores, 0)
        same = themes[:, None] == themes[None, :]
        by_theme = _settled(self.uses_themes, numbers.uses_themes)
        negatives = present & ~jnp.where(by_theme, same, itself)
        semi_hard = _settled(
            self.filter_out_hard_negatives, numbers.filter_out_hard_negatives
        )

        def component(
            margin: Scalar, mask: Bool[Array, "batch batch"], draws: Draws | None = None
        ) -> Float[Array, ""]:
            # Columns are the rows of the transpose: every mask here is symmetric.
            rows, columns = (
                _mean_hinge(s, margin, mask, draws, semi_hard)
                for s in (scores, scores.T)
            )
            return (rows + columns) / 2

        first = component(numbers.margin, negatives)
        if not self.has_second_component:
            return first
        if self.within_theme:
            second = component(numbers.within_theme_margin, present & same & ~itself)
        else:
            draws = _draws(key, themes, valid, self)
            second = component(numbers.margin, negatives, draws)
        weight = numbers.second_component_weight
        return (1 - weight) * first + weight * second


# One number, or one for each run of a leading axis.
Scalar = Float[Array, "*runs"] | float
Flag = Bool[Array, "*runs"] | bool


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TripletWeights:
    """The numbers of the loss: a pytree of scalars (or of a leading axis to vmap).

    Attributes:
        margin: `loss_margin`, in units of cosine.
        within_theme_margin: `loss_within_category_margin`; read by the within-theme
            component only.
        second_component_weight: `second_loss_component_weight` w:
            (1 - w) * first + w * second.
        uses_themes: wanted where `TripletLoss` has None for it.
        filter_out_hard_negatives: wanted where `TripletLoss` has None for it.
    """

    margin: Scalar = 0.25
    within_theme_margin: Scalar = 0.15
    second_component_weight: Scalar = 0.5
    uses_themes: Flag | None = None
    filter_out_hard_negatives: Flag | None = None

    @classmethod
    def checked(
        cls,
        *,
        margin: float = 0.25,
        within_theme_margin: float = 0.15,
        second_component_weight: float = 0.5,
    ) -> TripletWeights:
        """Weights from settings a user typed.

        Raises:
            ValueError: a margin is negative or not finite, or the weight is outside
                [0, 1]; named by its flag.
        """
        for flag, value, highest in (
            ("loss_margin", margin, math.inf),
            ("loss_within_category_margin", within_theme_margin, math.inf),
            ("second_loss_component_weight", second_component_weight, 1.0),
        ):
            if not (math.isfinite(value) and 0 <= value <= highest):
                expected = "0 or more" if highest == math.inf else "between 0 and 1"
                raise ValueError(f"{flag}: expected {expected}, found {value}")
        return cls(
            margin=margin,
            within_theme_margin=within_theme_margin,
            second_component_weight=second_component_weight,
        )


def decay_second_weight(weight: float, factor: float) -> float:
    """Second component's weight of the next epoch, ``min(1, weight * factor)``.

    Between epochs, on the host: under `jax.jit` it is a number that is passed in.

    >>> decay_second_weight(0.5, 1.5), decay_second_weight(0.5, 3.0)
    (0.75, 1.0)
    """
    return min(1.0, weight * factor)


def _settled(static: bool | None, of_run: Flag | None) -> Flag:
    """A switch of the structure, or the run's own where that leaves it open."""
    if static is not None:
        return static
    if of_run is None:
        raise ValueError("expected the switches that the config leaves to the weights")
    return of_run


def _draws(
    key: Array | None,
    themes: Int[Array, " batch"],
    valid: Bool[Array, " batch"],
    config: TripletLoss,
) -> Draws:
    samples = config.new_positive_samples
    assert samples is not None
    if key is None:
        raise ValueError(f"new_positive_samples ({samples}) needs a key, found None")
    return draw_positives(
        key, themes, valid, samples, with_replacement=config.with_replacement
    )


def _mean_hinge(
    similarity: Float[Array, "anchors others"],
    margin: Scalar,
    mask: Bool[Array, "anchors others"],
    draws: Draws | None,
    semi_hard: Flag,
) -> Float[Array, ""]:
    """Mean over pairs of ``relu(margin + s[i, j] - positive)``, 0 over no pair."""
    # A masked sum, not a gather: its gradient is a select, not a scatter.
    itself = jnp.eye(similarity.shape[0], dtype=bool)
    matched = jnp.sum(jnp.where(itself, similarity, 0), axis=1, keepdims=True)
    if draws is None:
        # jax.nn.relu, not maximum: at the kink the published gradient is 0.
        hinge = jax.nn.relu(margin + similarity - matched)
    else:
        positives = jnp.take_along_axis(similarity, draws.museums, axis=1)
        each = jax.nn.relu(margin + similarity[:, None, :] - positives[:, :, None])
        number = jnp.sum(draws.drawn, axis=1, keepdims=True, dtype=similarity.dtype)
        hinge = jnp.sum(jnp.where(draws.drawn[:, :, None], each, 0), axis=1)
        hinge = hinge / jnp.maximum(number, 1)
        mask = mask & (number > 0)
    mask = mask & ((similarity < matched) | ~jnp.asarray(semi_hard))
    pairs = jnp.sum(mask, dtype=similarity.dtype)
    return jnp.sum(jnp.where(mask, hinge, 0)) / jnp.maximum(pairs, 1)
