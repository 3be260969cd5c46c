"""The commands that are killed and given damaged files; each with what it reads."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Literal

STRATEGY = "rnn_meanPoolProc"
RUN = f"in/runs/e/{STRATEGY}/try_1"
_TRAIN = (
    f"--features=in/store --config_files=in/strategies/{STRATEGY}.json --epochs=3 "
    "--seed=7 --lr=0.01 --batch_size=8 --save_strategy=best --best_strategy=t2s_mAP "
    "--save_every_seconds=0 --progress=none "
)
_EXTRACT = (
    "--museums=in/list/museums.jsonl --input_root=in/raw --pretrained=in/clip "
    "--batch_size=2 --dtype=float32 --dataset_name=soak --device=cpu "
    "--precision=float32 --num_workers=0 "
)
_INDEX = f"--checkpoint={RUN} --features=in/store "
_COLLECTION = (
    "--input=in/raw --noserve --pretrained=in/clip --device=cpu --precision=float32 "
    "--num_workers=0 "
)
LATE = "late_interaction"
LATE_RUN = f"in/late_runs/e/{LATE}/try_1"
_TRAIN_LATE = (
    f"--features=in/store --config_files=in/late/{LATE}.json --epochs=2 --seed=7 "
    "--lr=0.001 --batch_size=8 --loss=info_nce --temperature=0.05 "
    "--partial_descriptions=0.3 --scheduler=cosine --save_strategy=last "
    "--save_every_seconds=0 --progress=none --experiment_name=e "
)
_LATE_INDEX = f"--checkpoint={LATE_RUN} --features=in/store "


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command and what it reads and writes, in a folder of its own.

    Attributes:
        module: Of the package.
        flags: With spaces between them.
        reads: Artefacts, which lie in the folder `in`.
        writes: What is compared, below the folder; nothing where only stdout is.
        again: Flags that the same command has besides when it is given again.
        needs: Libraries without which it is left out.
        kind: Those that write are killed too; those that verify have to notice every
            damage; those that serve are asked while others are killed.
        weight: How often it is chosen, next to others; the slow ones more rarely.
    """

    module: str
    flags: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    again: str = ""
    needs: tuple[str, ...] = ()
    kind: Literal["writes", "reads", "verifies", "serves"] = "writes"
    weight: int = 1

    @property
    def can_run(self) -> bool:
        """Whether the libraries are there that it needs."""
        return all(importlib.util.find_spec(name) for name in self.needs)

    def given(self, *, again: bool = False) -> list[str]:
        """Its flags, as a list."""
        return [*self.flags.split(), *(self.again.split() if again else ())]


COMMANDS = {
    "prepare": Command(
        "prepare",
        "--source=folder --input=in/raw --output=list",
        ("raw",),
        ("list",),
        weight=8,
    ),
    "make_configs": Command(
        "make_configs",
        "--out_dir=strategies --b_mean_pool --b_cnn1d --no_image_video --gru --lstm "
        "--desc_rnn_is_bidir --feature_size=16 --output_feature_size=6 "
        "--cnn1d_inter_size=4 --kernel_size=3",
        (),
        ("strategies",),
        weight=8,
    ),
    "synthesize": Command(
        "synthesize",
        "--output=store --museums=40 --feature_size=16 --rooms=2 --views=2 "
        "--sentences=3 --images=6",
        (),
        ("store",),
        weight=8,
    ),
    "export_features": Command(
        "export_features",
        "--to=tfds --features=in/store --output=tfds --name=soak",
        ("store",),
        ("tfds",),
        needs=("array_record",),
        weight=6,
    ),
    "import_features": Command(
        "import_features",
        "--source=tfds --input=in/tfds/soak --output=store",
        ("tfds",),
        ("store",),
        needs=("array_record",),
        weight=6,
    ),
    "train": Command(
        "train",
        f"{_TRAIN} --workdir=runs --experiment_name=e --number_of_tries=2",
        ("store", "strategies"),
        ("runs",),
        "--resume",
        weight=1,
    ),
    "sweep": Command(
        "sweep",
        f"{_TRAIN} --workdir=runs --experiment_name=e --grid=lr=0.01,0.02",
        ("store", "strategies"),
        ("runs",),
        "--resume",
        weight=1,
    ),
    "evaluate": Command(
        "evaluate",
        f"--checkpoint={RUN} --features=in/store --output=evaluation --split=test "
        "--per_query=csv --query_sentences=1,all",
        ("store", "runs"),
        ("evaluation",),
        weight=2,
    ),
    "convert to shared": Command(
        "convert",
        f"--from=orbax --to=shared --input={RUN} --output=shared",
        ("runs",),
        ("shared",),
        weight=8,
    ),
    "convert to pytorch": Command(
        "convert",
        f"--from=orbax --to=pytorch --input={RUN} --output=pytorch",
        ("runs",),
        ("pytorch",),
        weight=8,
    ),
    "convert to orbax": Command(
        "convert",
        "--from=shared --to=orbax --input=in/shared --output=orbax",
        ("shared",),
        ("orbax",),
        weight=8,
    ),
    "convert from pytorch": Command(
        "convert",
        "--from=pytorch --to=orbax --input=in/pytorch --output=orbax",
        ("pytorch",),
        ("orbax",),
        weight=8,
    ),
    "build_index": Command(
        "build_index",
        f"{_INDEX} --output=index --splits=train,val",
        ("store", "runs"),
        ("index",),
        weight=2,
    ),
    "build_index --append": Command(
        "build_index",
        f"{_INDEX} --output=in/index --splits=test --append",
        ("store", "runs", "index"),
        ("in/index",),
        weight=2,
    ),
    "build_index --remove": Command(
        "build_index",
        "--output=in/index --remove=museum00003,museum00007",
        ("index",),
        ("in/index",),
        weight=8,
    ),
    "report": Command(
        "report",
        "--runs=in/runs --output=report --nofigures",
        ("runs",),
        ("report",),
        needs=("jinja2",),
        weight=8,
    ),
    "compress_video": Command(
        "compress_video",
        "--input_root=in/videos --output_root=compressed --num_workers=1",
        ("videos",),
        ("compressed",),
        needs=("av",),
        weight=4,
    ),
    "extract": Command(
        "extract",
        f"{_EXTRACT} --output=store",
        ("raw", "list", "clip"),
        ("store",),
        needs=("torch", "open_clip"),
        weight=6,
    ),
    "train late": Command(
        "train",
        f"{_TRAIN_LATE} --workdir=runs --number_of_tries=1",
        ("store", "late"),
        ("runs",),
        "--resume",
        weight=2,
    ),
    "evaluate late": Command(
        "evaluate",
        f"--checkpoint={LATE_RUN} --features=in/store --output=evaluation "
        "--split=test --per_query=csv --theme_weight=0,0.5",
        ("store", "late_runs"),
        ("evaluation",),
        weight=2,
    ),
    "convert late to shared": Command(
        "convert",
        f"--from=orbax --to=shared --input={LATE_RUN} --output=shared",
        ("late_runs",),
        ("shared",),
        weight=4,
    ),
    "convert late to orbax": Command(
        "convert",
        "--from=shared --to=orbax --input=in/late_shared --output=orbax",
        ("late_shared",),
        ("orbax",),
        weight=4,
    ),
    "build_index late": Command(
        "build_index",
        f"{_LATE_INDEX} --output=index --splits=train,val",
        ("store", "late_runs"),
        ("index",),
        weight=2,
    ),
    "build_index late --append": Command(
        "build_index",
        f"{_LATE_INDEX} --output=in/late_index --splits=test --append",
        ("store", "late_runs", "late_index"),
        ("in/late_index",),
        weight=2,
    ),
    "build_index zero-shot": Command(
        "build_index",
        "--checkpoint=zero-shot --features=in/extracted --output=index "
        "--museums=in/list/museums.jsonl",
        ("extracted", "list"),
        ("index",),
        needs=("torch", "open_clip"),
        weight=2,
    ),
    "build_index --uri": Command(
        "build_index",
        "--output=in/index --uri=qdrant --client=client",
        ("index",),
        ("qdrant", "client"),
        needs=("qdrant_client",),
        weight=6,
    ),
    "build_index late --uri": Command(
        "build_index",
        "--output=in/late_index --uri=qdrant --client=client",
        ("late_index",),
        ("qdrant", "client"),
        needs=("qdrant_client",),
        weight=6,
    ),
    "collection": Command(
        "collection",
        f"{_COLLECTION} --output=collection",
        ("raw", "clip"),
        ("collection",),
        needs=("torch", "open_clip"),
        weight=4,
    ),
    "serve": Command(
        "serve",
        "--index=in/index --port=0",
        ("index",),
        kind="serves",
        needs=("uvicorn",),
        weight=2,
    ),
    "serve late": Command(
        "serve",
        "--index=in/late_index --port=0",
        ("late_index",),
        kind="serves",
        needs=("uvicorn",),
        weight=2,
    ),
    "train --resume": Command(
        "train",
        f"{_TRAIN} --workdir=in/half --experiment_name=e --number_of_tries=2 --resume",
        ("store", "strategies", "half"),
        ("in/half",),
        kind="reads",
        weight=3,
    ),
    "extract, going on": Command(
        "extract",
        f"{_EXTRACT} --output=in/work/store",
        ("raw", "list", "clip", "work"),
        ("in/work",),
        needs=("torch", "open_clip"),
        kind="reads",
        weight=3,
    ),
    "collection, again": Command(
        "collection",
        f"{_COLLECTION} --output=in/collection",
        ("raw", "clip", "collection"),
        ("in/collection",),
        needs=("torch", "open_clip"),
        kind="reads",
        weight=6,
    ),
    "inspect": Command("inspect", "--features=in/store", ("store",), kind="reads"),
    "inspect --verify": Command(
        "inspect", "--features=in/store --verify", ("store",), kind="verifies"
    ),
    "build_index --verify": Command(
        "build_index", "--output=in/index --verify", ("index",), kind="verifies"
    ),
    "search --like": Command(
        "search", "--index=in/index --like=museum00002", ("index",), kind="reads"
    ),
    "search late": Command(
        "search",
        "--index=in/late_index --query=Harbour",
        ("late_index",),
        kind="reads",
    ),
    "search --uri": Command(
        "search",
        "--index=in/client --uri=in/qdrant --like=museum00002",
        ("client", "qdrant"),
        needs=("qdrant_client",),
        kind="reads",
    ),
}
"""By name. Each comes after those that make what it reads."""

ARTEFACTS = {
    "store": ("synthesize", "store"),
    "tfds": ("export_features", "tfds"),
    "list": ("prepare", "list"),
    "strategies": ("make_configs", "strategies"),
    "runs": ("train", "runs"),
    "shared": ("convert to shared", "shared"),
    "pytorch": ("convert to pytorch", "pytorch"),
    "orbax": ("convert to orbax", "orbax"),
    "index": ("build_index", "index"),
    "extracted": ("extract", "store"),
    "late_runs": ("train late", "runs"),
    "late_shared": ("convert late to shared", "shared"),
    "late_index": ("build_index late", "index"),
    "qdrant": ("build_index --uri", "qdrant"),
    "client": ("build_index --uri", "client"),
    "late_qdrant": ("build_index late --uri", "qdrant"),
    "late_client": ("build_index late --uri", "client"),
    "collection": ("collection", "collection"),
}
"""Those that a command makes for others, with the command and what of its outputs."""

TEXTS = {"list", "strategies"}
"""What people write themselves: another text is another text, whatever made it so."""

INPUTS = {"raw", "videos", "clip", "late"}
"""What comes from elsewhere, and says nothing of how it has to be: not damaged."""

NOT_READ = {
    "evaluation": "tables and embeddings for people, which no command reads",
    "report": "a page, tables and figures for people, which no command reads",
    "compressed": "videos, as any others from elsewhere",
}
"""Outputs that are not damaged, and why."""
