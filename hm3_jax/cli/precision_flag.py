"""The flag of how precisely products are computed: what entries that embed share."""

from contextlib import AbstractContextManager
from typing import cast, get_args

from absl import flags

from hm3_jax.nn.precision import MEANING, MatmulPrecision, multiplying

MATMUL_PRECISION = flags.DEFINE_enum(
    "matmul_precision", "highest", list(get_args(MatmulPrecision)), MEANING
)


def given_precision() -> AbstractContextManager[None]:
    """Products are as precise as the flag says while the context lasts."""
    return multiplying(cast(MatmulPrecision, MATMUL_PRECISION.value))
