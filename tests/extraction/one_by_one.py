"""The oracle of an extraction: open_clip called directly, on one item at a time."""

from pathlib import Path
from typing import Any

import numpy as np


class OneByOne:
    """A local model folder, used as open_clip's documentation has it."""

    def __init__(self, folder: Path):
        import open_clip

        name = f"local-dir:{folder}"
        made: Any = open_clip.create_model_from_pretrained(name)
        self.model, self.preprocess = made
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(name)

    def text(self, text: str) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.model.encode_text(self.tokenizer([text]))[0].numpy()

    def image(self, image) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.model.encode_image(self.preprocess(image)[None])[0].numpy()

    def picture(self, path: Path) -> np.ndarray:
        from PIL import Image

        with Image.open(path) as picture:
            return self.image(picture.convert("RGB"))

    def video(self, path: Path, rate: int, first_frame: bool = False) -> np.ndarray:
        """Of a video of `rate` frames a second and less than 32 seconds."""
        import av

        with av.open(path) as container:
            frames = [frame.to_image() for frame in container.decode(video=0)][::rate]
        frames = frames[:1] if first_frame else frames
        return np.mean([self.image(frame) for frame in frames], axis=0)
