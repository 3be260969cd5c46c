"""Help and wrong flags take no library that starts slowly, whatever the command."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_imports import entries_of

# Each takes from a tenth of a second to several.
SLOW = {
    *("fastapi", "flax", "huggingface_hub", "jax", "matplotlib", "open_clip", "optax"),
    *("orbax", "orjson", "PIL", "pyarrow", "pydantic", "qdrant_client", "ray", "rich"),
    *("safetensors", "scipy", "sklearn", "starlette", "tensorboard"),
    *("tensorflow_datasets", "torch", "torchvision", "uvicorn", "wandb"),
}

# Runs each command in a process that it forks, so that Python starts only once. JAX is
# never loaded: a command that asks for it says so and ends.
RUNNER = """\
import json, os, runpy, sys

# What nearly all of them take.
import absl.flags, jaxtyping, numpy

class NoJax:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "jax":
            os.write(1, b"asks for JAX\\n")
            raise SystemExit("asked for JAX")

sys.meta_path.insert(0, NoJax)
SLOW = set(json.loads(sys.argv[1]))
for name, *arguments in json.loads(sys.argv[2]):
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        said = os.open(f"{name}.out", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(said, 1)
        os.dup2(said, 2)
        code = None
        sys.argv = [name, *arguments]
        try:
            runpy.run_module(f"hm3_jax.{name}", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        os.write(theirs, json.dumps([code, sorted(SLOW & set(sys.modules))]).encode())
        os._exit(0)
    os.close(theirs)
    code, slow = json.loads(os.read(ours, 4096))
    os.waitpid(child, 0)
    print(json.dumps([code, open(f"{name}.out").read(), slow]))
"""


class Done(NamedTuple):
    code: int
    said: str
    slow: list[str]


def run_all(commands: list[list[str]], folder: Path, repository: Path) -> list[Done]:
    """Runs commands, NAME and arguments each, one after the other."""
    process = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(sorted(SLOW)), json.dumps(commands)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return [Done(*json.loads(line)) for line in process.stdout.splitlines()]


def test_help_starts_nothing_slow(repository, tmp_path):
    entries = sorted(entries_of(repository / "hm3_jax"))
    pages = run_all([[name, "--help"] for name in entries], tmp_path, repository)
    assert len(pages) == len(entries) > 15
    for name, page in zip(entries, pages, strict=True):
        assert page.code == 0, page
        assert f"Usage: python -m hm3_jax.{name}" in page.said
        assert page.slow == [], name


TRAIN = ["--features=f", "--workdir=w"]
STRATEGY = (
    Path(__file__).resolve().parents[2]
    / "configs/strategies/pov_only/hier_by_room_rnn_meanPoolProc.json"
)


def test_training_speaks_before_it_loads_jax(repository, tmp_path):
    flags = [*TRAIN, f"--config_files={STRATEGY}"]
    commands = [["train", *flags], ["sweep", *flags, "--grid=lr=0.1,0.2;seed=1,2"]]
    for done in run_all(commands, tmp_path, repository):
        assert done.said == "loading JAX\nasks for JAX\n"


WRONG = [
    (["train", *TRAIN, "--epoch=3"], "Unknown command line flag 'epoch'"),
    (["train", "--features=f"], "missing --workdir"),
    (["train", *TRAIN], "give --config_files or --config_files_dir"),
    (["train", *TRAIN, f"--config_files={STRATEGY}", "--lr=0"], "lr: expected more"),
    (["train", *TRAIN, "--process_id=1"], "expected --coordinator_address"),
    (["train", *TRAIN, "--experiment_name=a/b"], "expected a folder's name"),
    (["sweep", *TRAIN], "expected one of --grid, --settings"),
    (["sweep", *TRAIN, "--grid=lr"], "expected NAME=A,B;NAME=C,D"),
    (["build_index", "--output=o"], "expected --checkpoint and --features"),
    (["build_index", "--output=o", "--features=f"], "--features needs --checkpoint"),
    (["search", "--index=i"], "expected --query, --query_file"),
    (["search", "--index=i", "--query=q", "--token=t"], "--token is for --uri"),
    (["serve", "--index=i", "--input_root=r"], "--input_root is for pictures"),
    (["serve", "--index=i", "--port=70000"], "70000"),
    (
        ["evaluate", "--checkpoint=c", "--features=f", "--output=o", "--top_k=3"],
        "--top_k has no effect",
    ),
    (
        [
            *("evaluate", "--checkpoint=c", "--features=f", "--output=o"),
            "--query_sentences=0",
        ],
        "query_sentences: expected whole numbers",
    ),
    (
        [
            *("convert", "--from=orbax", "--to=pytorch", "--input=i", "--output=o"),
            "--private",
        ],
        "--private has no effect",
    ),
    (["report", "--runs=r", "--output=o", "--layout=x"], "--layout: expected all"),
    (
        ["report", "--runs=r", "--output=o", "--show=x", "--nofigures"],
        "--show has no effect",
    ),
    (["extract", "--museums=m", "--output=o"], "expected a model: --preset"),
]


@pytest.fixture(scope="module")
def refusals(repository, tmp_path_factory) -> list[Done]:
    folder = tmp_path_factory.mktemp("refusals")
    return run_all([command for command, _ in WRONG], folder, repository)


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_flags_are_refused_before_anything_slow_starts(refusals, number):
    command, complaint = WRONG[number]
    done = refusals[number]
    assert done.code == 2
    (line,) = done.said.splitlines()
    assert line.startswith("error: ") and complaint in line, (command, line)
    assert done.slow == []
