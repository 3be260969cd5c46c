"""Folders of small museums with pictures, videos and texts, for tests of extraction."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

SENTENCES = (
    "A hall with a marble floor.",
    "Two portraits hang beside the door.",
    "In the next room there is a landscape by the sea, painted at dusk, and a bench.",
    "The light is warm.",
    "Una sala con dipinti religiosi.",
)


def write_picture(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> None:
    """A smooth random picture in the format of the path's suffix."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BILINEAR).save(path)


def write_video(path: Path, seed: int, seconds: int = 3, rate: int = 2) -> None:
    """A video whose frames differ."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for _ in range(seconds * rate):
            color = random.integers(0, 256, 3, np.uint8)
            frame = np.broadcast_to(color, (32, 48, 3)).copy()
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def write_museums(
    folder: Path, count: int = 6, *, rooms: int = 2, views: int = 2, videos: bool = True
) -> Path:
    """Writes museums that share paintings and videos; returns the museum list."""
    for painting in range(3):
        write_picture(folder / f"art/painting_{painting}.png", 1000 + painting)
    if videos:
        for clip in range(2):
            write_video(folder / f"clips/clip_{clip}.mp4", clip, seconds=2 + clip)
    lines = []
    for museum in range(count):
        shown = []
        for room in range(rooms):
            paths = []
            for view in range(views):
                name = f"museums/{museum}/room_{room}/view_{view}.jpg"
                write_picture(folder / name, museum * 100 + room * 10 + view)
                paths.append(name)
            shown.append(
                {"views": paths, "images": [f"painting {(museum + room) % 3}"]}
                | ({"videos": [f"./clips/clip_{museum % 2}.mp4"]} if videos else {})
            )
        lines.append(
            {
                "id": f"museum-{museum}",
                "split": ("train", "train", "val", "test")[museum % 4],
                "theme": ("portrait", "landscape")[museum % 2],
                "description": [
                    *(SENTENCES[(museum + i) % len(SENTENCES)] for i in range(3)),
                    f"It is museum number {museum}.",
                ],
                "rooms": shown,
            }
        )
    write_lines(folder / "museums.jsonl", lines)
    write_lines(
        folder / "artworks.jsonl",
        [{"id": f"painting {i}", "path": f"art/painting_{i}.png"} for i in range(3)],
    )
    return folder / "museums.jsonl"


def read_lines(path: Path) -> list:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, values: list) -> None:
    """Writes a file of JSON lines."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
