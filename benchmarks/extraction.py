"""Measures extraction against a plain loop: python -m benchmarks.extraction

The loop is what one would write with open_clip by hand: it gives the model one room's
pictures, or one museum's sentences, at a time, decoding included. Ours does the same
work by the code behind `python -m hm3_jax.extract`. Both have the same model, ViT-B-32
with random weights unless --clip names a folder with others; each measurement is a
process of its own, in turns, and the best of the rounds counts. Loading the model is
not counted; starting worker processes is.

    python -m benchmarks.extraction --device=cuda --precision=bf16 --batch_size=256

measures a GPU, with the share of the time in which it had work.
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path

from benchmarks.extraction_cases import CASES, Case
from benchmarks.extraction_museums import save_random_clip, write_museums
from benchmarks.in_process import measured


def main() -> None:
    """Makes museums and a model, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--museums", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--num_workers", type=int)
    parser.add_argument("--clip", type=Path, help="folder of a model, as open_clip's")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--list", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        case = Case(
            museums=args.list,
            clip=args.clip,
            device=args.device,
            precision=args.precision,
            batch_size=args.batch_size,
            num_workers=args.num_workers,
        )
        print(json.dumps(CASES[args.case](case)))
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = args.clip or save_random_clip(Path(folder) / "clip")
        lists = {
            "": write_museums(Path(folder) / "distinct", args.museums),
            ", paintings in 4 museums": write_museums(
                Path(folder) / "shared", args.museums, hung_in=4
            ),
        }
        shared = [f"--{name}={getattr(args, name)}" for name in ("device", "precision")]
        shared += [f"--batch_size={args.batch_size}", f"--clip={clip}"]
        if args.num_workers is not None:
            shared.append(f"--num_workers={args.num_workers}")
        _compare(lists, shared, args.rounds)


def _compare(lists: dict[str, Path], shared: list[str], rounds: int) -> None:
    print(f"{platform.processor() or platform.machine()}; {' '.join(shared[:3])}\n")
    print(f"| {'':42s} | plain loop |    ours | ours is | GPU busy |")
    print(f"|{'-' * 44}|{'-' * 12}|{'-' * 9}|{'-' * 9}|{'-' * 10}|")
    for what in ("texts", "pictures"):
        for name, museums in lists.items():
            if what == "texts" and name:
                continue  # the same texts
            found: dict[str, list[dict[str, float]]] = {}
            for _ in range(rounds):
                for who in ("loop", "ours"):
                    case = f"--case={who}_{what}"
                    result = measured(
                        "benchmarks.extraction", case, f"--list={museums}", *shared
                    )
                    found.setdefault(who, []).append(result)
            loop = max(r["items"] / r["seconds"] for r in found["loop"])
            best = max(found["ours"], key=lambda r: r["items"] / r["seconds"])
            ours = best["items"] / best["seconds"]
            busy = f"{best['busy']:.0%}" if "busy" in best else "-"
            print(
                f"| {f'{what}/s{name}':42s} | {loop:10.1f} | {ours:7.1f} | "
                f"{ours / loop:6.2f}x | {busy:>8s} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
