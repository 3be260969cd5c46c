"""Twelve museums as a curator may have them, and what shows them."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.extraction.museum_folder import write_picture

MUSEUMS = 12
SAID = "A hall with a marble floor. The light is warm."


def write_museum(folder: Path, number: int) -> None:
    """A museum of one room without a folder, or of two that have names."""
    rooms = [folder / "Calm", folder / "Storm"] if number % 2 else [folder]
    for place, room in enumerate(rooms):
        for view in range(2):
            write_picture(room / f"view {view}.jpg", 100 * number + 10 * place + view)
    if number % 3:
        (folder / "description.txt").write_text(f"{SAID} Museum {number}.\n")


def write_museums(top: Path) -> Path:
    """All of them; a third without a description."""
    for number in range(MUSEUMS):
        write_museum(top / f"museum {number}", number)
    return top


def write_webm(path: Path) -> None:
    """A second of a video that every browser plays."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libvpx", rate=Fraction(5))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(0, 250, 50):
            frame = np.full((48, 64, 3), shade, np.uint8)
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
