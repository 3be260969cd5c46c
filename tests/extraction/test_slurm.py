"""launch/extract.slurm, with stand-ins for SLURM's commands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.extraction.museum_folder import write_museums
from tests.extraction.runs import contents, run

# Runs a job at once: every task of an array, one after another, as SLURM would. A job
# whose dependency failed is cancelled.
SBATCH = """#!/usr/bin/env bash
echo "$@" >> submitted
array="" after=""
while [ "${1#-}" != "$1" ]; do
  case "$1" in
    --array=*) array="${1#--array=0-}" ;;
    --dependency=afterok:*) after="${1#--dependency=afterok:}" ;;
  esac
  shift
done
export SLURM_SUBMIT_DIR="$PWD" SLURM_JOB_ID=17
if [ -n "$array" ]; then
  for task in $(seq 0 "$array"); do
    SLURM_ARRAY_JOB_ID=17 SLURM_ARRAY_TASK_ID=$task SLURM_JOB_ID=$((17 + task)) \\
      SLURM_ARRAY_TASK_COUNT=$((array + 1)) bash "$@" >>log 2>&1 || touch failed
  done
elif [ ! -e failed ]; then
  [ "$after" = 17 ] && bash "$@" >>log 2>&1
fi
echo "17;cluster"
"""
SCONTROL = """#!/usr/bin/env bash
echo "$@" >> requeued
"""
# Says how it was called; works until it is asked to stop, where WORKS says so.
PYTHON = """#!/usr/bin/env bash
echo "$@" >> called
[ "$WORKS" = fails ] && exit 5
[ "$WORKS" = long ] || exit 0
touch working
for _ in $(seq 600); do sleep 0.05; done
"""


@pytest.fixture
def start(repository: Path, tmp_path: Path):
    for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL), ("python", PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(repository / "launch" / "extract.slurm"), *arguments],
            cwd=tmp_path,
            env={
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "PYTHON": "python",
                "HM3_JAX_HOME": str(repository),
                "WORKS": "",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def test_an_array_of_shards_and_a_job_that_waits_for_it(start, tmp_path):
    options = ["--gpus=1", "--time=4:00", "--"]
    job = start("3", *options, "--output=a b", "--device=cpu", "--num_workers", "2")
    out, err = job.communicate(timeout=120)
    assert (job.returncode, err) == (0, "")
    assert out == "extract: job 17 extracts in 3 tasks; the store follows\n"
    shards, merging = (tmp_path / "submitted").read_text().splitlines()
    assert shards.startswith("--parsable --array=0-2 --gpus=1 --time=4:00 ")
    assert "--dependency=afterok:17 --kill-on-invalid-dep=yes" in merging
    assert "--gpus=1 --time=4:00" in merging
    work = "-m hm3_jax.extract --output=a b --device=cpu --num_workers 2"
    assert (tmp_path / "called").read_text().splitlines() == [
        *(f"{work} --num_shards=3 --shard_index={i}" for i in range(3)),
        "-m hm3_jax.extract --output=a b --merge",
    ]


def test_a_task_that_fails_leaves_no_job_to_make_the_store(start, tmp_path):
    start("1", "--", "--output=store", WORKS="fails").communicate(timeout=120)
    (called,) = (tmp_path / "called").read_text().splitlines()
    assert called.endswith("--num_shards=1 --shard_index=0")
    assert not (tmp_path / "requeued").exists()


def test_a_task_whose_time_is_over_is_put_back_into_the_queue(start, tmp_path):
    job = start(
        "shard",
        "--output=store",
        WORKS="long",
        SLURM_JOB_ID="19",
        SLURM_ARRAY_JOB_ID="17",
        SLURM_ARRAY_TASK_ID="2",
        SLURM_ARRAY_TASK_COUNT="4",
    )
    try:
        until = time.monotonic() + 120
        while not (tmp_path / "working").exists():
            assert time.monotonic() < until and job.poll() is None
            time.sleep(0.02)
        job.send_signal(signal.SIGUSR1)
        out, err = job.communicate(timeout=120)
    finally:
        job.kill()
    assert (job.returncode, out) == (0, "")
    assert (tmp_path / "requeued").read_text() == "requeue 17_2\n"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["many", "--", "--output=s"], 2, "extract: expected a number of shards first"),
        (["3", "--gpus=1"], 2, "extract: expected -- and flags of hm3_jax.extract"),
        (["shard", "--output=s"], 2, "extract: expected a SLURM job, found none\n"),
        ([], 2, ""),
        (["--help"], 0, ""),
    ],
)
def test_wrong_calls(start, tmp_path, arguments, code, line):
    called = start(*arguments)
    out, err = called.communicate(timeout=120)
    assert called.returncode == code
    assert err.startswith(line) and bool(err) == bool(line)
    assert out.startswith("Extracts features as SLURM jobs") == (not line)
    assert not (tmp_path / "called").exists()


@pytest.mark.thorough
def test_the_same_store_as_on_one_machine(start, tmp_path, clip_folder):
    museums = write_museums(tmp_path / "museums", 2, videos=False)
    job = start(
        "2",
        "--",
        f"--museums={museums}",
        f"--output={tmp_path / 'store'}",
        f"--pretrained={clip_folder}",
        "--batch_size=2",
        "--num_workers=0",
        "--device=cpu",
        "--dtype=float32",
        "--dataset_name=small",
        PYTHON=sys.executable,
    )
    out, err = job.communicate(timeout=600)
    assert (job.returncode, err) == (0, ""), (tmp_path / "log").read_text()
    run(museums, tmp_path / "alone", clip_folder)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")
