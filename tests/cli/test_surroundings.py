"""Commands where the user, the machine or other programs have arranged things oddly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hm3_jax.nn.strategy_json import strategy_text
from tests.commands import succeed
from tests.learn import small

# Runs a module as a user whom no file knows, as containers have them.
NOBODY = """
import os, pwd, runpy, sys
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
os.environ.pop("HOME")
sys.argv[:1] = []
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
OF_OTHERS = {
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_THREEFRY_PARTITIONABLE": "0",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    small.write(folder / "store")
    (folder / "flat.json").write_text(strategy_text(small.FLAT))
    return folder


@pytest.fixture
def as_nobody(folder, repository):
    """Runs a command as a user without home, with JAX set as for another program."""

    def run(module, *arguments):
        surroundings = os.environ | OF_OTHERS | {"PYTHONPATH": str(repository)}
        # So that the user's cache is asked for.
        surroundings.pop("JAX_COMPILATION_CACHE_DIR", None)
        surroundings.pop("XDG_CACHE_HOME", None)
        return subprocess.run(
            [sys.executable, "-c", NOBODY, module, *arguments],
            cwd=folder,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.mark.thorough
def test_the_same_numbers_without_home_and_with_settings_of_others(
    run_module, as_nobody, folder
):
    train = ("--config_files=flat.json", "--batch_size=5", "--epochs=2", "--workdir=.")
    odd = as_nobody(
        "hm3_jax.train", "--features=store", "--experiment_name=odd", *train
    )
    succeed(odd, warning="the user has no home (XDG_CACHE_HOME can name a cache)")
    plain = ("--experiment_name=plain", f"--workdir={folder}")
    succeed(
        run_module(
            "hm3_jax.train",
            f"--features={folder / 'store'}",
            *train,
            f"--config_files={folder / 'flat.json'}",
            *plain,
        )
    )
    odd, plain = (folder / name / "rnn_meanPoolProc" for name in ("odd", "plain"))
    for name in ("try_1/metrics.jsonl", "test_output.json"):
        assert (odd / name).read_bytes() == (plain / name).read_bytes()

    done = as_nobody(
        "hm3_jax.evaluate",
        f"--checkpoint={plain / 'try_1'}",
        "--features=store",
        "--output=evaluation",
    )
    succeed(done, warning="the user has no home (XDG_CACHE_HOME can name a cache)")
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert metrics == small.outcome(plain, 1)["metrics"]
    assert not (folder / "~").exists()
