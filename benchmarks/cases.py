"""What is measured, one case a process: `python -m benchmarks.cases NAME STORE`.

Every case prints one JSON object. Cases run in processes of their own because the
thread pools of XLA, OpenMP and BLAS disturb each other.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

STRATEGY = (
    Path(__file__).parent.parent
    / "configs/strategies/pov_and_video/hier_by_room_rnn_meanPoolProc_video.json"
)
BATCH_SIZE, LEARNING_RATE = 64, 5e-4


def best_of(repeats: int, call: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def gemm_jax(_: str) -> dict[str, float]:
    """Matrix product of 2,048 x 2,048 floats through XLA."""
    import jax

    x = jax.random.normal(jax.random.key(0), (2048, 2048))
    product = jax.jit(lambda x: x @ x)
    return _rate(lambda: product(x).block_until_ready())


def gemm_torch(_: str) -> dict[str, float]:
    """The same through torch."""
    import torch

    x = torch.randn(2048, 2048)
    return _rate(lambda: x @ x)


def gemm_numpy(_: str) -> dict[str, float]:
    """The same through numpy."""
    x = np.random.default_rng(0).normal(size=(2048, 2048)).astype(np.float32)
    return _rate(lambda: x @ x)


def _rate(call: Callable[[], object]) -> dict[str, float]:
    return {"flops_per_second": 2 * 2048**3 / best_of(20, call)}


def epoch_ours(store: str, runs: int = 1, epochs: int = 12) -> dict[str, float]:
    """A training epoch of HM3's strategy, on one device.

    Args:
        store: with videos.
        runs: trained together.
        epochs: that are timed, the first one apart.
    """
    import jax

    from hm3_jax.data.store import open_store
    from hm3_jax.learn.batches.features import load_features
    from hm3_jax.learn.batches.plan import MuseumSizes, epoch_batches
    from hm3_jax.learn.devices.mesh import BY_DEVICE, BY_RUN, EVERYWHERE, Layout
    from hm3_jax.learn.model import ModelSpec, draw_params
    from hm3_jax.learn.training.epoch import EpochInputs, fresh_state, train_epoch
    from hm3_jax.learn.training.optimizer import Rates
    from hm3_jax.nn.strategy_json import load_strategy
    from hm3_jax.objective.triplet import TripletLoss, TripletWeights

    opened, config = open_store(store), load_strategy(STRATEGY)
    layout = Layout.of(runs, jax.devices()[:1])
    loaded = load_features(opened, config)
    features, counts = layout.put(loaded, EVERYWHERE), MuseumSizes.of(loaded)
    train = np.asarray(opened.splits["train"])
    planned = [
        counts.plan(
            np.stack(
                [
                    epoch_batches(train, BATCH_SIZE, seed=run, attempt=1, epoch=epoch)
                    for run in range(runs)
                ]
            ),
            layout,
        )
        for epoch in range(25)
    ]
    capacity = counts.capacity(planned)
    keys = jax.random.split(jax.random.key(0), runs)
    # Where an epoch leaves it, so that the second one is not compiled again.
    drawn = jax.device_get(fresh_state(draw_params(config, keys)))
    state = layout.put(drawn, BY_RUN)

    def scalar(value: float):
        return jax.device_put(np.full(runs, value, np.float32))

    hyper = EpochInputs(
        rates=Rates(scalar(LEARNING_RATE), scalar(0.0)),
        loss=TripletWeights(
            margin=scalar(0.25),
            within_theme_margin=scalar(0.15),
            second_component_weight=scalar(0.5),
        ),
        key=keys,
        active=jax.device_put(np.ones(runs, bool)),
    )
    times, losses = [], np.zeros(0)
    for batches in planned[:epochs]:
        placed = layout.put(batches, BY_DEVICE)
        start = time.perf_counter()
        state, steps = train_epoch(
            state,
            hyper,
            placed,
            features,
            spec=ModelSpec(config),
            capacity=capacity,
            loss=TripletLoss(),
            layout=layout,
        )
        losses = np.asarray(steps.loss)
        times.append(time.perf_counter() - start)
    return {
        "seconds": min(times[1:]),
        "first_call_seconds": times[0],
        "loss": float(losses.mean()),
    }


def epoch_torch_packed(store: str) -> dict[str, float]:
    """A training epoch of the plain PyTorch version, `nn.GRU` on packed sequences."""
    return epoch_torch(store, "gru")


def epoch_torch_loop(store: str) -> dict[str, float]:
    """The same with the recurrence as a loop over packed steps, faster on CPU."""
    return epoch_torch(store, "loop")


def epoch_torch(
    store: str,
    recurrence: Literal["gru", "loop"],
    device: str = "cpu",
    epochs: int = 6,
) -> dict[str, float]:
    """A training epoch of the plain PyTorch version.

    Args:
        store: with videos.
        recurrence: as `TwoTowers` has it.
        device: PyTorch's name of it.
        epochs: the first one does not count.
    """
    import torch

    from benchmarks.torch_data import read_museums
    from benchmarks.torch_reference import TwoTowers, train_epoch
    from hm3_jax.data.store import open_store
    from hm3_jax.learn.batches.plan import epoch_batches

    opened = open_store(store)
    museums = read_museums(opened, device)
    model = TwoTowers(kind=recurrence).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    times, losses = [], np.zeros(0)
    for epoch in range(epochs):
        batches = epoch_batches(
            np.asarray(opened.splits["train"]),
            BATCH_SIZE,
            seed=0,
            attempt=1,
            epoch=epoch,
        )
        start = time.perf_counter()
        losses = train_epoch(model, optimizer, museums, [b[b >= 0] for b in batches])
        times.append(time.perf_counter() - start)
    return {"seconds": min(times[1:]), "loss": float(losses.mean())}


def _museums(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    museums = random.normal(size=(count, 256)).astype(np.float32)
    noise = random.normal(size=museums.shape).astype(np.float32)
    themes = random.integers(0, 9, count).astype(np.int32)
    return museums + 3 * noise, museums, themes


def metrics_ours(_: str) -> dict[str, float]:
    """All metrics of 2,000 museums, both directions."""
    from hm3_jax.objective.metrics import retrieval_metrics

    museums = _museums(2000)
    return {"seconds": best_of(3, lambda: retrieval_metrics(*museums))}


def metrics_torch(_: str) -> dict[str, float]:
    """The same by sorting the whole matrix in torch."""
    import torch

    from benchmarks.torch_reference import evaluate

    museums = [torch.from_numpy(x) for x in _museums(2000)]
    return {"seconds": best_of(3, lambda: evaluate(*museums))}


def metrics_large(_: str) -> dict[str, float]:
    """All metrics of 50,000 museums, and the most memory the process had."""
    from hm3_jax.objective.metrics import retrieval_metrics

    museums = _museums(50_000)
    start = time.perf_counter()
    retrieval_metrics(*museums)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak_bytes": peak}


def open_ours(store: str) -> dict[str, float]:
    """Opens a feature store."""
    from hm3_jax.data.store import open_store

    museums = len(open_store(store).ids)
    return {"seconds": best_of(5, lambda: open_store(store).ids), "museums": museums}


def open_torch(store: str) -> dict[str, float]:
    """Opens the same features as pickled dictionaries of tensors."""
    import torch

    from hm3_jax.data.store import open_store

    opened = open_store(store)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.pt"
        rooms = opened.room_offsets
        torch.save(
            {
                name: (
                    torch.from_numpy(np.array(opened.sentences[i])),
                    [
                        torch.from_numpy(np.array(opened.views[room]))
                        for room in range(rooms[i], rooms[i + 1])
                    ],
                )
                for i, name in enumerate(opened.ids)
            },
            file,
        )
        return {"seconds": best_of(1, lambda: torch.load(file))}


CASES = {
    case.__name__: case
    for case in (
        gemm_jax,
        gemm_torch,
        gemm_numpy,
        epoch_ours,
        epoch_torch_packed,
        epoch_torch_loop,
        metrics_ours,
        metrics_torch,
        metrics_large,
        open_ours,
        open_torch,
    )
}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](sys.argv[2])))
