"""Files of a run: whole or not there, and on the disk."""

import json
import os

import pytest

from hm3_jax.learn.saved.run_folder import MetricsLog


def fail(*_):
    raise OSError(28, "No space left on device")


def test_a_log_goes_on_after_the_epoch_that_is_kept(tmp_path):
    log = MetricsLog(tmp_path, 0)
    for epoch in range(1, 5):
        log.write({"epoch": epoch, "loss": float("nan")})
    log.flush()
    path = tmp_path / "metrics.jsonl"
    # A kill in the middle of a line, one in the middle of dropping lines.
    path.write_text(path.read_text() + '{"epoch": 5, "lo')
    (tmp_path / ".metrics.jsonl.partial").write_text("half")
    log = MetricsLog(tmp_path, 3)
    log.write({"epoch": 4})
    found = [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
    assert found == [1, 2, 3, 4]
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_log_that_lost_epochs_is_refused(tmp_path):
    MetricsLog(tmp_path, 0).write({"epoch": 1})
    wanted = f"{tmp_path}/metrics.jsonl: expected the lines of 2 .*, found 1"
    with pytest.raises(ValueError, match=wanted):
        MetricsLog(tmp_path, 2)


def test_dropping_lines_never_empties_the_log(tmp_path, monkeypatch):
    log = MetricsLog(tmp_path, 0)
    for epoch in (1, 2):
        log.write({"epoch": epoch})
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(os, "replace", fail)
        MetricsLog(tmp_path, 1)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
