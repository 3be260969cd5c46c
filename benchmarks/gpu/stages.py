"""What is measured, in order of worth, each stage in a process of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Literal

from benchmarks.gpu import recurrence
from benchmarks.gpu.setting import Setting

TWO_DEVICES = "--xla_force_host_platform_device_count=2"
"""XLA's flag by which a CPU stands for two devices, in a rehearsal."""


@dataclasses.dataclass(frozen=True)
class Step:
    """Part of a stage, which may fail by itself.

    Attributes:
        name: of its function in the stage's module.
        seconds: what it is thought to take on a GPU; time is split in this proportion.
    """

    name: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Stage:
    """Steps that share a process, as they share what takes long to start.

    Attributes:
        name: what people call it.
        module: that has them, as Python imports it.
        steps: in order.
        needs: what it takes of the generated data, an attribute of the setting.
        flags: of XLA, for its process.
        for_several: whether there is nothing to do on one device.
    """

    name: str
    module: str
    steps: tuple[Step, ...]
    needs: Literal["store", "pictures"] | None = None
    flags: str = ""
    for_several: bool = False


def _steps(**seconds: float) -> tuple[Step, ...]:
    return tuple(Step(name, value) for name, value in seconds.items())


GRID = "published grid"
"""Stage that is begun only where it can be finished."""

STAGES = (
    Stage("machine", "benchmarks.gpu.facts", _steps(software=5, card=20, rates=20)),
    Stage(
        "equality",
        "benchmarks.gpu.equality",
        _steps(highest=50, default=20, high=15, bf16=15),
    ),
    Stage("training", "benchmarks.gpu.speed", _steps(hm3=110, hm3_tf32=35), "store"),
    Stage(
        "plain PyTorch",
        "benchmarks.gpu.speed",
        _steps(torch_as_it_comes=25, torch_float32=15),
        "store",
    ),
    Stage(
        "late interaction", "benchmarks.gpu.speed", _steps(late_interaction=40), "store"
    ),
    Stage(
        "recurrence",
        "benchmarks.gpu.recurrence",
        _steps(static=20, dynamic=20, tf32=15, bf16=15, unrolled=45),
        "store",
    ),
    Stage(
        "recurrence without command buffers",
        "benchmarks.gpu.recurrence",
        _steps(without_command_buffers=20),
        "store",
        recurrence.OFF,
    ),
    Stage(
        "recurrence with loops in command buffers",
        "benchmarks.gpu.recurrence",
        _steps(loops_in_command_buffers=20),
        "store",
        recurrence.LOOPS_TOO,
    ),
    Stage("search", "benchmarks.gpu.search", _steps(vectors=30, item_vectors=30)),
    Stage(
        "extraction",
        "benchmarks.gpu.extraction",
        _steps(pictures=50, sentences=15, workers=30),
        "pictures",
    ),
    Stage(
        "memory of short commands",
        "benchmarks.gpu.memory",
        _steps(of_a_short_command=8),
    ),
    Stage(
        "memory",
        "benchmarks.gpu.memory",
        _steps(of_a_long_command=5, largest_store=45),
        "store",
    ),
    Stage(
        "several devices",
        "benchmarks.gpu.devices",
        _steps(data_parallel=40, run_parallel=60),
        "store",
        for_several=True,
    ),
    Stage(GRID, "benchmarks.gpu.speed", _steps(published_grid=30), "store"),
)


def environment(stage: Stage, setting: Setting) -> Mapping[str, str]:
    """Variables of a stage's process besides those that are there."""
    variables: dict[str, str] = {}
    flags = [os.environ.get("XLA_FLAGS", ""), stage.flags]
    if setting.miniature:
        # What compiles takes most of the time, and nobody looks at the speed.
        flags += ["--xla_backend_optimization_level=0"]
        flags += ["--xla_llvm_disable_expensive_passes=true"]
        flags += ["--xla_cpu_use_fusion_emitters=false"]
        flags += [TWO_DEVICES] if stage.for_several else []
        variables |= {
            # Threads that wait for each other spin, which tells on a busy machine.
            "OMP_NUM_THREADS": "1",
            "JAX_COMPILATION_CACHE_DIR": str(setting.folder / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    return {**variables, "XLA_FLAGS": " ".join(filter(None, flags))}
