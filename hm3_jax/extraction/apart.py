"""Decodes a picture of somebody unknown, in a process of its own that is ended in time.

    python -m hm3_jax.extraction.apart PATH < the transform, pickled

writes the pixels, or one line about what is wrong (exit code 1).
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hm3_jax.extraction.errors import UnreadableInput
from hm3_jax.extraction.picture_transform import PictureTransform
from hm3_jax.extraction.pictures import open_picture

SECONDS = 10.0
"""A decoder that takes longer is ended."""

_MOST_PIXELS = 50_000_000


def read_apart(
    content: bytes, transform: PictureTransform, seconds: float = SECONDS
) -> Float[np.ndarray, "3 h w"]:
    """Decodes the content of a picture file, in any thread.

    Args:
        content: Of the file.
        transform: What is made of the picture.
        seconds: How long that may take.

    Raises:
        ValueError: If it is no picture, or one that `open_picture` refuses, or whose
            decoder crashes or takes longer.
    """
    paths = (path or os.getcwd() for path in sys.path)
    with tempfile.NamedTemporaryFile(prefix="picture_") as file:
        file.write(content)
        file.flush()
        try:
            done = subprocess.run(
                [sys.executable, "-m", __name__, file.name],
                input=pickle.dumps(transform),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"expected a picture that is decoded within {seconds:g} s, found one "
                "that takes longer"
            ) from None
    if done.returncode == 1 and done.stdout:
        raise ValueError(done.stdout.decode())
    shape = (3, *transform.size)
    if done.returncode != 0 or len(done.stdout) != 4 * int(np.prod(shape)):
        raise ValueError("expected a picture, found one whose decoder crashes")
    # Bytes and no pickle: who knows what has become of that process.
    return np.frombuffer(done.stdout, np.float32).reshape(shape)


def main() -> None:
    """What runs in the other process."""
    transform = pickle.load(sys.stdin.buffer)
    try:
        picture = open_picture(Path(sys.argv[1]), max_pixels=_MOST_PIXELS)
        pixels = transform(picture)
    except UnreadableInput as error:
        print(error.reason, end="")
        sys.exit(1)
    sys.stdout.buffer.write(np.ascontiguousarray(pixels, np.float32).data)


if __name__ == "__main__":
    main()
