"""Runs that are killed at random moments end, resumed, as if they never had been.

`python -m hm3_jax.train` is started as a user would and killed with SIGKILL: every
other time when files of an unfinished checkpoint are seen, else some time after some
epochs or while it starts. It goes on with --resume, is killed again, and so on; every
run that ends is compared with one left alone.
"""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Slot
from hm3_jax.nn.strategy_json import to_json
from tests.learn import small

STRATEGY = small.FLAT.file_stem
EPOCHS = 12
TRIES = (1, 2)
SLOTS: tuple[Slot, ...] = ("last", "best")
# Of experiment.json: what two runs do not share.
OWN = {"uid", "written", "name", "checksum"}


@dataclasses.dataclass(frozen=True)
class Command:
    """How the run is started.

    Attributes:
        folder: with the store and the strategy; the runs are made there.
        environment: of the processes.
    """

    folder: Path
    environment: dict[str, str]

    def start(self, name: str, *flags: str) -> subprocess.Popen:
        """Starts a run; its output goes to a file."""
        (self.folder / "runs").mkdir(exist_ok=True)
        with (self.folder / "runs" / f"{name}.log").open("a") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "hm3_jax.train", "--features=store"),
                    *("--workdir=runs", f"--experiment_name={name}"),
                    *(f"--config_files={STRATEGY}.json", f"--epochs={EPOCHS}"),
                    *(f"--number_of_tries={len(TRIES)}", "--seed=7", "--lr=0.01"),
                    *(f"--batch_size={small.BATCH}", "--save_strategy=best"),
                    *("--best_strategy=t2s_mAP", "--save_every_seconds=0", *flags),
                ],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self, name: str) -> str:
        """What the processes of a run have said."""
        return (self.folder / "runs" / f"{name}.log").read_text()

    def strategy_folder(self, name: str) -> Path:
        """Where the tries of a run are."""
        return self.folder / "runs" / name / STRATEGY


@pytest.fixture(scope="module")
def command(tmp_path_factory, repository: Path) -> Command:
    """The command, with a run called "alone" that has ended."""
    folder = tmp_path_factory.mktemp("kills")
    small.write(folder / "store")
    (folder / f"{STRATEGY}.json").write_text(json.dumps(to_json(small.FLAT)))
    cache = {
        "PYTHONPATH": str(repository),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    alone = Command(folder, os.environ | cache)
    assert alone.start("alone").wait(timeout=300) == 0, alone.log("alone")
    # Killed runs only read it: JAX might be killed while it writes there.
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "1e9"
    return Command(folder, os.environ | cache)


def unfinished(strategy_folder: Path) -> set[str]:
    """Checkpoints that are being made or deleted."""
    return {
        path.name
        for attempt, slot in itertools.product(TRIES, SLOTS)
        for path in strategy_folder.glob(f"try_{attempt}/checkpoints/{slot}/.*")
    }


def wait_for(process: subprocess.Popen, moments: Iterator[bool]) -> None:
    """Waits until one is True, or the process has ended."""
    until = time.monotonic() + 120
    while process.poll() is None and not next(moments):
        assert time.monotonic() < until
        time.sleep(2e-4)


def saves(strategy_folder: Path, number: int) -> Iterator[bool]:
    """Whether the n-th new unfinished checkpoint is there."""
    before = unfinished(strategy_folder)
    seen = set()
    while True:
        now = unfinished(strategy_folder) - before
        seen |= now
        yield bool(now) and len(seen) >= number


def epochs(strategy_folder: Path, number: int) -> Iterator[bool]:
    """Whether so many more epochs have been written to the log."""
    path = strategy_folder / "try_1" / "metrics.jsonl"

    def lines() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    before = now = lines()
    while True:
        # Resuming drops lines first.
        before, now = min(before, now), lines()
        yield now - before >= number


def kill(
    process: subprocess.Popen,
    strategy_folder: Path,
    rng: np.random.Generator,
    in_save: bool,
) -> str | None:
    """Kills a process at a random moment.

    Returns:
        What it was doing, "save" if it left an unfinished checkpoint; None if it ended
        by itself.
    """
    before = unfinished(strategy_folder)
    if in_save:
        number, pause = int(rng.integers(1, 8)), rng.uniform(0, 0.01)
        wait_for(process, saves(strategy_folder, number))
    else:
        number, pause = int(rng.integers(1, 4)), rng.uniform(0, 0.3)
        # Some while it starts, as resuming writes and deletes as well.
        if rng.uniform() < 0.15:
            number, pause = 0, rng.uniform(0, 5.0)
        wait_for(process, epochs(strategy_folder, number))
    time.sleep(pause)
    process.kill()
    if process.wait() != -signal.SIGKILL:
        return None
    return "save" if unfinished(strategy_folder) - before else "other"


def same_ends(command: Command, name: str) -> None:
    """Compares a run that has ended with the one left alone."""
    found, wanted = (command.strategy_folder(n) for n in (name, "alone"))
    assert files_of(found, name) == files_of(wanted, "alone")
    assert len(files_of(found, name)) >= 2 + 2 * len(TRIES)
    experiments = [
        json.loads((folder.parent / "experiment.json").read_text())
        for folder in (found, wanted)
    ]
    assert experiments[0].keys() == experiments[1].keys()
    for key in experiments[0].keys() - OWN:
        assert experiments[0][key] == experiments[1][key]
    for attempt, slot in itertools.product(TRIES, SLOTS):
        tries = [folder / f"try_{attempt}" for folder in (found, wanted)]
        saved = [checkpoint.usable_epochs(folder, slot) for folder in tries]
        assert saved[0] == saved[1] == checkpoint.saved_epochs(tries[0], slot)
        for epoch in saved[0]:
            same_checkpoints(tries, slot, epoch)
    # Nor is anything left that killed processes were making.
    assert leftovers(found.parent) == leftovers(wanted.parent) == set()


def files_of(strategy_folder: Path, name: str) -> dict[str, bytes]:
    """Every file but checkpoints and what tells the time; some name the experiment."""
    return {
        str(file.relative_to(strategy_folder)): file.read_bytes().replace(
            name.encode(), b"NAME"
        )
        for file in sorted(strategy_folder.rglob("*"))
        if file.is_file()
        and "checkpoints" not in file.parts
        and file.name != "speed.jsonl"
    }


def same_checkpoints(tries: list[Path], slot: Slot, epoch: int) -> None:
    a, b = (
        checkpoint.load(folder, slot, epoch, optimizer=slot == "last")
        for folder in tries
    )

    def leaf(found: np.ndarray, wanted: np.ndarray) -> None:
        assert found.dtype == wanted.dtype
        assert found.tobytes() == wanted.tobytes()

    jax.tree.map(leaf, a.model.params, b.model.params)
    jax.tree.map(leaf, a.optimizer, b.optimizer)
    for name in ("epoch", "progress", "settings"):
        assert getattr(a, name) == getattr(b, name)
    assert a.model.feature_facts == b.model.feature_facts


def leftovers(experiment: Path) -> set[str]:
    """Hidden files and folders of a run."""
    return {path.name for path in experiment.rglob(".*")}


@pytest.mark.parametrize(
    ("kills", "seed"),
    [
        pytest.param(5, 0, marks=pytest.mark.thorough),
        pytest.param(30, 1, marks=pytest.mark.slow),
    ],
)
def test_killed_runs_end_as_if_they_never_had_been(command, kills, seed):
    print(f"seed of the moments: {seed}")
    rng = np.random.default_rng(seed)
    done: list[str] = []
    for run in itertools.count():
        name = f"killed_{seed}_{run}"
        where = command.strategy_folder(name)
        flags = []
        while True:
            process = command.start(name, *flags)
            if len(done) < kills:
                in_save = 2 * done.count("save") <= len(done)
                doing = kill(process, where, rng, in_save)
            else:
                process.wait(timeout=300)
                doing = None
            if doing is None:
                assert process.returncode == 0, command.log(name)
                break
            done.append(doing)
            flags = ["--resume"]
        same_ends(command, name)
        if len(done) >= kills:
            break
    print(f"{done.count('save')} of {len(done)} kills during a save, {run + 1} runs")
    assert len(done) == kills
    assert 2 * done.count("save") >= kills


def newest(folder: Path) -> Path:
    """The newest checkpoint of a try."""
    epoch = checkpoint.saved_epochs(folder, "last")[-1]
    return folder / "checkpoints" / "last" / str(epoch)


@pytest.mark.thorough
def test_asked_to_end_damaged_and_resumed(command):
    where = command.strategy_folder("asked")
    first = command.start("asked")
    wait_for(first, epochs(where, 3))
    first.send_signal(signal.SIGSTOP)
    # Nobody else may work there in the meantime.
    second = command.start("asked", "--resume")
    assert second.wait(timeout=100) == 2
    assert f"found {first.pid} on " in command.log("asked")
    first.send_signal(signal.SIGTERM)
    first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=100) == 0, command.log("asked")

    epoch = int(newest(where / "try_1").name)
    assert int(newest(where / "try_2").name) == epoch < EPOCHS
    # One bit of one try; the other goes back one epoch with it.
    file = max(newest(where / "try_1").rglob("*"), key=lambda f: f.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)
    third = command.start("asked", "--resume")
    assert third.wait(timeout=100) == 0, command.log("asked")
    said = command.log("asked")
    assert f"/try_1/checkpoints/last/{epoch}/" in said and "damaged" in said
    assert said.count(f"epoch {epoch:3d}/{EPOCHS}") == 2
    same_ends(command, "asked")
