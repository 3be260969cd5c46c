"""An epoch of HM3's strategy by each way to compute its recurrences."""

from __future__ import annotations

from benchmarks import cases
from benchmarks.gpu.setting import Rows, Setting

OFF = "--xla_gpu_enable_command_buffer="
"""XLA's flag that records nothing in command buffers."""
LOOPS_TOO = "--xla_gpu_enable_command_buffer=+WHILE"
"""XLA's flag that records loops in them too."""


def static(setting: Setting) -> Rows:
    """Loops of static length, one step a body: what GPUs take."""
    return _way(setting, "static length", 1)


def dynamic(setting: Setting) -> Rows:
    """Loops of dynamic length: what CPUs take."""
    return _way(setting, "dynamic length", None)


def unrolled(setting: Setting) -> Rows:
    """Loops of static length, some steps a body."""
    for steps in setting.bodies:
        yield from _way(setting, f"static length, {steps} steps a body", steps)


def bf16(setting: Setting) -> Rows:
    """Static length; products of bfloat16 with sums in float32."""
    return _way(setting, "static length, bfloat16 products", 1, "BF16_BF16_F32")


def tf32(setting: Setting) -> Rows:
    """Static length; TF32 is allowed."""
    return _way(setting, "static length, TF32 allowed", 1, "default")


def without_command_buffers(setting: Setting) -> Rows:
    """Static length, in a process with `OFF`."""
    return _way(setting, "static length, no command buffers", 1)


def loops_in_command_buffers(setting: Setting) -> Rows:
    """Static length, in a process with `LOOPS_TOO`."""
    return _way(setting, "static length, loops in command buffers", 1)


def _way(
    setting: Setting, what: str, unroll: int | None, precision: str = "highest"
) -> Rows:
    import jax

    from hm3_jax.nn import packing

    platform = jax.default_backend()
    usual = packing.UNROLLED.get(platform, 1)
    packing.UNROLLED[platform] = unroll
    try:
        for runs in setting.variant_runs:
            with jax.default_matmul_precision(precision):
                found = cases.epoch_ours(str(setting.store), runs, setting.epochs)
            yield {
                "what": what,
                "runs": runs,
                "seconds": found["seconds"],
                "first_call_seconds": found["first_call_seconds"],
                "loss": found["loss"],
            }
    finally:
        packing.UNROLLED[platform] = usual
