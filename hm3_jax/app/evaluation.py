"""What `evaluate` is told to do, and doing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hm3_jax.app.evaluation_settings import EvaluationSettings
from hm3_jax.app.evaluation_table import checkpoint_names, title_of, write_table
from hm3_jax.app.models import load_checkpoint
from hm3_jax.app.query_ranking import QueryRanker, query_metrics, write_ranked
from hm3_jax.data.store import FeatureStore
from hm3_jax.data.store_content import check_unchanged
from hm3_jax.files.csv_files import write_csv
from hm3_jax.files.durable import whole_or_absent
from hm3_jax.files.file_list import FILE_LIST, list_of
from hm3_jax.files.lines import write_text
from hm3_jax.files.run_format import LengthFacts
from hm3_jax.files.words import counted
from hm3_jax.learn.evaluation.saved_model import (
    Evaluation,
    check_fits,
    chosen_splits,
    evaluate,
)
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.objective.metric_table import MAIN_KEYS
from hm3_jax.objective.room_recall import KEY as ROOM_RECALL
from hm3_jax.objective.sample_size import small_split_notes
from hm3_jax.reporting.by_length import lines_by_length, write_by_length
from hm3_jax.reporting.by_theme import (
    lines_by_theme,
    main_heads,
    scores_by_theme,
    write_by_theme,
)
from hm3_jax.reporting.per_query import query_columns, write_queries
from hm3_jax.reporting.query_scores import (
    DIRECTIONS,
    Ranking,
    first_ranked,
    score_queries,
)
from hm3_jax.retrieval.query_file import read_query_file

# Museums by which themes are said to be taken for one another.
_FIRST = 10

SayLines = Callable[[Sequence[str]], object]
"""Told lines for people to read, of one evaluation at a time."""


def evaluate_all(
    settings: EvaluationSettings, store: FeatureStore, say: SayLines
) -> list[tuple[str, Evaluation]]:
    """Evaluates every checkpoint on every split, and writes the results.

    One checkpoint on one split is written into the output folder itself; otherwise
    each has a folder below it, CHECKPOINT, SPLIT or CHECKPOINT/SPLIT, and `metrics.csv`
    has a line for each. The output is complete or absent. `files.json` in each folder
    has checksums of its files.

    Args:
        settings: What to do.
        store: Features; of the model that the checkpoints were trained on.
        say: Takes lines about each result.

    Returns:
        Name of the checkpoint and its evaluation, in the order of the settings.

    Raises:
        FileNotFoundError: If there is no checkpoint, or no file of queries.
        ConnectionError: If the hub failed.
        FileExistsError: If the output is there.
        ValueError: If a checkpoint is damaged, features are of another model, or
            settings or queries are not valid.
        ModuleNotFoundError: If what parquet, the text encoder or the hub takes is
            missing.
    """
    short = checkpoint_names(settings.checkpoints)
    written = None if settings.queries is None else read_query_file(settings.queries)
    splits = chosen_splits(store, settings.splits)
    models = {name: load_checkpoint(name, store) for name in settings.checkpoints}
    for name, saved in models.items():
        check_fits(saved, store, name)
        if any(settings.theme_weights) and not saved.model.spec.tells_themes:
            raise ValueError(
                f"{name}: --theme_weight is for models that tell themes apart, found "
                f"{saved.model.config.file_stem}, which does not"
            )
    ranker = None
    if written is not None:
        ranker = QueryRanker(
            written,
            store,
            top_k=settings.top_k,
            pretrained=settings.pretrained,
            device=settings.device,
        )
    names = dict(zip(models, short, strict=True))
    found: dict[tuple[str, str], Evaluation] = {}
    with whole_or_absent(settings.output, "an evaluation") as output:
        for name, evaluation in evaluate(
            models,
            store,
            splits,
            settings.lengths,
            settings.query_seed,
            settings.theme_weights,
        ):
            folder, title = output, title_of(evaluation)
            if len(names) > 1:
                folder, title = folder / names[name], f"{names[name]}: {title}"
            if len(splits) > 1:
                folder /= evaluation.split
            folder.mkdir(parents=True, exist_ok=True)
            lines = [title]
            if len(names) * len(splits) == 1:
                lines += _metric_lines(evaluation.tested.metrics)
            lines += _room_lines(evaluation)
            notes = small_split_notes(
                evaluation.split, len(evaluation.ids), evaluation.tested.metrics
            )
            lines += [f"note: {note}" for note in notes]
            lines += _write(evaluation, store, settings, folder)
            if settings.query_sentences:
                lines += _write_by_length(name, evaluation, store, settings, folder)
            if len(settings.theme_weights) > 1:
                lines += _write_by_weight(evaluation, folder)
            if ranker is not None:
                lines += _write_queries(evaluation, ranker, models[name], folder)
            say(lines)
            found[name, evaluation.split] = _without_embeddings(evaluation)
        check_unchanged(store)
        ordered = [
            (short_name, found[name, split])
            for name, short_name in names.items()
            for split in splits
        ]
        if len(ordered) > 1:
            write_table(output / "metrics.csv", ordered)
        for folder in (output, *filter(Path.is_dir, sorted(output.rglob("*")))):
            names = [file.name for file in folder.iterdir() if file.is_file()]
            if names:
                write_text(folder / FILE_LIST, list_of(folder, names))
    return ordered


def _write(
    evaluation: Evaluation,
    store: FeatureStore,
    settings: EvaluationSettings,
    folder: Path,
) -> list[str]:
    """Writes metrics, embeddings and tables; lines about them."""
    evaluation.write(folder)
    tested, themes = evaluation.tested, evaluation.themes
    ranking = Ranking.of(tested.descriptions, tested.museums, tested.scores)
    scores = score_queries(ranking, themes, by_theme=DIRECTIONS)
    first = first_ranked(ranking, max(_FIRST, settings.top_k))
    top = first["t2s"][:, :_FIRST]
    by_theme = scores_by_theme(scores, top, themes, store.themes)
    write_by_theme(folder, by_theme)
    if settings.per_query:
        listed = {name: items[:, : settings.top_k] for name, items in first.items()}
        columns = query_columns(evaluation.ids, themes, store.themes, scores, listed)
        write_queries(folder, columns, settings.per_query)
    return ["by theme, for descriptions:", *lines_by_theme(by_theme)]


def _write_by_length(
    name: str,
    evaluation: Evaluation,
    store: FeatureStore,
    settings: EvaluationSettings,
    folder: Path,
) -> list[str]:
    """Writes what queries of each length reach; lines about it."""
    found = evaluation.tested.lengths
    facts = LengthFacts(
        model=name,
        dataset_name=evaluation.dataset_name,
        dataset_kind=evaluation.dataset_kind,
        features_checksum=store.manifest.checksum,
        split=evaluation.split,
        query_seed=settings.query_seed,
        lengths={length: found[length] for length in settings.query_sentences},
    )
    write_by_length(folder, facts)
    return ["by sentences of the query:", *lines_by_length(facts)]


def _write_by_weight(evaluation: Evaluation, folder: Path) -> list[str]:
    """Writes `by_theme_weight.csv`; lines about it."""
    found = evaluation.tested.by_theme_weight
    rows = [[weight, *of.values()] for weight, of in found.items()]
    heads = ["theme_weight", *evaluation.tested.metrics]
    write_csv(folder / "by_theme_weight.csv", [heads, *rows])
    heads = "".join(f" {head:>11s}" for head in main_heads())
    lines = ["by theme weight:", f"  {'weight':>9s}{heads}"]
    for weight, of in found.items():
        values = "".join(f" {of[key]:11.3f}" for key in MAIN_KEYS)
        lines.append(f"  {weight:>9g}{values}")
    return lines


def _write_queries(
    evaluation: Evaluation, ranker: QueryRanker, saved: Checkpoint, folder: Path
) -> list[str]:
    """Ranks the free descriptions and writes what they found; lines about it."""
    found = ranker.rank(saved, evaluation.tested.museums, evaluation.split)
    write_ranked(folder, found)
    about = query_metrics(found)
    return [
        f"{counted(about['queries'], 'free description')}, "
        f"{about['with_relevant']} with relevant "
        f"museums and {about['with_theme']} with a theme in this split",
        *_metric_lines(about["metrics"]),
    ]


def _room_lines(evaluation: Evaluation) -> list[str]:
    rooms = evaluation.rooms
    if rooms is None:
        return []
    (line,) = _metric_lines({ROOM_RECALL: rooms.recall})
    return [f"{line} ({rooms.sentences} sentences; by chance {rooms.chance:.3f})"]


def _metric_lines(metrics: Mapping[str, float]) -> list[str]:
    return [f"  {name:24s} {value:8.3f}" for name, value in metrics.items()]


def _without_embeddings(evaluation: Evaluation) -> Evaluation:
    """What the table needs; dozens of evaluations' embeddings would fill the memory."""
    tested = dataclasses.replace(
        evaluation.tested,
        descriptions=evaluation.tested.descriptions[:0],
        museums=evaluation.tested.museums[:0],
        scores=None,
    )
    return dataclasses.replace(evaluation, tested=tested)
