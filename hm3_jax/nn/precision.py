"""How precisely the encoders multiply matrices."""

from contextlib import AbstractContextManager
from typing import Any, Literal

MatmulPrecision = Literal["default", "high", "highest"]

MEANING = (
    "Precision of the encoders' products: highest is float32; high and default let "
    "GPUs round the factors to TF32, which is faster and changes about the fourth "
    "digit. All three are the same on a CPU."
)
"""What a flag of it says."""


def multiplying(precision: MatmulPrecision) -> AbstractContextManager[None]:
    """Has encoders multiply so while the context lasts, in this thread."""
    import jax

    return jax.default_matmul_precision(precision)


def of_products() -> str | None:
    """The precision to ask for: what JAX has been told, and float32 if nothing.

    Left to itself, JAX takes TF32 on GPUs that have it.
    """
    import jax

    config: Any = jax.config
    return None if config.jax_default_matmul_precision is not None else "highest"
