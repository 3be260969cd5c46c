"""Training in several processes, started as a user would, over loopback on CPUs."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hm3_jax.learn.devices import processes
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.settings import Execution, TrainSettings
from hm3_jax.learn.training.experiment import Experiment, Listeners, run_experiments
from hm3_jax.nn.strategy_json import to_json
from tests.learn import small
from tests.processes import Said, Together, together

STRATEGIES = {config.file_stem: config for config in (small.FLAT, small.BY_ROOM)}
SETTINGS: dict[str, Any] = {"seed": 7, "batch_size": small.BATCH, "lr": 0.01}
EPOCHS = 16
GONE = "another process has ended or cannot be reached; --resume continues from what is"


class Runs:
    """Runs in one folder, each with a work folder of its own."""

    def __init__(self, folder: Path):
        """Writes a store and strategies there."""
        self.folder = folder
        small.write(folder / "store")
        for name, config in STRATEGIES.items():
            (folder / f"{name}.json").write_text(json.dumps(to_json(config)))

    def start(
        self,
        processes: int,
        workdir: str,
        *flags: str,
        strategy: str = small.FLAT.file_stem,
        tries: int = 2,
        epochs: int = EPOCHS,
    ):
        """Starts training in some processes of one device each."""
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command = [
            *("-m", "hm3_jax.train", "--features=store", f"--workdir={workdir}"),
            *(f"--config_files={strategy}.json", f"--number_of_tries={tries}"),
            *(f"--epochs={epochs}", "--save_every_seconds=0", *settings, *flags),
        ]
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str(self.folder / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        return together(processes, command, self.folder, cache)

    def strategy(self, workdir: str, strategy: str = small.FLAT.file_stem) -> Path:
        """Folder of the strategy."""
        return self.folder / workdir / "experiment" / strategy

    def wait_for_epochs(self, running: Together, workdir: str, epochs: int) -> None:
        """Waits until so many have been logged."""
        log = self.strategy(workdir) / "try_1" / "metrics.jsonl"
        running.wait_until(
            lambda: log.exists() and log.read_bytes().count(b"\n") >= epochs
        )


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Runs:
    return Runs(tmp_path_factory.mktemp("hosts"))


def alone(
    store, folder: Path, strategy=small.FLAT, tries=2, epochs=EPOCHS, resume=False
) -> Path:
    """The same in the test's own process; returns the strategy's folder."""
    settings = TrainSettings(**SETTINGS, number_of_tries=tries, epochs=epochs)
    experiment = Experiment(
        strategies=[strategy], settings=settings, folder=folder, name="experiment"
    )
    silent = Listeners(*3 * [lambda *_: None])
    run_experiments([experiment], store, silent, Execution(), resume=resume)
    return folder / strategy.file_stem


def ended_well(said: list[Said]) -> None:
    """All ended with 0, and only process 0 said anything."""
    assert [s.code for s in said] == [0] * len(said), said
    assert [s.err for s in said] == [""] * len(said)
    assert all(s.out == "" for s in said[1:])


def ended_without(killed: int, said: list[Said]) -> None:
    """One was killed, and all others ended too: by themselves, or JAX aborted them."""
    for number, s in enumerate(said):
        if number == killed:
            assert s.code == -signal.SIGKILL
        elif s.code == 1:
            (line,) = s.err.splitlines()
            stops = f"error: process {number} of {len(said)} stops: {GONE}"
            assert line.startswith(stops)
        else:
            assert s.code == -signal.SIGABRT, s


def close(found: Path, wanted: Path, tries: int, epochs: int) -> None:
    """Losses and parameters of two runs, up to rounding."""
    for attempt in range(1, tries + 1):
        logs = [small.log(folder, attempt) for folder in (found, wanted)]
        assert [len(log) for log in logs] == [epochs, epochs]
        for what in ("train_loss", "val_loss"):
            a, b = ([line[what] for line in log] for log in logs)
            np.testing.assert_allclose(a, b, rtol=1e-5)
        a, b = (
            checkpoint.load(folder / f"try_{attempt}", "last", epochs).model.params
            for folder in (found, wanted)
        )
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), a, b
        )


@pytest.mark.thorough
def test_killed_stopped_and_resumed_as_if_nothing_had_been(runs, store, tmp_path):
    # Two share every batch, fed from the host; process 0 is killed.
    with runs.start(2, "runs", "--data_placement=host", tries=1) as running:
        runs.wait_for_epochs(running, "runs", 2)
        running.processes[0].kill()
        said = running.wait()
    ended_without(0, said)

    # Two go on; one of them is asked to stop.
    flags = ["--resume", "--data_placement=host"]
    with runs.start(2, "runs", *flags, tries=1) as running:
        runs.wait_for_epochs(running, "runs", 4)
        running.processes[1].send_signal(signal.SIGTERM)
        said = running.wait()
    ended_well(said)
    stopped = re.search(r"stopped after epoch (\d+)", said[0].out)
    assert stopped
    epoch = int(stopped[1])
    assert 4 <= epoch < EPOCHS
    folder = runs.strategy("runs") / "try_1"
    assert checkpoint.usable_epochs(folder, "last")[-1] == epoch

    # One, this one, ends it.
    wanted = alone(store, tmp_path / "alone", tries=1)
    found = alone(store, runs.strategy("runs").parent, tries=1, resume=True)
    close(found, wanted, tries=1, epochs=EPOCHS)


@pytest.mark.thorough
def test_two_train_a_run_each(runs, store, tmp_path):
    flags = ["--data_placement=device", "--log=tensorboard", "--progress=bars"]
    with runs.start(2, "each", *flags, epochs=3) as running:
        said = running.wait()
    ended_well(said)
    assert "strategies" in said[0].out  # bars, by the one process that writes
    for attempt in (1, 2):
        folder = runs.strategy("each") / f"try_{attempt}"
        assert len(list(folder.glob("events.*"))) == 1
        lines = (folder / "speed.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    wanted = alone(store, tmp_path / "alone", epochs=3)
    close(runs.strategy("each"), wanted, tries=2, epochs=3)


@pytest.mark.slow
def test_resumed_by_as_many_to_the_same_bits(runs):
    with runs.start(2, "whole") as running:
        ended_well(running.wait())
    with runs.start(2, "broken") as running:
        runs.wait_for_epochs(running, "broken", 3)
        running.processes[1].kill()
        ended_without(1, running.wait())
    with runs.start(2, "broken", "--resume") as running:
        ended_well(running.wait())
    found, wanted = runs.strategy("broken"), runs.strategy("whole")
    for name in ("try_1/metrics.jsonl", "try_2/metrics.jsonl", "test_output.json"):
        assert (found / name).read_bytes() == (wanted / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("strategy", list(STRATEGIES))
@pytest.mark.parametrize("placement", ["device", "host"])
def test_four_share_two_runs(runs, store, tmp_path, strategy, placement):
    name = f"four_{strategy}_{placement}"
    flags = [f"--data_placement={placement}"]
    with runs.start(4, name, *flags, strategy=strategy, epochs=6) as running:
        ended_well(running.wait())
    wanted = alone(store, tmp_path / "alone", STRATEGIES[strategy], epochs=6)
    close(runs.strategy(name, strategy), wanted, tries=2, epochs=6)


@pytest.mark.slow
def test_of_four_one_is_killed_and_two_go_on(runs, store, tmp_path):
    with runs.start(4, "fewer") as running:
        runs.wait_for_epochs(running, "fewer", 3)
        running.processes[3].kill()
        said = running.wait()
    ended_without(3, said)
    with runs.start(2, "fewer", "--resume") as running:
        ended_well(running.wait())
    close(
        runs.strategy("fewer"), alone(store, tmp_path / "alone"), tries=2, epochs=EPOCHS
    )


@pytest.mark.slow
def test_all_are_asked_to_stop_and_four_go_on(runs, store, tmp_path):
    with runs.start(2, "more") as running:
        runs.wait_for_epochs(running, "more", 3)
        for process in running.processes:
            process.send_signal(signal.SIGTERM)
        ended_well(running.wait())
    with runs.start(4, "more", "--resume") as running:
        ended_well(running.wait())
    close(
        runs.strategy("more"), alone(store, tmp_path / "alone"), tries=2, epochs=EPOCHS
    )


def test_hosts_that_find_other_checkpoints_do_not_go_on(store, tmp_path, monkeypatch):
    # What another process would find, which has no other use for a number so large.
    monkeypatch.setattr(processes, "of_all", lambda n: [n, n + 1] if n > 1 else [n])
    with pytest.raises(ValueError, match="do all hosts share that file system"):
        alone(store, tmp_path / "alone", tries=1, epochs=1)
    assert not list(tmp_path.rglob("metrics.jsonl"))
