"""The machine: card, software, what the card does at most."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Callable

from benchmarks.cases import best_of
from benchmarks.gpu.setting import Rows, Setting

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "jaxtyping",
    "numpy",
    "torch",
    "open_clip_torch",
    "faiss-cpu",
)
RATES = ("highest", "high", "default", "BF16_BF16_F32")
"""Precisions of products, as JAX calls them."""
_CARD = (
    "name,driver_version,memory.total,memory.free,clocks.sm,clocks.max.sm,clocks.mem"
)


def software(setting: Setting) -> Rows:
    """Versions, and what is missing."""
    del setting
    for name in PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "missing"
        yield {"what": name, "version": version}
    yield {"what": "CPU cores", "version": str(len(os.sched_getaffinity(0)))}


def card(setting: Setting) -> Rows:
    """What the driver and JAX say of the card, and one product on it."""
    import jax
    import jax.numpy as jnp

    seen = _asked(_CARD)
    for number, values in enumerate(seen):
        for name, value in zip(_CARD.split(","), values, strict=True):
            yield {"what": f"card {number}, {name}", "value": value}
    device = jax.devices()[0]
    stats = device.memory_stats() or {}
    about = {
        "JAX computes on": device.platform,
        "devices": jax.device_count(),
        "kind": device.device_kind,
        "compute capability": getattr(device, "compute_capability", ""),
        "platform": getattr(device.client, "platform_version", "").replace("\n", ", "),
        "bytes that JAX may take": stats.get("bytes_limit", ""),
    }
    for name, value in about.items():
        yield {"what": name, "value": str(value)}
    if device.platform == "cpu" and not setting.miniature:
        reason = "JAX has no CUDA here" if seen else "there is no card, or no driver"
        yield {"what": "warning", "value": f"computed on the CPU: {reason}"}
    ones = jnp.ones((256, 256))
    total = float((ones @ ones).sum())
    yield {"what": "a product of ones sums to", "value": str(total)}
    if total != 256.0**3:
        raise ArithmeticError(f"expected {256.0**3}, found {total}")


def rates(setting: Setting) -> Rows:
    """Rate of one large product at each precision, and memory bandwidth."""
    import jax
    import jax.numpy as jnp

    size = setting.product
    x = jax.random.normal(jax.random.key(0), (size, size))
    for precision in RATES:
        with jax.default_matmul_precision(precision):
            product = jax.jit(lambda x: x @ x).lower(x).compile()
        seconds = best_of(5, lambda product=product: product(x).block_until_ready())
        yield {"what": precision, "flops_per_second": 2 * size**3 / seconds}
    y = jnp.zeros(setting.copied // 4, jnp.float32)
    plus: Callable = jax.jit(lambda y: y + 1).lower(y).compile()
    seconds = best_of(5, lambda: plus(y).block_until_ready())
    yield {"what": "bandwidth", "bytes_per_second": 2 * 4 * y.size / seconds}


def memory_taken() -> int | None:
    """Bytes that are taken on the first card, by whomever; None where nobody knows."""
    found = _asked("memory.used")
    return None if not found else int(found[0][0].split()[0]) * 2**20


def _asked(fields: str) -> list[list[str]]:
    """What the driver says of each card; nothing where there is none."""
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(
        ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [[value.strip() for value in line.split(",")] for line in lines]
