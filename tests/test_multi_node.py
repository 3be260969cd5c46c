"""launch/multi_node.slurm, with stand-ins for SLURM's commands and for Python."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

# Forwards signals to what it runs, as srun does.
SRUN = """#!/usr/bin/env bash
while [ "${1#-}" != "$1" ]; do shift; done
trap 'kill -USR1 $child' USR1
trap 'kill -TERM $child' TERM
"$@" & child=$!
wait $child || code=$?
while kill -0 $child 2>/dev/null; do code=0; wait $child || code=$?; done
exit ${code:-0}
"""
SCONTROL = """#!/usr/bin/env bash
echo "$@" > requeued
"""
# Training: says how it was called, then works until it is asked to stop.
PYTHON = """#!/usr/bin/env bash
echo "$@" > called
[ "$WORKS" = no ] && exit 5
trap 'echo USR1 > asked; exit 0' USR1
trap 'echo TERM > asked; exit 0' TERM
touch working
for _ in $(seq 600); do sleep 0.05; done
"""


@pytest.fixture
def start(repository: Path, tmp_path: Path):
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("python", PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(repository / "launch" / "multi_node.slurm"), *arguments],
            cwd=tmp_path,
            env={
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "PYTHON": "python",
                "SLURM_JOB_ID": "17",
                "SLURM_SUBMIT_DIR": str(repository),
                "WORKS": "yes",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.mark.parametrize(("name", "requeued"), [("USR1", True), ("TERM", False)])
def test_a_job_that_is_asked_to_stop(start, tmp_path, name, requeued):
    job = start("sweep", "--features=a b", "--epochs=3")
    try:
        until = time.monotonic() + 120
        while not (tmp_path / "working").exists():
            assert time.monotonic() < until and job.poll() is None
            time.sleep(0.02)
        job.send_signal(signal.Signals[f"SIG{name}"])
        out, err = job.communicate(timeout=120)
    finally:
        job.kill()
    assert (job.returncode, out, err) == (0, "", "")
    assert (tmp_path / "asked").read_text() == f"{name}\n"
    called = "-m hm3_jax.sweep --resume --features=a b --epochs=3\n"
    assert (tmp_path / "called").read_text() == called
    assert (tmp_path / "requeued").exists() == requeued
    if requeued:
        assert (tmp_path / "requeued").read_text() == "requeue 17\n"


def test_a_job_whose_training_fails(start, tmp_path):
    job = start("--features=store", WORKS="no")
    assert job.communicate(timeout=120) == ("", "")
    assert job.returncode == 5
    assert (tmp_path / "called").read_text().startswith("-m hm3_jax.train --resume")
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize(
    ("arguments", "job", "code", "line"),
    [
        (["test"], "17", 2, "multi_node: expected train or sweep, found 'test'\n"),
        (["train"], "", 2, "multi_node: expected a SLURM job, found none"),
        ([], "", 2, ""),
        (["--help"], "", 0, ""),
    ],
)
def test_wrong_calls(start, tmp_path, arguments, job, code, line):
    called = start(*arguments, SLURM_JOB_ID=job)
    out, err = called.communicate(timeout=120)
    assert called.returncode == code
    assert err.startswith(line) and bool(err) == bool(line)
    assert out.startswith("Trains on the GPUs of several") == (not line)
    assert not (tmp_path / "called").exists()
