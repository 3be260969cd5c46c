"""HM3 in JAX: text-to-museum retrieval with hierarchical two-tower models."""

import sys

from hm3_jax.cli import interrupts

__version__ = "0.1.0"

# What `python -m` has in place of a file's name while it looks for a command of this
# package, whose imports take seconds.
if sys.argv[:1] == ["-m"] and any(
    word.removeprefix("-m").startswith(f"{__name__}.") for word in sys.orig_argv
):
    interrupts.end_at_once()
