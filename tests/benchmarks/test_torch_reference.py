import importlib
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="module")
def on_path():
    """Benchmarks are run from the repository's root and are not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield


@pytest.fixture(scope="module")
def reference(on_path):
    return importlib.import_module("benchmarks.torch_reference")


@pytest.fixture(scope="module")
def data(on_path):
    return importlib.import_module("benchmarks.torch_data")


def arrays(stem):
    with np.load(GOLDEN / f"{stem}.npz") as found:
        return {name: found[name] for name in found.files}


def offsets(lengths):
    return np.concatenate([[0], np.cumsum(lengths)])


def state(found, prefix):
    return {
        name.removeprefix(prefix): torch.from_numpy(value)
        for name, value in found.items()
        if name.startswith(prefix)
    }


@pytest.fixture(scope="module")
def museums(data):
    found = arrays("museums")
    rows = data.ragged_rows
    return data.Museums(
        rows(found["desc"], offsets(found["desc_len"])),
        {
            "views": rows(found["povs"], offsets(found["povs_per_room"])),
            "videos": rows(found["videos"], offsets(found["videos_per_room"])),
        },
        offsets(found["rooms"]),
    )


@pytest.mark.parametrize("kind", ["gru", "loop"])
def test_embeddings_are_those_of_the_release(reference, museums, kind):
    found = arrays("hier_by_room_rnn_meanPoolProc_video")
    model = reference.TwoTowers(24, 10, 12, kind)
    model.load_state_dict(state(found, "param/"))
    for batch_size in (5, 12):
        described, shown = reference.embed(model, museums, np.arange(12), batch_size)
        np.testing.assert_allclose(described, found["desc_out"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(shown, found["scene_out"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["gru", "loop"])
def test_24_steps_are_those_of_the_release(reference, museums, kind):
    found = arrays("train_hier_by_room_rnn_meanPoolProc_video_stl")
    model = reference.TwoTowers(24, 10, 12, kind)
    model.load_state_dict(state(found, "init/"))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, gamma=0.75)
    losses = []
    for order in found["order"]:
        losses.append(reference.train_epoch(model, optimizer, museums, order))
        scheduler.step()
    np.testing.assert_allclose(
        np.concatenate(losses), found["losses"], rtol=1e-4, atol=1e-7
    )
    trained = model.state_dict()
    for name, value in state(found, "final/").items():
        np.testing.assert_allclose(trained[name], value, rtol=0, atol=1e-4)


def test_metrics_are_those_of_the_release(reference):
    found = arrays("metrics")
    expected = json.loads((GOLDEN / "metrics.json").read_text())
    tensors = (found["descriptions"], found["scenes"], found["themes"])
    metrics = reference.evaluate(*map(torch.from_numpy, tensors))
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-3), name
