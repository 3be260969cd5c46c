"""What is damaged: small artefacts of every kind, made by commands."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.soak.commands import ARTEFACTS, LATE, Command


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
        _write_late(path / "late")
        if importlib.util.find_spec("av"):
            run_apart(_write_videos, path / "videos")
        if importlib.util.find_spec("open_clip"):
            run_apart(_write_clip, path / "clip")

    def keep(self, name: str, folder: Path) -> None:
        """Takes what a command has made in a folder, where others read it."""
        for artefact, (maker, where) in ARTEFACTS.items():
            if maker == name:
                shutil.copytree(folder / where, self.path / artefact)

    def place(self, command: Command, folder: Path) -> None:
        """Makes a folder for a command, with copies of what it reads."""
        (folder / "in").mkdir(parents=True)
        for artefact in command.reads:
            shutil.copytree(self.path / artefact, folder / "in" / artefact)


def _write_late(folder: Path) -> None:
    """A strategy of late interaction for the synthetic features."""
    settings = {"feature_size": 16, "context": True, "theme_units": 8}
    strategy = {
        "strategy_name": LATE,
        "uses_flattened_hierarchy": False,
        "ee_args": settings,
    }
    folder.mkdir()
    (folder / f"{LATE}.json").write_text(json.dumps(strategy))


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
