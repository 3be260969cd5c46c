"""Museums to measure extraction with: screenshots, paintings, descriptions."""

import json
from pathlib import Path

import numpy as np

ROOMS, VIEWS, IMAGES, SENTENCES = 6, 4, 2, 24
VIEW_SIZE, PAINTING_SIZE = (1280, 720), (1000, 800)

_WORDS = (
    "a the room hall wall painting portrait landscape sea light floor marble ceiling "
    "door window left right beside behind large small old wooden golden frame shows "
    "woman man ship saint garden evening visitor bench statue corner blue dark warm"
).split()


def write_museums(folder: Path, museums: int, *, hung_in: int = 1) -> Path:
    """Writes museums with random pictures and texts.

    Args:
        folder: Folder to write to.
        museums: Number of museums.
        hung_in: Number of museums that each painting hangs in.

    Returns:
        The museum list.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    paintings = -(-museums * ROOMS * IMAGES // hung_in)
    for painting in range(paintings):
        _write_picture(folder / f"painting_{painting}.jpg", random, PAINTING_SIZE)
    hung = 0
    lines = []
    for museum in range(museums):
        rooms = []
        for room in range(ROOMS):
            views = [f"{museum}_{room}_{view}.jpg" for view in range(VIEWS)]
            for view in views:
                _write_picture(folder / view, random, VIEW_SIZE)
            numbers = [(hung + i) % paintings for i in range(IMAGES)]
            hung += IMAGES
            rooms.append(
                {"views": views, "images": [f"./painting_{i}.jpg" for i in numbers]}
            )
        lines.append(
            {
                "id": f"museum {museum}",
                "split": "train",
                "theme": "theme",
                "description": [_sentence(random) for _ in range(SENTENCES)],
                "rooms": rooms,
            }
        )
    path = folder / "museums.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def save_random_clip(folder: Path, name: str = "ViT-B-32-quickgelu") -> Path:
    """Saves an architecture of open_clip's with random weights; returns the folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None)
    folder.mkdir(parents=True)
    settings = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def _sentence(random: np.random.Generator) -> str:
    # As long as sentences that describe museums are: some 10 to 35 words.
    words = random.choice(_WORDS, size=random.integers(10, 36))
    return " ".join(words).capitalize() + "."


def _write_picture(
    path: Path, random: np.random.Generator, size: tuple[int, int]
) -> None:
    """A picture about as costly to decode as a photograph: shapes and some grain."""
    from PIL import Image

    coarse = random.integers(0, 256, (9, 16, 3), np.uint8)
    shapes = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    grain = random.normal(0, 6, (size[1], size[0], 1)).astype(np.float32)
    pixels = np.clip(np.asarray(shapes, np.float32) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
