"""Runs: trainings of one strategy that may share a program, and what each one is."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

from hm3_jax.data.store import FeatureStore
from hm3_jax.files.differences import differences
from hm3_jax.files.json_files import read_object, write_json
from hm3_jax.files.run_format import RECORD, RunFacts
from hm3_jax.learn.batches.feature_facts import check_feature_facts
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved.run_lists import drop_lists
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.nn.strategy import StrategyConfig
from hm3_jax.nn.strategy_json import to_json

_DEFAULTS = dataclasses.asdict(TrainSettings())


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One try of one strategy with some settings.

    Attributes:
        experiment: name of the experiment it belongs to.
        settings: of the experiment.
        attempt: number of the try, from 1.
        folder: of the try.
    """

    experiment: str
    settings: TrainSettings
    attempt: int
    folder: Path

    @property
    def name(self) -> str:
        """What messages and its companions call it."""
        return "/".join((self.experiment, *self.folder.parts[-2:]))

    def path_to(self, other: "Run") -> str:
        """Folder of another run, seen from this one's."""
        return os.path.relpath(other.folder, self.folder)


def programs(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs by what can train as one program, in the order of their first."""
    together: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        together.setdefault(run.settings.program, []).append(run)
    return list(together.values())


@dataclasses.dataclass(frozen=True)
class RunRecord(RunFacts):
    """`run.json` of a try, written, read and compared."""

    @classmethod
    def of(
        cls,
        run: Run,
        config: StrategyConfig,
        store: FeatureStore,
        together: Iterable[Run],
    ) -> "RunRecord":
        """What is about to be trained."""
        return cls(
            strategy=to_json(config),
            settings={**dataclasses.asdict(run.settings), "try": run.attempt},
            dataset_name=store.dataset_name,
            features=store.feature_facts(),
            features_checksum=store.manifest.checksum,
            together=[run.path_to(other) for other in together],
            jax_version=jax.__version__,
        )

    @classmethod
    def read(cls, folder: Path) -> "RunRecord | None":
        """Reads a try's record.

        Returns:
            The record, None where there is none.

        Raises:
            ValueError: there is something else.
        """
        path = folder / RECORD
        if not path.exists():
            return None
        try:
            return cls(**read_object(path))
        except TypeError as error:
            raise ValueError(
                f"{path}: expected the record of a run, found {error}"
            ) from None

    def write(self, folder: Path) -> None:
        """Writes it into a try's folder."""
        drop_lists(folder)
        write_json(folder / RECORD, dataclasses.asdict(self))

    def check(self, wanted: "RunRecord", config: StrategyConfig, folder: Path) -> None:
        """Refuses to go on with something else.

        Args:
            wanted: what is about to be trained.
            config: its strategy.
            folder: of the try, for messages.

        Raises:
            ValueError: strategy, settings or features differ; the difference is named.
        """
        for name, before, now in (
            *differences(self.strategy, wanted.strategy),
            # A setting that there was not yet had the value that it has by itself.
            *differences({**_DEFAULTS, **self.settings}, wanted.settings),
            *differences(
                {"dataset_name": self.dataset_name},
                {"dataset_name": wanted.dataset_name},
            ),
        ):
            raise ValueError(
                f"{folder}: the run there has {name} {before!r}, asked is {now!r}"
            )
        trained = Model(config, {}, self.features)
        check_feature_facts(trained, wanted.features, wanted.dataset_name)
        if self.features_checksum != wanted.features_checksum:
            raise ValueError(
                f"{folder}: the run there has features with checksum "
                f"{self.features_checksum[:12]}, those given have "
                f"{wanted.features_checksum[:12]}: same data set, other contents"
            )
