"""Pictures and sentences through an encoder with random weights, and a plain loop."""

from __future__ import annotations

import dataclasses

from benchmarks import extraction_cases
from benchmarks.extraction_cases import Case
from benchmarks.gpu.data import clip_of
from benchmarks.gpu.setting import Rows, Setting


def sentences(setting: Setting) -> Rows:
    """Plain loop, then ours."""
    case = _case(setting)
    yield _row("sentences, plain loop", extraction_cases.loop_texts(case))
    yield _row("sentences", extraction_cases.ours_texts(case))


def pictures(setting: Setting) -> Rows:
    """Plain loop, then ours with as many decoding workers as extract takes."""
    case = _case(setting)
    yield _row("pictures, plain loop", extraction_cases.loop_pictures(case))
    yield _row("pictures", extraction_cases.ours_pictures(case))


def workers(setting: Setting) -> Rows:
    """Pictures with some numbers of decoding workers."""
    for number in setting.workers:
        case = dataclasses.replace(_case(setting), num_workers=number)
        found = extraction_cases.ours_pictures(case)
        yield _row(f"pictures, {number} decoding workers", found)


def _row(what: str, found: dict[str, float]) -> dict:
    rate = found["items"] / found["seconds"]
    return {"what": what, "items_per_second": rate, "busy": found.get("busy")}


def _case(setting: Setting) -> Case:
    import torch

    return Case(
        museums=setting.pictures,
        clip=clip_of(setting),
        device="cuda" if torch.cuda.is_available() else "cpu",
        precision=setting.precision,
        batch_size=setting.batch_size,
    )
