"""How much memory a device has and how much a compiled program takes."""

import os
from pathlib import Path
from typing import Any


def take_as_needed() -> None:
    """Leaves a GPU's memory to others until it is needed, in commands but training.

    JAX would take three quarters of it at once. Called before JAX computes; what the
    user has told JAX (`XLA_PYTHON_CLIENT_PREALLOCATE`) stays.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def available(device: Any) -> int:
    """Bytes that programs may use on a device.

    On accelerators that is what JAX may allocate less what it has; on CPUs, what the
    machine and the process's control group have free.
    """
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return min(_machine_free(), _group_free())


def needed(compiled: Any) -> int:
    """Bytes a compiled program takes on a device besides its arguments.

    Args:
        compiled: what `jitted.lower(...).compile()` gives.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:  # not every backend says
        return 0
    fresh = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return analysis.temp_size_in_bytes + max(fresh, 0)


def _machine_free() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/meminfo: expected a line MemAvailable, found none")


def _group_free() -> int:
    """What the control group leaves, or a great deal where there is no limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return 2**62
    return 2**62 if limit == "max" else int(limit) - used
