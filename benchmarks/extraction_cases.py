"""What is measured of extraction: a plain loop and ours, of texts and of pictures."""

import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Case:
    """What to measure with; `num_workers` None for as many as extract takes."""

    museums: Path
    clip: Path
    device: str = "cpu"
    precision: str = "float32"
    batch_size: int = 64
    num_workers: int | None = None


def loop_texts(case: Case) -> dict[str, float]:
    """A museum's sentences at a time, with open_clip as its documentation has it."""
    import open_clip

    model, _, precision = _open_clip(case)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{case.clip}")
    lists = [museum["description"] for museum in _read(case.museums)]

    def encode(texts: list[str]) -> None:
        with precision():
            model.encode_text(tokenizer(texts).to(case.device)).float().cpu()

    return _timed(lists, encode)


def loop_pictures(case: Case) -> dict[str, float]:
    """A room's pictures at a time, with open_clip as its documentation has it."""
    import torch
    from PIL import Image

    model, preprocess, precision = _open_clip(case)
    rooms = itertools.chain.from_iterable(m["rooms"] for m in _read(case.museums))
    lists = [room["views"] + room["images"] for room in rooms]

    def encode(names: list[str]) -> None:
        pictures = []
        for name in names:
            with Image.open(case.museums.parent / name) as picture:
                pictures.append(preprocess(picture.convert("RGB")))
        with precision():
            model.encode_image(torch.stack(pictures).to(case.device)).float().cpu()

    return _timed(lists, encode)


def ours_texts(case: Case) -> dict[str, float]:
    """All texts, by what `extract` calls."""
    return _ours(case, "texts")


def ours_pictures(case: Case) -> dict[str, float]:
    """All pictures, by what `extract` calls."""
    return _ours(case, "pictures")


CASES: dict[str, Callable[[Case], dict[str, float]]] = {
    case.__name__: case
    for case in (loop_texts, ours_texts, loop_pictures, ours_pictures)
}


def _ours(case: Case, kind: str) -> dict[str, float]:
    from hm3_jax.data.museum_jsonl import read_museum_files
    from hm3_jax.extraction.chunk_encoder import ChunkEncoder
    from hm3_jax.extraction.chunks import KINDS, cut
    from hm3_jax.extraction.clip_model import ClipChoice, load_clip
    from hm3_jax.extraction.plan import make_plan
    from hm3_jax.extraction.settings import FeatureSettings, Share
    from hm3_jax.extraction.work_folder import WorkFolder

    precision: Any = case.precision
    clip = load_clip(ClipChoice(None, str(case.clip), precision), case.device)
    files = read_museum_files(case.museums)
    settings = FeatureSettings(batch_size=case.batch_size)
    share = Share(num_workers=case.num_workers)
    with tempfile.TemporaryDirectory() as folder:
        work = WorkFolder(Path(folder) / "store")
        plan = work.begin(
            {}, lambda: make_plan(files, lambda text: settings.text_split.pieces(text))
        )
        counts = {name: len(plan.items(name)) for name in KINDS}
        chunks = [c for c in cut(counts, case.batch_size) if c.kind == kind]
        _warm(clip)
        with _gpu_seconds(clip, case.device) as busy:
            start = time.perf_counter()
            encoder = ChunkEncoder(
                work, plan, clip, settings, share, files.root, lambda _: None
            )
            encoder.encode(chunks, {}, lambda *_: None)
            seconds = time.perf_counter() - start
    # Of what the loop encodes, which has no notion of what it has had before.
    if kind == "texts":
        items = sum(len(museum.texts) for museum in plan.museums)
    else:
        rooms = itertools.chain.from_iterable(m.rooms for m in plan.museums)
        items = sum(len(room.views) + len(room.images) for room in rooms)
    result = {"seconds": seconds, "items": items, "encoded": counts[kind]}
    return result | ({"busy": sum(busy()) / seconds} if busy else {})


def _warm(clip: Any) -> None:
    """First calls of a model are slow; the loop leaves its own out too."""
    import numpy as np

    clip.encode_pictures(np.zeros((2, 3, *clip.picture_transform.size), np.float32))
    clip.encode_tokens(clip.tokenize(["a museum"]))


@contextmanager
def _gpu_seconds(clip: Any, device: str) -> Iterator[Callable[[], list[float]] | None]:
    """Seconds for which a GPU had each batch in hand; None without a GPU."""
    if not device.startswith("cuda"):
        yield None
        return
    import torch

    events: list[tuple[Any, Any]] = []

    def watched(encode: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(batch: Any) -> Any:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            features = encode(batch)
            end.record()
            events.append((start, end))
            return features

        return call

    clip.encode_pictures = watched(clip.encode_pictures)
    clip.encode_tokens = watched(clip.encode_tokens)

    def seconds() -> list[float]:
        torch.cuda.synchronize()
        return [start.elapsed_time(end) / 1000 for start, end in events]

    yield seconds


def _open_clip(case: Case) -> tuple[Any, Any, Callable[[], Any]]:
    import contextlib

    import open_clip
    import torch

    made: Any = open_clip.create_model_from_pretrained(f"local-dir:{case.clip}")
    model, preprocess = made
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(case.precision)

    @contextlib.contextmanager
    def precision() -> Iterator[None]:
        device = torch.device(case.device).type
        with (
            torch.inference_mode(),
            torch.autocast(device, dtype, enabled=dtype is not None),
        ):
            yield

    return model.eval().to(case.device), preprocess, precision


def _timed(lists: list[list[str]], encode: Callable[[list[str]], None]) -> dict:
    encode(lists[0])
    start = time.perf_counter()
    for items in lists:
        encode(items)
    return {"seconds": time.perf_counter() - start, "items": sum(map(len, lists))}


def _read(museums: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in museums.read_text().splitlines()]
