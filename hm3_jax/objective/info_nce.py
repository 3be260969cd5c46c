"""InfoNCE: every description is classified among the batch's museums, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.objective.loss import Loss

# As in CLIP: scores are multiplied by at most 100.
_LARGEST_SCALE = 100.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InfoNCE(Loss):
    """Cross-entropy of the match in both directions, with a learned temperature.

    The mean over valid rows of ``logsumexp_j(a s[i, j]) - a s[i, i]``, plus the same of
    columns, halved; ``a = exp(log_scale)``, at most 100. A batch without a museum has
    loss 0.

    Attributes:
        temperature: ``1 / a`` before the first step.

    References:
        van den Oord, Li and Vinyals, Representation Learning with Contrastive
        Predictive Coding (2018); Radford et al., Learning Transferable Visual Models
        From Natural Language Supervision (2021), for both directions and the learned
        scale.
    """

    # Runs that begin with other temperatures share a program all the same.
    temperature: float = dataclasses.field(default=0.07, compare=False)

    def __post_init__(self) -> None:
        """Refuses a temperature that is no positive number."""
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(
                f"temperature: expected more than 0, found {self.temperature}"
            )

    def parameters(self) -> dict[str, Float[Array, ""]]:
        """``log_scale``, float32 ()."""
        return {"log_scale": jnp.float32(-math.log(self.temperature))}

    def __call__(
        self,
        scores: Float[Array, "batch batch"],
        themes: Int[Array, " batch"],
        valid: Bool[Array, " batch"],
        numbers: None = None,
        key: Array | None = None,
        params: Mapping[str, Array] | None = None,
    ) -> Float[Array, ""]:
        """Loss of a batch, see `Loss`; themes, numbers and key are not read.

        >>> import jax.numpy as jnp
        >>> loss = InfoNCE()
        >>> two = jnp.array([True, True])
        >>> alike = loss(jnp.zeros((2, 2)), jnp.arange(2), two, None, None,
        ...              loss.parameters())
        >>> round(float(alike), 4)  # log 2
        0.6931
        """
        del themes, numbers, key
        if params is None:
            params = self.parameters()
        scale = jnp.minimum(jnp.exp(params["log_scale"]), _LARGEST_SCALE)
        present = valid[:, None] & valid[None, :]
        # Before any arithmetic: 0 * NaN would put NaN into the gradient of the rest.
        logits = jnp.where(present, scale * jnp.where(present, scores, 0), -jnp.inf)
        itself = jnp.eye(valid.shape[0], dtype=bool)
        # A row of padding has one finite logit, or its gradient would be NaN.
        logits = jnp.where(itself & ~present, 0, logits)
        matched = jnp.sum(jnp.where(itself, logits, 0), axis=1)
        both = (
            jax.nn.logsumexp(logits, axis=1) + jax.nn.logsumexp(logits, axis=0)
        ) / 2 - matched
        count = jnp.sum(valid, dtype=scores.dtype)
        return jnp.sum(jnp.where(valid, both, 0)) / jnp.maximum(count, 1)
