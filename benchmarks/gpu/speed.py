"""Training: plain PyTorch, HM3's strategy, late interaction, the published grid."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import cases, sweep
from benchmarks.gpu.setting import Rows, Setting
from benchmarks.in_process import REPOSITORY

LATE = REPOSITORY / "configs/strategies/late_interaction/late_interaction_video.json"
GRID_STRATEGIES, GRID_RUNS, GRID_EPOCHS = 4, 33, 25
"""The genMuseums part of the published grid."""


def torch_as_it_comes(setting: Setting) -> Rows:
    """`nn.GRU` on packed sequences, cuDNN's, which may round to TF32."""
    yield from _torch(setting, "PyTorch, packed cuDNN GRU")


def torch_float32(setting: Setting) -> Rows:
    """The same without TF32."""
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield from _torch(setting, "PyTorch, packed cuDNN GRU, float32")


def _torch(setting: Setting, what: str) -> Rows:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    epochs = setting.epochs + 2
    found = cases.epoch_torch(str(setting.store), "gru", device, epochs)
    yield {"what": what, "runs": 1, "training_seconds": found["seconds"]}


def hm3(setting: Setting) -> Rows:
    """HM3's own strategy, some runs at once."""
    for runs in setting.runs:
        yield from _trained(setting, runs, cases.STRATEGY, "HM3's strategy")


def late_interaction(setting: Setting) -> Rows:
    """Late interaction, some runs at once."""
    for runs in setting.late_runs:
        yield from _trained(setting, runs, LATE, "late interaction")


def hm3_tf32(setting: Setting) -> Rows:
    """HM3's own strategy, with TF32 allowed."""
    import jax

    with jax.default_matmul_precision("default"):
        for runs in setting.runs[:2]:
            yield from _trained(
                setting, runs, cases.STRATEGY, "HM3's strategy, TF32 allowed"
            )


def _trained(setting: Setting, runs: int, strategy: Path, what: str) -> Rows:
    try:
        found = sweep.case(
            str(setting.store),
            runs,
            setting.epochs,
            str(strategy),
            num_devices=1,
            tested=False,
        )
    except Exception as error:
        yield {"what": what, "runs": runs, "failed": f"{type(error).__name__}: {error}"}
        return
    names = ("training_seconds", "epoch_seconds", "first_epoch_seconds")
    names += ("training_flops_per_second",)
    yield {"what": what, "runs": runs, **{n: found[n] for n in names if n in found}}


def published_grid(setting: Setting) -> Rows:
    """The genMuseums part of the grid itself, 132 runs."""
    workdir = setting.folder / f"grid_{os.getpid()}"
    fewer = []
    if setting.miniature:
        fewer = ["--epochs=1", "--number_of_tries=1", "--config_files_dir="]
        fewer += [f"--config_files={cases.STRATEGY}"]
        fewer += ["--experiments=configs/experiments/stl.cfg"]
    start = time.perf_counter()
    subprocess.run(
        ["bash", str(REPOSITORY / "launch/published_grid.sh"), str(setting.store)]
        + [str(workdir), "--progress=none", *fewer],
        env=os.environ | {"PYTHON": sys.executable},
        stdout=sys.stderr,
        check=True,
    )
    yield {"what": "published grid", "seconds": time.perf_counter() - start}
