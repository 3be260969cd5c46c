"""Times the PyTorch reference on a feature store.

python -m benchmarks.time_torch --features=STORE --threads=2 --recurrence=loop
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.torch_data import KINDS, read_museums
from benchmarks.torch_reference import TwoTowers, embed, evaluate, train_epoch
from hm3_jax.data.store import open_store


def _timed(device: str, call: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    """Seconds that `call` takes, work on the device included, and its result."""
    start = time.perf_counter()
    result = call(*args)
    if device != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - start, result


def main() -> None:
    """Trains and evaluates on a feature store, and prints the times."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--features", required=True, help="feature store with videos")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice")
    parser.add_argument("--recurrence", choices=("gru", "loop"), default="gru")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    store = open_store(args.features)
    museums = read_museums(store, args.device)
    sizes = [store.feature_size(kind) for kind in ("sentences", *KINDS)]
    if len(set(sizes)) > 1:
        raise SystemExit(
            f"{args.features}: expected features of one size, found {sizes}"
        )
    model = TwoTowers(in_size=sizes[0], kind=args.recurrence).to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, fused=True)
    train, test = (np.asarray(store.splits[name]) for name in ("train", "test"))
    random = np.random.default_rng(args.seed)
    print(
        f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads, "
        f"recurrence {args.recurrence}"
    )
    times = []
    for epoch in range(args.epochs):
        shuffled = random.permutation(train)
        order = np.split(shuffled, range(args.batch_size, len(train), args.batch_size))
        seconds, losses = _timed(
            args.device, train_epoch, model, optimizer, museums, order
        )
        times.append(seconds)
        print(f"epoch {epoch}: {seconds:.3f} s, loss {losses.mean():.4f}")
    # The first epoch also pays for what torch sets up once.
    print(f"median of epochs but the first: {np.median(times[1:] or times):.3f} s")
    seconds, embeddings = _timed(args.device, embed, model, museums, test)
    print(f"embedding {len(test)} museums: {seconds:.3f} s")
    themes = torch.from_numpy(store.theme_index[test]).to(args.device)
    seconds, metrics = _timed(args.device, evaluate, *embeddings, themes)
    print(f"evaluating them: {seconds:.3f} s")
    print(", ".join(f"{key} {metrics[key]:.1f}" for key in ("t2s_R@1", "t2s_mAP")))


if __name__ == "__main__":
    main()
