"""Eight devices against one: batches split over them, and runs spread over them."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.settings import Execution
from tests.learn import eight_devices, small

STEM = small.FLAT.file_stem

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def eight(store, tmp_path_factory, repository) -> Path:
    """Folder with what eight devices made of the store."""
    folder = tmp_path_factory.mktemp("eight")
    # XLA simplifies sums and products in another order where a program is spread over
    # devices; without that, whatever else differed would be ours.
    flags = "--xla_force_host_platform_device_count=8 --xla_disable_hlo_passes=algsimp"
    done = subprocess.run(
        [sys.executable, "-m", eight_devices.__name__, str(store.path), str(folder)],
        cwd=repository,
        env=os.environ
        | {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def one(store, tmp_path_factory) -> Path:
    """Strategy's folder of three runs on one device, as users compile them."""
    folder = tmp_path_factory.mktemp("one") / "run"
    execution = Execution(num_devices=1, data_placement="device")
    return eight_devices.train(store, folder, execution, number_of_tries=3)


@pytest.mark.thorough
@pytest.mark.parametrize("name", eight_devices.LOSSES)
def test_a_split_batch_is_one_batch(store, eight, name):
    config, loss = eight_devices.LOSSES[name]
    wanted, losses, norms = eight_devices.take_20_steps(store, config, loss, devices=1)
    found, found_losses, found_norms = pickle.loads(
        (eight / "steps.pickle").read_bytes()
    )[name]
    assert losses.shape == (20,) and np.median(losses) > 0.1
    np.testing.assert_allclose(found_losses, losses, rtol=1e-5)
    assert norms.shape == (20,) and np.median(norms) > 0.1
    np.testing.assert_allclose(found_norms, norms, rtol=1e-4, atol=1e-6)

    def close(found, wanted):
        largest = np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * largest)

    jax.tree.map(close, found, wanted)


@pytest.mark.parametrize(
    ("name", "wanted"), [("spread", "one"), ("fed", "mixed")], ids=str
)
def test_where_runs_and_features_lie_changes_no_bit(eight, name, wanted):
    """Runs on eight devices or one; features on the devices or fed step by step."""
    found, expected = (eight / of / STEM for of in (name, wanted))
    assert small.results(found) == small.results(expected)
    for attempt in range(1, len(list(found.glob("try_*"))) + 1):
        folders = [path / f"try_{attempt}" for path in (found, expected)]
        models = [checkpoint.load_model(folder).model for folder in folders]
        jax.tree.map(np.testing.assert_array_equal, *[m.params for m in models])


@pytest.mark.parametrize("name", ["spread", "mixed", "fed"])
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_every_run_is_what_it_is_on_one_device(eight, one, name, attempt):
    """ "mixed" are two rows of four devices, with two runs and one."""
    small.same_losses(small.log(eight / name / STEM, attempt), small.log(one, attempt))
