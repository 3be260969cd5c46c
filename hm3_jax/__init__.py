"""HM3 in JAX: text-to-museum retrieval with hierarchical two-tower models.

Names in `__all__` are imported when they are first used, so `import hm3_jax` itself
is fast. docs/python.md has examples of all of them.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from hm3_jax.cli import interrupts

if TYPE_CHECKING:
    from hm3_jax.app.embedding import embed_museums, embed_texts, score
    from hm3_jax.app.index_commands import make_index
    from hm3_jax.app.library import evaluate_model, generate_store
    from hm3_jax.app.models import load_checkpoint as load_model
    from hm3_jax.app.open_index import SearchIndex, open_index
    from hm3_jax.app.query_encoder import QueryEncoder
    from hm3_jax.data.open_features import open_features as open_store
    from hm3_jax.data.store import FeatureStore
    from hm3_jax.data.synthetic_plan import SyntheticConfig
    from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
    from hm3_jax.learn.saved.checkpoint import Checkpoint
    from hm3_jax.learn.settings import TrainSettings
    from hm3_jax.learn.training.experiment import Experiment, run_experiments
    from hm3_jax.nn.strategy_choice import load_strategies
    from hm3_jax.reporting.build import ReportConfig, make_report
    from hm3_jax.retrieval.server.collection import Answer, Query

__all__ = [
    "Answer",
    "Checkpoint",
    "Experiment",
    "FeatureStore",
    "Query",
    "QueryEncoder",
    "ReportConfig",
    "SearchIndex",
    "SyntheticConfig",
    "TrainSettings",
    "embed_museums",
    "embed_texts",
    "evaluate_model",
    "generate_store",
    "keep_compiled_programs",
    "load_model",
    "load_strategies",
    "make_index",
    "make_report",
    "open_index",
    "open_store",
    "run_experiments",
    "score",
]

__version__ = "0.1.0"

# Where each is, and what it is called there: as above, for programs.
_PLACES = {
    "Answer": "retrieval.server.collection.Answer",
    "Checkpoint": "learn.saved.checkpoint.Checkpoint",
    "Experiment": "learn.training.experiment.Experiment",
    "FeatureStore": "data.store.FeatureStore",
    "Query": "retrieval.server.collection.Query",
    "QueryEncoder": "app.query_encoder.QueryEncoder",
    "ReportConfig": "reporting.build.ReportConfig",
    "SearchIndex": "app.open_index.SearchIndex",
    "SyntheticConfig": "data.synthetic_plan.SyntheticConfig",
    "TrainSettings": "learn.settings.TrainSettings",
    "embed_museums": "app.embedding.embed_museums",
    "embed_texts": "app.embedding.embed_texts",
    "evaluate_model": "app.library.evaluate_model",
    "generate_store": "app.library.generate_store",
    "keep_compiled_programs": "learn.devices.compilation_cache.keep_compiled_programs",
    "load_model": "app.models.load_checkpoint",
    "load_strategies": "nn.strategy_choice.load_strategies",
    "make_index": "app.index_commands.make_index",
    "make_report": "reporting.build.make_report",
    "open_index": "app.open_index.open_index",
    "open_store": "data.open_features.open_features",
    "run_experiments": "learn.training.experiment.run_experiments",
    "score": "app.embedding.score",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].rpartition(".")
    found = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# What `python -m` has instead of a file's name while it looks for a command of this
# package, whose imports take seconds.
if sys.argv[:1] == ["-m"] and any(
    word.removeprefix("-m").startswith(f"{__name__}.") for word in sys.orig_argv
):
    interrupts.end_at_once()
