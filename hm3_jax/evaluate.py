r"""Evaluates a checkpoint on a split: metrics and embeddings.

Writes OUTPUT/metrics.json and OUTPUT/embeddings.npz (ids, descriptions, museums). The
checkpoint is a try_K folder of a run or a folder made by convert. Features of another
model than the checkpoint was trained on are refused.

  python -m hm3_jax.evaluate --checkpoint=runs/STL/NAME/try_1 --features=STORE \
    --split=test --output=evaluation
"""

from pathlib import Path

from absl import flags

from hm3_jax import cli
from hm3_jax.data.open_features import FEATURES_HELP, open_features
from hm3_jax.learn.compiled import keep_compiled_programs
from hm3_jax.learn.saved_model import evaluate_checkpoint

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A try_K folder, or one made by convert.", required=True
)
_FEATURES = flags.DEFINE_string("features", None, FEATURES_HELP, required=True)
_SPLIT = flags.DEFINE_string("split", "test", "Split to evaluate.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder to write to; must not exist.", required=True
)


def main() -> None:
    """Reads the flags and evaluates."""
    output = Path(_OUTPUT.value)
    if output.exists():
        raise FileExistsError(f"{output}: expected no such folder, found one")
    keep_compiled_programs()
    store = open_features(_FEATURES.value)
    evaluation = evaluate_checkpoint(Path(_CHECKPOINT.value), store, _SPLIT.value)
    evaluation.write(output)
    print(
        f"{evaluation.strategy}, epoch {evaluation.epoch}, on {_SPLIT.value} of "
        f"{store.dataset_name} ({store.manifest.kind} features, "
        f"{len(evaluation.ids)} museums)"
    )
    for name, value in evaluation.tested.metrics.items():
        print(f"  {name:24s} {value:8.3f}")
    print(f"written to {output}")


if __name__ == "__main__":
    cli.run(main)
