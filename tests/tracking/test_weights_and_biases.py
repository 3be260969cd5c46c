"""W&B without a network: what its own files say, and what happens when it dies."""

import gc
import json
import os
import signal
import struct
import sys
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import wandb

from hm3_jax.tracking.following import following
from hm3_jax.tracking.weights_and_biases import WeightsAndBiases
from tests.tracking import runs

BLOCK = 32768


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Nobody is logged in, whoever runs the tests, and W&B starts anew."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    yield
    with warnings.catch_warnings():
        # W&B does not look after a service that was killed.
        warnings.simplefilter("ignore", ResourceWarning)
        wandb.teardown()
        gc.collect()


def sessions(folder: Path) -> list[list[Any]]:
    """The records of every session that a try's folder has."""
    # W&B may still be writing when it says that a run is finished.
    wandb.teardown()
    messages: Any = import_module("wandb.proto.wandb_internal_pb2")
    files = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    return [
        [messages.Record.FromString(record) for record in parts(file.read_bytes())]
        for file in files
    ]


def parts(data: bytes) -> Iterator[bytes]:
    """Records of a log in LevelDB's form, after a header of W&B's own."""
    assert data.startswith(b":W&B")
    at, whole = 7, b""
    while at < len(data):
        left = BLOCK - at % BLOCK
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def about(records: list[Any]) -> Any:
    """What a session says of its run."""
    return next(r.run for r in records if r.HasField("run"))


def history(records: list[Any]) -> list[dict[str, Any]]:
    """What a session has logged."""
    return [
        {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in h.item}
        for h in (r.history for r in records if r.HasField("history"))
    ]


def test_epochs_and_test(tmp_path):
    tracker = WeightsAndBiases()
    one, other = (runs.run(tmp_path, attempt) for attempt in (1, 2))
    for run in (one, other):  # both at once, as they train
        tracker.begin(run)
    for number in (1, 2, 3):
        tracker.epoch(one, runs.epoch(number))
    tracker.epoch(other, runs.epoch(1))
    tracker.end(one, runs.TESTED)
    tracker.end(other, runs.FAILED)
    tracker.close()
    (records,), (of_other,) = sessions(one.folder), sessions(other.folder)
    run = about(records)
    assert (run.run_group, run.display_name) == ("theme", "rnn/try_1")
    assert run.project == "hm3_jax"
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["settings"] == {"lr": 0.01} and config["dataset_name"] == "small"
    logged = history(records)
    assert [line["_step"] for line in logged] == [1, 2, 3]
    for number, line in zip((1, 2, 3), logged, strict=True):
        assert line["val/t2s_R@1"] == 10 * number
        assert line["gradient_norm/max"] == 2
        assert line["speed/museums_per_second"] == 100 * number
        assert line["gradient_norm/steps/_type"] == "histogram"
        assert sum(line["gradient_norm/steps/values"]) == 7
    summary = {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in records
        if record.HasField("summary")
        for item in record.summary.update
    }
    assert summary["test/t2s_R@1"] == 12.5
    assert len(history(of_other)) == 1
    ends = [
        next(r.exit.exit_code for r in found if r.HasField("exit"))
        for found in (records, of_other)
    ]
    assert ends == [0, 1]


def test_a_run_that_goes_on_is_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "museums")
    first = WeightsAndBiases()
    first.begin(runs.run(tmp_path))
    first.epoch(runs.run(tmp_path), runs.epoch(1))
    first.close()
    again = runs.run(tmp_path, finished_epochs=1)
    time.sleep(1)  # W&B names folders by the second
    second = WeightsAndBiases()
    second.begin(again)
    second.epoch(again, runs.epoch(2))
    second.end(again, runs.TESTED)
    found = sessions(again.folder)
    assert len({about(records).run_id for records in found}) == 1
    assert {about(records).project for records in found} == {"museums"}
    assert [[line["_step"] for line in history(r)] for r in found] == [[1], [2]]


def service() -> int:
    """Process id of W&B's service, which is this process's child."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if (
                parent == os.getpid()
                and b"wandb-core" in (process / "cmdline").read_bytes()
            ):
                return int(process.name)
        except OSError:
            continue
    raise AssertionError("it does not run")


def test_a_service_that_dies_is_one_warning(tmp_path):
    run = runs.run(tmp_path)
    with pytest.warns(UserWarning, match="--log=wandb is switched off") as caught:
        with following([WeightsAndBiases()], patience=5) as follower:
            follower.begin(run)
            until = time.monotonic() + 120
            while not list(run.folder.glob("wandb/offline-run-*/run-*.wandb")):
                assert time.monotonic() < until
                time.sleep(0.05)
            os.kill(service(), signal.SIGKILL)
            for number in range(1, 60):
                follower.epoch(run, runs.epoch(number))
                time.sleep(0.01)
            follower.end(run, runs.TESTED)
    assert len(caught) == 1


def test_who_is_not_logged_in_is_told_before_training(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(ValueError, match="found no key: run wandb login, or set"):
        WeightsAndBiases()


def test_who_is_logged_in_needs_no_network_yet(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    WeightsAndBiases()


def test_without_wandb_training_does_not_begin(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match=r"needs W&B .*setup\.sh core logging$"):
        WeightsAndBiases()
