"""Model cards: the README.md of a shared model, with the front matter the hub reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from hm3_jax.interop.shared_facts import Origin, SharedFacts, Tries
from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.nn.strategy import (
    ConvConfig,
    MuseumConfig,
    PoolConfig,
    RecurrentConfig,
    StrategyConfig,
    TowersConfig,
)
from hm3_jax.objective.metric_table import BY_KEY

# What the card shows; hm3_jax.json has all of them.
_SHOWN = (
    "R@1",
    "R@5",
    "R@10",
    "median_rank",
    "mAP",
    "avg_ndcg",
    "mAP_by_class",
    "avg_ndcg_by_class",
)
_DIRECTIONS = {"t2s": "museums for a description", "s2t": "descriptions for a museum"}
_TAGS = ("museums", "text-to-museum-retrieval", "cross-modal-retrieval", "hm3", "jax")


def model_card(config: StrategyConfig, facts: SharedFacts, name: str | None) -> str:
    """Writes the card of a model.

    Args:
        config: The strategy.
        facts: All else that is known.
        name: USER/NAME on the hub; None where it is not known yet.

    Returns:
        Markdown with YAML front matter.
    """
    title = name.rpartition("/")[2] if name else config.file_stem
    sections = [
        _front_matter(config, facts, title),
        f"# {title}",
        _what_it_is(config, facts),
        "## Features it needs\n\n" + _features(config, facts),
        "## Training\n\n" + _training(facts),
        "## Test\n\n" + _test(facts.origin),
        "## How to use it\n\n" + _usage(config, name),
        "## Limits\n\n" + _limits(config, facts),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(config: StrategyConfig, facts: SharedFacts, title: str) -> str:
    origin = facts.origin
    tags = dict.fromkeys([*_TAGS, *(origin.tags if origin else ()), config.name])
    matter: dict[str, Any] = {
        "library_name": "hm3_jax",
        "pipeline_tag": "feature-extraction",
        "tags": list(tags),
    }
    if origin is not None and origin.metrics:
        shown = {k: origin.metrics[k] for k in _shown_keys() if k in origin.metrics}
        task = {
            "type": "text-to-museum-retrieval",
            "name": "Text-to-museum retrieval",
        }
        data = {
            "type": origin.dataset_name,
            "name": _data_set(origin),
            "split": "test",
        }
        numbers = [{"type": k, "name": k, "value": v} for k, v in shown.items()]
        result = {"task": task, "dataset": data, "metrics": numbers}
        matter["metrics"] = list(shown)
        matter["model-index"] = [{"name": title, "results": [result]}]
    return f"---\n{yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)}---"


def _shown_keys() -> Iterator[str]:
    for direction in _DIRECTIONS:
        yield from (f"{direction}_{key}" for key in _SHOWN)


def _data_set(origin: Origin) -> str:
    kinds = {"synthetic": " (generated features)", "unknown": ""}
    return origin.dataset_name + kinds.get(origin.dataset_kind, "")


def _what_it_is(config: StrategyConfig, facts: SharedFacts) -> str:
    match config:
        case TowersConfig():
            parts = _two_towers(config, facts)
        case LateInteractionConfig():
            parts = _late_interaction(config)
        case _:
            raise TypeError(f"a model card knows nothing of {type(config).__name__}")
    trained = f" Weights after {facts.epoch} epochs." if facts.epoch else ""
    return f"{parts} Inputs: sentences, {', '.join(config.uses)}.{trained}"


def _late_interaction(config: LateInteractionConfig) -> str:
    more = []
    if config.context:
        more.append("an item's vector depends on its room and museum")
    if config.order:
        more.append(
            "sentences of complete descriptions look first in rooms at the same "
            "relative place"
        )
    if config.sizes:
        more.append("the length of a complete description hints at the museum's size")
    if config.whole:
        more.append(
            f"the cosine of two vectors of {config.whole} numbers, of the whole "
            "description and of the whole museum, counts too"
        )
    if config.themes:
        more.append(
            f"it tells {config.themes} themes apart, and how much a shared theme "
            "counts is chosen when searching"
        )
    return (
        "Encoders that make a vector of "
        f"{config.embedding_size} numbers of every sentence of a description and of "
        "every item (view, painting, clip) of a virtual museum. A museum is found by "
        "the mean, over sentences, of the soft maximum of a sentence's cosines with "
        "the museum's items (late interaction). It was made with the package hm3_jax."
        "\n\n"
        f"Strategy `{config.file_stem}`{': ' if more else ''}{'; '.join(more)}."
    )


def _two_towers(config: TowersConfig, facts: SharedFacts) -> str:
    scene = f"all items of all rooms by {_part(config.museum)}"
    if config.room is not None:
        scene = (
            f"each room by {_part(config.room)}, the rooms of a museum by "
            f"{_part(config.museum)}"
        )
    masking = ""
    if isinstance(config.museum, ConvConfig):
        masking = f" The convolution masks {facts.cnn1d_masking}."
    return (
        "Two encoders that turn descriptions of virtual museums, and the museums "
        f"themselves, into vectors of {config.text.hidden_size} numbers, so that a "
        "text finds museums by the cosine of their vectors. They follow the paper "
        "*HM3: Hierarchical Modeling of Multimedia Metaverses on 10000 Thematic "
        "Museums via Theme-aware Contrastive Loss Function* (ICMR 2025) and were made "
        "with the package hm3_jax.\n\n"
        f"Strategy `{config.file_stem}`: sentences by {_part(config.text)}, "
        f"{scene}.{masking}"
    )


def _part(part: MuseumConfig) -> str:
    match part:
        case RecurrentConfig():
            ways = "bidirectional" if part.bidirectional else "one-directional"
            return f"a {ways} {part.cell.upper()} of {part.hidden_size}"
        case PoolConfig():
            return f"a mean pool of {part.size}"
        case ConvConfig():
            return f"a 1-D CNN (kernel {part.kernel_size}) of {part.channels}"


def _features(config: StrategyConfig, facts: SharedFacts) -> str:
    if facts.feature_facts is None:
        return (
            "The model that its features must come from is not recorded; their sizes "
            "are in `config.json`."
        )
    lines = ["| kind | size | model | weights | pooling |", "|---|---|---|---|---|"]
    for kind in ("sentences", *config.uses):
        known = facts.feature_facts.get(kind, {})
        cells = [
            _cell(known.get(fact))
            for fact in ("feature_size", "model", "weights", "pooling")
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = "not recorded" if value is None else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _training(facts: SharedFacts) -> str:
    origin, parts = facts.origin, []
    if origin is not None:
        parts.append(
            f"Experiment `{origin.experiment}`, try {origin.attempt}, on "
            f"{_data_set(origin)}."
        )
        if origin.description:
            parts.append(" ".join(origin.description.split()))
    if facts.settings is None:
        parts.append("Its settings are not recorded.")
    else:
        rows = [
            f"| {name} | {_cell(value)} |"
            for name, value in facts.settings.items()
            if value is not None
        ]
        parts.append("\n".join(["| setting | value |", "|---|---|", *rows]))
    versions = ", ".join(f"{name} {of}" for name, of in facts.versions.items())
    parts.append(f"Written by {versions}.")
    return "\n\n".join(parts)


def _test(origin: Origin | None) -> str:
    if origin is None or not origin.metrics:
        return "No test of these weights is recorded."
    tries = origin.tries if origin.tries and origin.tries.count > 1 else None
    columns = ["this try"]
    if tries is not None:
        columns.append(f"mean of {tries.count} tries (standard deviation)")
    of = "the" if origin.test_museums is None else f"{origin.test_museums:,}"
    lines = [
        f"On {of} museums of the test split of {_data_set(origin)}. Ranks begin at 1; "
        "everything else is in percent."
    ]
    for direction, what in _DIRECTIONS.items():
        rows = [
            f"| {what} | {' | '.join(columns)} |",
            "|---" * (len(columns) + 1) + "|",
        ]
        for key in _SHOWN:
            full = f"{direction}_{key}"
            if full in origin.metrics:
                numbers = _numbers(full, origin.metrics, tries)
                rows.append(f"| {BY_KEY[full].label} | {numbers} |")
        lines.append("\n".join(rows))
    return "\n\n".join(lines)


def _numbers(key: str, metrics: Mapping[str, float], tries: Tries | None) -> str:
    shown = f"{metrics[key]:.1f}"
    if tries is None:
        return shown
    if key not in tries.mean:
        return f"{shown} | not recorded"
    return f"{shown} | {tries.mean[key]:.1f} ({tries.std[key]:.1f})"


def _usage(config: StrategyConfig, name: str | None) -> str:
    form = (
        "`config.json` and `model.safetensors` have the format of the "
        "published PyTorch release, whose `from_pretrained` also reads this folder."
        if isinstance(config, TowersConfig)
        else "The names in `model.safetensors` are those of hm3_jax; the published "
        "PyTorch release has no such model."
    )
    where = f"hub:{name}" if name else "FOLDER"
    said = "" if name else "FOLDER is this folder. "
    return (
        f"{said}STORE is a feature store of museums, with features as above.\n\n"
        "```bash\n"
        f"python -m hm3_jax.evaluate --checkpoint={where} \\\n"
        "  --features=STORE --output=evaluation\n"
        f"python -m hm3_jax.build_index --checkpoint={where} \\\n"
        "  --features=STORE --output=INDEX\n"
        "python -m hm3_jax.search --index=INDEX --query=TEXT\n"
        f"```\n\n{form}"
    )


def _limits(config: StrategyConfig, facts: SharedFacts) -> str:
    limits = [
        "It reads features, not pictures or texts. Features of a model other than the "
        "one named above give meaningless vectors.",
        "It was trained to tell the museums of its data set apart. It will probably "
        "find other kinds of museums less well than the test says.",
    ]
    if facts.origin is not None and facts.origin.dataset_kind == "synthetic":
        limits.append(
            "It was trained on generated features, which are for trying things out; it "
            "knows nothing of real pictures or texts."
        )
    if (
        isinstance(config, TowersConfig)
        and isinstance(config.museum, ConvConfig)
        and facts.cnn1d_masking == "time"
    ):
        limits.append(
            "Its 1-D CNN masks padded steps, but the published release masks channels: "
            "loaded there, it gives different embeddings from those tested here."
        )
    return "\n".join(f"* {limit}" for limit in limits)
