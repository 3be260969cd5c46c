"""A run killed at any point, and then the same command: the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import REPOSITORY
from tests.extraction.runs import contents, run

pytest.importorskip("open_clip")

ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def killed_runs(museums, clip_folder, folder, kills, seed):
    """Kills runs at random operations on files, at each of them for 0 kills."""
    (folder / "whole").mkdir()
    command = [sys.executable, "-m", "tests.extraction.killed_runs"]
    command += [museums, clip_folder, folder, str(kills), str(seed)]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == kills or not kills
    wanted = contents(folder / "whole" / "store")
    for number, line in enumerate(lines):
        after = folder / f"killed_{number}"
        assert contents(after / "store") == wanted, line
        assert [path.name for path in after.iterdir()] == ["store"], line
    return lines


@pytest.mark.thorough
def test_a_run_killed_at_any_of_20_points_comes_to_the_same(
    museums, clip_folder, tmp_path
):
    lines = killed_runs(museums, clip_folder, tmp_path, kills=20, seed=1)
    # They were killed in all parts of the run.
    assert len({line.split()[1] for line in lines}) == 20


@pytest.mark.slow
def test_a_run_killed_at_every_point_comes_to_the_same(museums, clip_folder, tmp_path):
    assert len(killed_runs(museums, clip_folder, tmp_path, kills=0, seed=2)) > 100


def command(museums, clip_folder, output):
    return [
        *(sys.executable, "-m", "hm3_jax.extract", "--num_workers=2"),
        *(f"--museums={museums}", f"--output={output}", f"--pretrained={clip_folder}"),
        *("--batch_size=2", "--dtype=float32", "--dataset_name=small"),
        *("--device=cpu", "--precision=float32"),
    ]


@pytest.mark.thorough
def test_a_command_that_is_interrupted_says_how_to_go_on(
    museums, clip_folder, tmp_path
):
    arguments = command(museums, clip_folder, "store")
    interrupted = subprocess.Popen(
        arguments,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    chunks = tmp_path / "store.extraction" / "chunks"
    while not chunks.is_dir() or not list(chunks.iterdir()):
        assert interrupted.poll() is None, interrupted.communicate()
        time.sleep(0.002)
    # As from a terminal: to the command and its workers.
    os.killpg(interrupted.pid, signal.SIGINT)
    said, complaint = interrupted.communicate(timeout=60)
    assert (interrupted.returncode, complaint) == (130, "interrupted\n")
    assert said.endswith(
        "what is finished is in store.extraction; "
        "the same command continues from there\n"
    )
    assert not (tmp_path / "store").exists()
    again = subprocess.run(
        arguments, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=False
    )
    assert again.returncode == 0, again.stderr
    run(museums, tmp_path / "expected", clip_folder)
    assert contents(tmp_path / "store") == contents(tmp_path / "expected")


@pytest.mark.slow
def test_a_command_killed_20_times_comes_to_the_same(museums, clip_folder, tmp_path):
    run(museums, tmp_path / "expected", clip_folder)
    arguments = command(museums, clip_folder, tmp_path / "store")
    random_seconds = random.Random(3)
    kills = 0
    # Half of the kills fall on the start, which takes some seconds, and half after it.
    while kills < 20:
        process = subprocess.Popen(
            arguments,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if kills % 2:
            time.sleep(random_seconds.uniform(0, 3))
        else:
            while not (tmp_path / "store.extraction").exists():
                assert process.poll() is None
                time.sleep(0.001)
            time.sleep(random_seconds.uniform(0, 0.8))
        process.kill()
        process.wait()
        kills += 1
        if (tmp_path / "store").exists():
            # Killed while it cleaned up, or too late.
            assert contents(tmp_path / "store") == contents(tmp_path / "expected")
            subprocess.run(["rm", "-r", tmp_path / "store"], check=True)
            subprocess.run(["rm", "-rf", tmp_path / "store.extraction"], check=True)
    done = subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "store") == contents(tmp_path / "expected")
