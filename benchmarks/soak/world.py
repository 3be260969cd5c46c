"""What is killed and damaged: small artefacts of every kind, and the commands."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

STRATEGY = "rnn_meanPoolProc"
_RUN = f"in/runs/e/{STRATEGY}/try_1"
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
_INDEX = f"--checkpoint={_RUN} --features=in/store "


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
            damage.
        weight: How often it is chosen, next to others; the slow ones more rarely.
    """

    module: str
    flags: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    again: str = ""
    needs: tuple[str, ...] = ()
    kind: Literal["writes", "reads", "verifies"] = "writes"
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
        f"--checkpoint={_RUN} --features=in/store --output=evaluation --split=test "
        "--per_query=csv --query_sentences=1,all",
        ("store", "runs"),
        ("evaluation",),
        weight=2,
    ),
    "convert to shared": Command(
        "convert",
        f"--from=orbax --to=shared --input={_RUN} --output=shared",
        ("runs",),
        ("shared",),
        weight=8,
    ),
    "convert to pytorch": Command(
        "convert",
        f"--from=orbax --to=pytorch --input={_RUN} --output=pytorch",
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
    "train --resume": Command(
        "train",
        f"{_TRAIN} --workdir=in/half --experiment_name=e --number_of_tries=2 --resume",
        ("store", "strategies", "half"),
        ("in/half",),
        kind="reads",
        weight=1,
    ),
    "extract, going on": Command(
        "extract",
        f"{_EXTRACT} --output=in/work/store",
        ("raw", "list", "clip", "work"),
        ("in/work",),
        needs=("torch", "open_clip"),
        kind="reads",
    ),
    "inspect --verify": Command(
        "inspect", "--features=in/store --verify", ("store",), kind="verifies"
    ),
    "build_index --verify": Command(
        "build_index", "--output=in/index --verify", ("index",), kind="verifies"
    ),
    "search --like": Command(
        "search", "--index=in/index --like=museum00002", ("index",), kind="reads"
    ),
}
"""By name. Each comes after those that make what it reads."""

# Artefacts that a command makes for others, with the command.
_MADE = {
    "store": ("synthesize", "store"),
    "tfds": ("export_features", "tfds"),
    "list": ("prepare", "list"),
    "strategies": ("make_configs", "strategies"),
    "runs": ("train", "runs"),
    "shared": ("convert to shared", "shared"),
    "pytorch": ("convert to pytorch", "pytorch"),
    "index": ("build_index", "index"),
}


class World:
    """Folder of artefacts that commands read, each made once.

    Attributes:
        path: The folder; an artefact's is `path / NAME`.
    """

    def __init__(self, path: Path):
        """Makes the folder, and in it what no command makes."""
        self.path = path
        path.mkdir(parents=True)
        _write_raw(path / "raw")
        if importlib.util.find_spec("av"):
            run_apart(_write_videos, path / "videos")
        if importlib.util.find_spec("open_clip"):
            run_apart(_write_clip, path / "clip")

    def keep(self, name: str, folder: Path) -> None:
        """Takes what a command has made in a folder, where others read it."""
        for artefact, (maker, where) in _MADE.items():
            if maker == name:
                shutil.copytree(folder / where, self.path / artefact)

    def place(self, command: Command, folder: Path) -> None:
        """Makes a folder for a command, with copies of what it reads."""
        (folder / "in").mkdir(parents=True)
        for artefact in command.reads:
            shutil.copytree(self.path / artefact, folder / "in" / artefact)


def _write_clip(folder: Path) -> None:
    """A CLIP model with random weights, as open_clip's local folders have it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 32,
            "head_width": 16,
            "patch_size": 16,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    }
    torch.manual_seed(0)
    folder.mkdir()
    settings = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    state = open_clip.CLIP(**config).state_dict()
    save_file(
        {name: value.contiguous() for name, value in state.items()},
        folder / "open_clip_model.safetensors",
    )


def run_apart(function: Callable[..., object], *arguments: object) -> None:
    """Calls a function in a fork, since what it starts would not survive one."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function(*arguments)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"soak: {function.__name__} failed")


def _write_raw(folder: Path) -> None:
    """A folder tree of museums with pictures and texts."""
    from PIL import Image

    random = np.random.default_rng(0)
    for museum in range(6):
        split = ("train", "train", "val", "test")[museum % 4]
        where = folder / split / ("portraits", "seascapes")[museum % 2] / f"m {museum}"
        for room in range(2):
            (where / f"room {room}").mkdir(parents=True)
            for view in range(2):
                pixels = random.integers(0, 256, (24, 32, 3), np.uint8)
                Image.fromarray(pixels).save(where / f"room {room}" / f"{view}.png")
        text = f"A hall of museum {museum}. The light is warm. A bench and a door."
        (where / "description.txt").write_text(text)


def _write_videos(folder: Path) -> None:
    import av

    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(2):
        with av.open(str(folder / f"clip_{number}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=4)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(8):
                pixels = np.broadcast_to(
                    random.integers(0, 256, 3, np.uint8), (48, 64, 3)
                )
                frame = av.VideoFrame.from_ndarray(pixels.copy(), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
