"""`python -m hm3_jax`: lists the commands."""

from hm3_jax.cli import console

console.main()
