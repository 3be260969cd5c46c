"""train with loggers as a user runs it: told where, killed, and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hm3_jax.nn.strategy_json import strategy_text
from tests.commands import fail, succeed
from tests.learn import small

EPOCHS = 40


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """W&B without a network, whatever the person who runs the tests has set."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))


@pytest.fixture
def flags(tmp_path) -> list[str]:
    """Of a run of one try, whose store and strategy are made."""
    small.write(tmp_path / "store")
    (tmp_path / "flat.json").write_text(strategy_text(small.FLAT))
    return [
        *("--features=store", "--workdir=runs", "--config_files=flat.json"),
        *(f"--epochs={EPOCHS}", "--batch_size=5", "--save_every_seconds=0.1"),
    ]


def test_a_logger_that_there_is_not_is_refused(run_module, tmp_path, flags):
    complaint = "expected some of jsonl, tensorboard, wandb, found 'colour'"
    fail(run_module("hm3_jax.train", *flags, "--log=wandb,colour"), complaint)
    assert not (tmp_path / "runs").exists()


def test_nobody_trains_without_being_logged_in(
    run_module, tmp_path, flags, monkeypatch
):
    monkeypatch.delenv("WANDB_MODE")
    complaint = "--log=wandb: expected to be logged in, found no key: run wandb login"
    fail(run_module("hm3_jax.train", *flags, "--log=jsonl,wandb"), complaint)
    assert not (tmp_path / "runs").exists()


@pytest.mark.thorough
def test_a_killed_run_goes_on_in_the_same_places(run_module, tmp_path, flags):
    flags = [*flags, "--log=tensorboard,wandb"]
    folder = tmp_path / "runs" / "experiment" / small.FLAT.file_stem / "try_1"
    first = subprocess.Popen(
        [sys.executable, "-m", "hm3_jax.train", *flags],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while not list(folder.glob("wandb/offline-run-*/*.wandb")):
        assert time.monotonic() < until and first.poll() is None
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    killed = len((folder / "metrics.jsonl").read_text().splitlines())
    assert 0 < killed < EPOCHS

    shown = succeed(run_module("hm3_jax.train", *flags, "--resume", "--progress=none"))
    _, first_line, *_, last_line = shown.splitlines()
    assert first_line.startswith("small (real features)")
    assert last_line == "written to runs/experiment" and "epoch" not in shown
    run_id = json.loads((folder / "wandb_run.json").read_text())["id"]
    sessions = sorted(path.name for path in (folder / "wandb").glob("offline-run-*"))
    assert len(sessions) == 2
    assert all(name.endswith(f"-{run_id}") for name in sessions)
    assert len(list(folder.glob("events.out.tfevents.*"))) == 2
    epochs = [
        json.loads(line)["epoch"]
        for line in (folder / "speed.jsonl").read_text().splitlines()
    ]
    assert set(epochs) == set(range(1, EPOCHS + 1))
    assert len(small.log(folder.parent, 1)) == EPOCHS
