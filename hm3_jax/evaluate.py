r"""Evaluates checkpoints on splits: metrics, embeddings, rankings.

Writes OUTPUT/metrics.json and OUTPUT/embeddings.npz (ids, descriptions, museums), and
the metrics of the queries of each theme, OUTPUT/by_theme.csv and by_theme.json. A
checkpoint is a try_K folder of a run, a folder made by convert, or a model on the hub.
Features of another model than the checkpoint was trained on are refused. If the store
knows which room a sentence is about, models that compare sentences with items are also
tested on whether they find it: room_R@1.

Several checkpoints or splits get a folder each below OUTPUT, and one table,
OUTPUT/metrics.csv. With --per_query=csv,parquet every query has a row in queries.csv
or queries.parquet: its rank, its scores, and what it found first. With --queries the
museums of each split are ranked for your own descriptions: rankings.jsonl, and
query_metrics.json if the file says what they describe. With --query_sentences, parts
of descriptions are also used as queries, because people type only a few sentences:
by_length.csv and by_length.json, from which report makes a table and a figure. With
--theme_weight=0,0.05,0.2,1, models that tell themes apart show what they lose by
finding museums of the same theme: by_theme_weight.csv.

--checkpoint=zero-shot is search without training; it needs no checkpoint.

  python -m hm3_jax.evaluate --checkpoint=runs/STL/NAME/try_1 --features=STORE \
    --split=test --output=evaluation

  python -m hm3_jax.evaluate --features=STORE --split=val,test --output=both \
    --checkpoint=runs/STL/NAME/try_1,runs/STL/NAME/try_2 --per_query=csv
"""

import math
from pathlib import Path

from absl import flags

from hm3_jax.app.evaluation_settings import QUERY_SEED, EvaluationSettings
from hm3_jax.app.model_names import CHECKPOINT_HELP
from hm3_jax.cli import frame, path_flags, precision_flag
from hm3_jax.data.open_features import FEATURES_HELP, open_features
from hm3_jax.files.durable import refuse_existing
from hm3_jax.reporting.per_query import FORMATS

_CHECKPOINT = path_flags.define_paths(
    "checkpoint", None, f"{CHECKPOINT_HELP} Separate several by commas.", required=True
)
_FEATURES = path_flags.define_path("features", None, FEATURES_HELP, required=True)
_SPLIT = flags.DEFINE_list("split", ["test"], "Splits to evaluate, or all.")
_OUTPUT = path_flags.define_path(
    "output", None, "Folder to write to; must not exist.", required=True
)
_PER_QUERY = flags.DEFINE_list(
    "per_query", [], f"Write a table of all queries, as {' or '.join(FORMATS)} or both."
)
_QUERIES = path_flags.define_path(
    "queries",
    None,
    "File of free descriptions to rank the museums for: .txt with one per line, or "
    ".json or .jsonl with id and text, and relevant museums or a theme if known.",
)
_QUERY_SENTENCES = flags.DEFINE_list(
    "query_sentences",
    [],
    "Also test with queries of this many consecutive sentences of each description "
    "(the whole description if it has fewer), such as 1,2,4,8,all.",
)
_QUERY_SEED = flags.DEFINE_integer(
    "query_seed",
    QUERY_SEED,
    "Seed of the random starts of the sentences of --query_sentences.",
)
_THEME_WEIGHT = flags.DEFINE_list(
    "theme_weight",
    [],
    "How much it counts that a museum and a description share a theme, in models that "
    "tell themes apart: 0 finds this museum, 1 or more finds museums like it. Values "
    "separated by commas are tested besides the model's own.",
)
_TOP_K = flags.DEFINE_integer(
    "top_k", 10, "How many items --per_query and --queries list for each query."
)
_PRETRAINED = path_flags.define_path(
    "pretrained",
    None,
    "Weights of the text encoder of --queries (tag, file or folder), if they are not "
    "where the store says.",
)
_DEVICE = flags.DEFINE_string(
    "device", "auto", "PyTorch device of the text encoder, such as cpu or cuda:0."
)
flags.adopt_module_key_flags(precision_flag)


def main() -> None:
    """Reads the flags and evaluates."""
    settings = _settings()
    refuse_existing(settings.output, "an evaluation")
    from hm3_jax.app.evaluation import evaluate_all
    from hm3_jax.app.evaluation_table import table_of
    from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
    from hm3_jax.learn.devices.memory import take_as_needed

    take_as_needed()
    keep_compiled_programs()
    store = open_features(_FEATURES.value)
    with precision_flag.given_precision():
        evaluated = evaluate_all(settings, store, lambda lines: print("\n".join(lines)))
    if len(evaluated) > 1:
        print("\n".join(table_of(evaluated)))
    print(f"written to {settings.output}")


def _settings() -> EvaluationSettings:
    if _TOP_K.present and not _PER_QUERY.value and _QUERIES.value is None:
        raise ValueError("--top_k has no effect without --per_query or --queries")
    for flag in (_PRETRAINED, _DEVICE):
        if flag.present and _QUERIES.value is None:
            raise ValueError(f"--{flag.name} has no effect without --queries")
    if _QUERY_SEED.present and not _QUERY_SENTENCES.value:
        raise ValueError("--query_seed has no effect without --query_sentences")
    queries = None if _QUERIES.value is None else Path(_QUERIES.value)
    return EvaluationSettings(
        checkpoints=tuple(_CHECKPOINT.value),
        splits=tuple(_SPLIT.value),
        output=Path(_OUTPUT.value),
        per_query=tuple(_PER_QUERY.value),
        queries=queries,
        top_k=_TOP_K.value,
        pretrained=_PRETRAINED.value,
        device=_DEVICE.value,
        query_sentences=tuple(_QUERY_SENTENCES.value),
        query_seed=_QUERY_SEED.value,
        theme_weights=tuple(map(_weight, _THEME_WEIGHT.value)),
    )


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise ValueError(f"--theme_weight: expected numbers from 0 on, found {text!r}")
    return weight


if __name__ == "__main__":
    frame.run(main)
