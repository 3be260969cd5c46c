"""Extraction by a Ray cluster: chunks are its tasks, and it tries again what died.

Every machine of the cluster has this package, and sees the museums' files, the weights
and the store's folder under the same paths. A task keeps its chunks where any other
process would (`hm3_jax.extraction.work_folder`), so what was finished before a worker
died is not computed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hm3_jax.extraction.chunk_encoder import ChunkEncoder, Count, new_items
from hm3_jax.extraction.chunks import Chunk, missing
from hm3_jax.extraction.clip_model import ClipChoice, ClipModel, load_clip
from hm3_jax.extraction.encode import Known
from hm3_jax.extraction.errors import first_line
from hm3_jax.extraction.plan import Plan
from hm3_jax.extraction.settings import FeatureSettings, Share
from hm3_jax.extraction.work_folder import WorkFolder

# Chunks of a task: enough to make its start cheap, few enough for all workers to have
# something to do until the end.
_MOST_CHUNKS, _TASKS_OF_A_SLOT = 8, 4
# A worker may die with its machine, or because memory ran out: that is not its fault.
_RETRIES = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTask:
    """Some chunks, and all that it takes to encode them elsewhere.

    Attributes:
        output: The store that is to be made.
        root: The input root.
        chunks: The chunks.
        again: Those of them that are to be encoded although they are finished.
        known: Features that are there already, by kind and number of the item.
        choice: The model.
        device: PyTorch's name of a device, or "auto".
        threads: What PyTorch computes with on a CPU, as their number changes the last
            bits; None for a GPU.
        settings: What else decides features.
        share: How files are decoded, and what to do about those that cannot be.
    """

    output: Path
    root: Path
    chunks: tuple[Chunk, ...]
    again: frozenset[Chunk]
    known: Mapping[str, Known]
    choice: ClipChoice
    device: str
    threads: int | None
    settings: FeatureSettings
    share: Share


def encode_chunks(task: ChunkTask) -> list[tuple[str, int, int]]:
    """Encodes a task's chunks, in a worker of Ray.

    Returns:
        What `Count` is to be told.

    Raises:
        ValueError: The model here differs from the one that the work was begun with;
            also as `ChunkEncoder.encode`, as FileSystemFailure and RuntimeError.
    """
    if task.threads is not None:
        import torch

        torch.set_num_threads(task.threads)
    clip = _clip(task.choice, task.device)
    work = WorkFolder(task.output)
    work.check({"model": clip.facts()})
    plan = _plan(task.output, work.mark())
    absent = missing(work.chunks, task.chunks)
    todo = [chunk for chunk in task.chunks if chunk in absent or chunk in task.again]
    counted = [
        (chunk.kind, len(new_items(chunk, task.known)), 0)
        for chunk in task.chunks
        if chunk not in todo
    ]
    encoder = ChunkEncoder(
        work, plan, clip, task.settings, task.share, task.root, lambda line: None
    )
    encoder.encode(todo, task.known, lambda *done: counted.append(done))
    return counted


def encode_by_ray(
    encoder: ChunkEncoder,
    choice: ClipChoice,
    device: str,
    output: Path,
    chunks: Sequence[Chunk],
    again: frozenset[Chunk],
    known: Mapping[str, Known],
    count: Count,
) -> None:
    """Has the workers of a Ray cluster encode chunks.

    Args:
        encoder: What would encode them here; its share names the cluster.
        choice: The model.
        device: PyTorch's name of a device, or "auto".
        output: The store that is to be made.
        chunks: The chunks.
        again: Those of them that are finished.
        known: Features that are there already, by kind and number of the item.
        count: Is told what is done.

    Raises:
        ConnectionError: There is no such cluster.
        RuntimeError: Ray failed, or a task's worker died several times.
        ValueError, FileSystemFailure: As `encode_chunks`.
    """
    import ray
    import ray.exceptions

    with _cluster(encoder.share.ray_address):
        threads, resources = _needs(device)
        size = len(chunks) // (_TASKS_OF_A_SLOT * _slots(resources))
        size = max(1, min(_MOST_CHUNKS, size))
        parts = [tuple(chunks[i : i + size]) for i in range(0, len(chunks), size)]
        remote: Any = ray.remote(encode_chunks)
        remote = remote.options(max_retries=_RETRIES, **resources)
        waiting = [
            remote.remote(
                ChunkTask(
                    output=output.absolute(),
                    root=encoder.root.absolute(),
                    chunks=part,
                    again=again.intersection(part),
                    known=_of(part, known),
                    choice=_elsewhere(choice),
                    device=device,
                    threads=threads,
                    settings=encoder.settings,
                    share=encoder.share,
                )
            )
            for part in parts
        ]
        try:
            while waiting:
                (first, *_), waiting = ray.wait(waiting)
                for kind, done, skipped in ray.get(first):
                    count(kind, done, skipped)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise RuntimeError(f"Ray: {first_line(error)}") from None
        finally:
            for task in waiting:
                ray.cancel(task, force=True)


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """A connection to a cluster; one that this process has already is used as it is."""
    # Ray would report to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        ray.init(
            address=address,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConnectionError(
            f"--ray_address={address}: expected a Ray cluster, found none "
            f"({first_line(error)})"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _needs(device: str) -> tuple[int | None, dict[str, int]]:
    """Threads of a task, and what it asks Ray for: a GPU, or cores."""
    import ray
    import torch

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = any(node.get("GPU", 0) >= 1 for node in nodes)
    if device.startswith("cuda") or (device == "auto" and gpus):
        return None, {"num_gpus": 1, "num_cpus": 1}
    threads = torch.get_num_threads()
    cores = int(max(node.get("CPU", 0) for node in nodes))
    return threads, {"num_cpus": max(1, min(threads, cores))}


def _slots(resources: Mapping[str, int]) -> int:
    """How many tasks the cluster has room for at once."""
    import ray

    have = ray.cluster_resources()
    names = {"num_gpus": "GPU", "num_cpus": "CPU"}
    return max(1, int(min(have.get(names[k], 0) // n for k, n in resources.items())))


def _of(chunks: Sequence[Chunk], known: Mapping[str, Known]) -> dict[str, Known]:
    """What is known of some chunks' items."""
    of: dict[str, dict[int, Any]] = {}
    for chunk in chunks:
        there = known.get(chunk.kind, {})
        of.setdefault(chunk.kind, {}).update(
            {item: there[item] for item in chunk.items if item in there}
        )
    return dict(of)


def _elsewhere(choice: ClipChoice) -> ClipChoice:
    """The same choice for a process in another folder."""
    if choice.pretrained is None or not Path(choice.pretrained).exists():
        return choice
    path = str(Path(choice.pretrained).absolute())
    return dataclasses.replace(choice, pretrained=path)


@functools.lru_cache(maxsize=1)
def _clip(choice: ClipChoice, device: str) -> ClipModel:
    return load_clip(choice, device)


@functools.lru_cache(maxsize=1)
def _plan(output: Path, mark: str) -> Plan:
    del mark  # tells one extraction from the next
    return WorkFolder(output).plan()
