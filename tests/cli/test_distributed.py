"""Processes that form one program: who says what, and how all end when one does."""

import signal

import pytest
from absl import flags
from absl.testing import flagsaver

from hm3_jax.cli import distributed
from tests.processes import together

# What an entry is, with something to do for every case.
ENTRY = """
import sys, time, warnings
from pathlib import Path
from absl import flags
import jax
from hm3_jax.cli import frame
from hm3_jax.cli import distributed
from hm3_jax.learn.devices import processes

flags.DEFINE_string("case", None, "What happens.")

@distributed.joined
def main():
    case, number = flags.FLAGS.case, jax.process_index()
    print(f"{jax.process_count()} processes, {jax.device_count()} devices", flush=True)
    if number == 0:
        warnings.warn_explicit("of 0", UserWarning, "f", 1, "hm3_jax.f")
    else:
        warnings.warn_explicit("of 1", UserWarning, "f", 1, "hm3_jax.f")
    Path(f"here_{number}").touch()
    if case == "all_fail":
        time.sleep(number)
        raise FileNotFoundError(2, "No such file or directory", "STORE")
    if case == "one_fails":
        processes.wait_for_all("the beginning")
    if case == "one_fails" and number == 1:
        raise ValueError("found 3 museums")
    if case == "one_fails":
        processes.wait_for_all("the end")
    if case == "killed":
        time.sleep(100)
    return 3

frame.run(main)
"""
WAITS = "loading JAX, then waiting for the other processes\n"
GONE = (
    "error: process 0 of 2 stops: another process has ended or cannot be reached; "
    "--resume continues from what is saved"
)


@pytest.fixture
def start(tmp_path):
    (tmp_path / "entry.py").write_text(ENTRY)
    return lambda case: together(2, ["entry.py", f"--case={case}"], tmp_path)


def test_process_0_speaks_for_all(start):
    with start("nothing") as processes:
        said = processes.wait()
    assert [s.code for s in said] == [3, 3]
    assert said[0].out == WAITS + "2 processes, 2 devices\n"
    assert said[0].err == "warning: of 0\n"
    assert (said[1].out, said[1].err) == ("", "")


def test_where_all_fail_alike_one_says_so(start):
    with start("all_fail") as processes:
        said = processes.wait()
    assert [s.code for s in said] == [2, 2]
    error = "error: STORE: No such file or directory\n"
    assert [s.err for s in said] == [f"warning: of 0\n{error}", ""]


@pytest.mark.thorough
def test_one_that_fails_alone_says_so_and_the_others_end(start):
    with start("one_fails") as processes:
        said = processes.wait()
    assert [s.code for s in said] == [1, 2]
    assert said[0].err.startswith("warning: of 0\n" + GONE)
    assert "Gloo" in said[0].err and said[0].err.count("\n") == 2
    assert (
        said[0].out == WAITS + "2 processes, 2 devices\n"
    )  # not what Gloo prints there
    assert said[1].err == "process 1: error: found 3 museums\n"


# Without process 0 JAX aborts at once; the loss of another shows by its silence.
@pytest.mark.parametrize("killed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_others_end_when_one_is_killed(start, tmp_path, killed):
    with start("killed") as processes:
        processes.wait_until(
            lambda: all((tmp_path / f"here_{n}").exists() for n in (0, 1))
        )
        processes.processes[killed].kill()
        said = processes.wait()
    assert said[killed].code == -signal.SIGKILL
    assert said[1 - killed].code == -signal.SIGABRT


SLURM = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, None),
        # An allocation of several tasks without srun, and a step of one task.
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
        # A task for each of two GPUs on two nodes: JAX gives it the one of its number.
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, (None, 4, 2, None)),
        (SLURM | {"CUDA_VISIBLE_DEVICES": "0,1"}, (None, 4, 2, None)),
        # A task on each of four nodes, and tasks that see one GPU each: all they see.
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x4)"}, (None, 4, 2, [])),
        (SLURM | {"CUDA_VISIBLE_DEVICES": "1"}, (None, 4, 2, [])),
    ],
)
@flagsaver.flagsaver(distributed="auto")
def test_what_slurm_says(environment, wanted):
    parsed()
    assert distributed.partners(environment) == wanted


@flagsaver.flagsaver
def test_flags_before_slurm():
    parsed("--coordinator_address=host:1", "--num_processes=2", "--process_id=1")
    assert distributed.partners(SLURM) == ("host:1", 2, 1, [])


@flagsaver.flagsaver
def test_off_is_off():
    parsed("--distributed=off")
    assert distributed.partners(SLURM) is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--num_processes=2"], "together, found None, 2 and None"),
        (["--process_id=0", "--distributed=off"], "--process_id has no effect with"),
        (
            ["--coordinator_address=host", "--num_processes=2", "--process_id=1"],
            "coordinator_address: expected HOST:PORT, found 'host'",
        ),
        (
            ["--coordinator_address=host:1", "--num_processes=2", "--process_id=2"],
            "process_id: expected less than --num_processes=2, found 2",
        ),
    ],
)
@flagsaver.flagsaver
def test_flags_that_say_too_little_are_refused(given, complaint):
    parsed(*given)
    with pytest.raises(ValueError, match=complaint):
        distributed.partners({})


def parsed(*given: str) -> None:
    """Sets flags one by one: other tests may have declared some that are required."""
    flags.FLAGS.mark_as_parsed()
    for argument in given:
        name, _, value = argument.removeprefix("--").partition("=")
        flags.FLAGS[name].parse(value)
