"""Extracts features: from a museum list to a store, in pieces that are kept.

Each process works on its share of the chunks (`hm3_jax.extraction.chunks`) and keeps
what it has finished in a folder beside the store. Alone, it then writes the store;
where several share the work, `merge` does when all are done.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from hm3_jax.data.museum_jsonl import read_museum_files
from hm3_jax.data.store import Manifest
from hm3_jax.extraction.assemble import assemble
from hm3_jax.extraction.chunks import KINDS, Chunk, cut, missing, save_chunk
from hm3_jax.extraction.clip_model import ClipChoice, ClipModel, load_clip
from hm3_jax.extraction.encode import encode_files, encode_texts
from hm3_jax.extraction.errors import UnreadableInput, require_packages
from hm3_jax.extraction.plan import Plan, make_plan
from hm3_jax.extraction.progress import ExtractionProgress
from hm3_jax.extraction.report import report_lines
from hm3_jax.extraction.run_facts import (
    finished_store,
    list_facts,
    origin_of,
    settings_facts,
    store_facts,
)
from hm3_jax.extraction.settings import FeatureSettings, Share, Sources, StoreForm
from hm3_jax.extraction.work_folder import WorkFolder
from hm3_jax.extraction.workers import Decoded, Decoder, decoded, jobs_of, worker_count

Say = Callable[[str], None]


def extract(
    sources: Sources,
    choice: ClipChoice,
    settings: FeatureSettings,
    share: Share,
    form: StoreForm,
    *,
    device: str = "auto",
    say: Say = print,
) -> Manifest | None:
    """Encodes what is missing of a share of the work; alone, writes the store too.

    Args:
        sources: The museum list, and the store to make.
        choice: The model.
        settings: What else decides features.
        share: Which part of the work this process does.
        form: Name and dtype of the store.
        device: PyTorch's name of a device, or "auto".
        say: Takes lines about progress.

    Returns:
        The store's manifest; None if others do parts of the work.

    Raises:
        FileExistsError: The store exists.
        FileNotFoundError: The list, its input root or the model is missing.
        ValueError: The list or the model is not what it should be; the work was begun
            with others; a file cannot be read and `share.on_error` is "fail"; or no
            museum is left.
        RuntimeError: Another process does this share, or a worker process died.
    """
    require_packages("torch", "open_clip", "PIL")
    files = read_museum_files(sources.museums, root=sources.input_root)
    clip = load_clip(choice, device)
    work = WorkFolder(sources.output)
    model_facts = clip.facts()
    done = finished_store(sources.output, work, model_facts)
    if done is not None:
        return done
    plan = work.begin(
        list_facts(files) | settings_facts(settings) | {"model": model_facts},
        lambda: make_plan(
            files, lambda text: settings.text_split.pieces(text, clip.tokenize)
        ),
    )
    if plan.videos:
        require_packages("av")
    chunks = _chunks(plan, settings)
    with work.locked(share.index, share.shards), _said_what_is_kept(work, say):
        mine = missing(work.chunks, chunks[share.index :: share.shards])
        if mine:
            encode_chunks(work, plan, mine, clip, settings, share, files.root, say)
        if share.shards == 1:
            return _finish(work, sources, settings, share, form, say)
    left = len(missing(work.chunks, chunks))
    say(
        f"shard {share.index} of {share.shards} is done; "
        + (
            f"{left} of {len(chunks)} chunks are left to other shards"
            if left
            else "all shards are: --merge makes the store"
        )
    )
    return None


def merge(
    sources: Sources,
    choice: ClipChoice,
    settings: FeatureSettings,
    share: Share,
    form: StoreForm,
    *,
    say: Say = print,
) -> Manifest:
    """Writes the store of a work that several processes have shared.

    Needs neither the model nor the museums' files. As far as that goes, arguments are
    compared with what the work was begun with.

    Args, Returns, Raises:
        As `extract`. FileNotFoundError too if there is no such work, ValueError if a
        chunk is missing.
    """
    work = WorkFolder(sources.output)
    done = finished_store(sources.output, work, None)
    if done is not None:
        return done
    files = read_museum_files(sources.museums, root=sources.input_root)
    named = {} if choice.precision == "auto" else {"precision": choice.precision}
    if choice.model is not None:
        named["model"] = choice.model
    work.check(list_facts(files) | settings_facts(settings) | {"model": named})
    chunks = _chunks(work.plan(), settings)
    absent = missing(work.chunks, chunks)
    if absent:
        raise ValueError(
            f"{work.chunks}: expected {len(chunks)} finished chunks, found "
            f"{len(chunks) - len(absent)} ({absent[0].name} is missing): run the "
            "shards to their end first"
        )
    with work.locked(0, 1):
        return _finish(work, sources, settings, share, form, say)


def encode_chunks(
    work: WorkFolder,
    plan: Plan,
    chunks: list[Chunk],
    clip: ClipModel,
    settings: FeatureSettings,
    share: Share,
    root: Path,
    say: Say,
) -> None:
    """Encodes chunks and keeps them, one after another.

    Args:
        work: Where they are kept; begun.
        plan: Has their items.
        chunks: The chunks.
        clip: The model.
        settings: What else decides features.
        share: Workers, and what to do about what cannot be read.
        root: The input root.
        say: Takes lines about progress.

    Raises:
        ValueError: Something cannot be read and `share.on_error` is "fail".
        RuntimeError: A worker process died or could not read on.
        OSError: The file system failed.
    """
    todo = dict.fromkeys((chunk.kind for chunk in chunks), 0)
    for chunk in chunks:
        todo[chunk.kind] += len(chunk)
    progress, mark = ExtractionProgress(todo, say), work.mark()
    decoder = Decoder(
        root,
        clip.picture_transform,
        settings.frames_per_second,
        1 if settings.video_pooling == "first_frame" else settings.max_frames,
    )
    pictures = todo.get("pictures", 0) + todo.get("videos", 0) * decoder.max_frames
    jobs = {
        chunk: jobs_of(
            chunk.kind, chunk.start, plan.items(chunk.kind)[chunk.start : chunk.stop]
        )
        for chunk in chunks
        if chunk.kind != "texts"
    }

    def refuse(kind: str, failures: Mapping[int, str]) -> None:
        if failures and share.on_error == "fail":
            item, reason = min(failures.items())
            name = plan.items(kind)[item]
            if kind == "texts":
                raise ValueError(f"text {name.text!r}: {reason}")
            raise UnreadableInput(root / name, reason)

    def watched(results: Iterable[Decoded], kind: str) -> Iterator[Decoded]:
        for result in results:
            refuse(kind, result.failures)
            progress.add(kind, len(result.rows), len(result.failures))
            yield result

    with decoded(
        list(itertools.chain.from_iterable(jobs.values())),
        decoder,
        worker_count(share.num_workers, pictures),
    ) as results:
        for chunk in chunks:
            if chunk.kind == "texts":
                encoded = encode_texts(
                    clip,
                    chunk,
                    plan.texts[chunk.start : chunk.stop],
                    settings.batch_size,
                    lambda done: progress.add("texts", done),
                )
            else:
                own = itertools.islice(results, len(jobs[chunk]))
                encoded = encode_files(
                    clip,
                    chunk,
                    watched(own, chunk.kind),
                    settings.batch_size,
                    settings.video_pooling,
                )
            refuse(chunk.kind, encoded.failures)
            save_chunk(work.chunks, mark, chunk, encoded)


def _finish(
    work: WorkFolder,
    sources: Sources,
    settings: FeatureSettings,
    share: Share,
    form: StoreForm,
    say: Say,
) -> Manifest:
    record = work.record()
    assert record is not None
    facts = record["facts"]
    manifest, report = assemble(
        work,
        sources.output,
        _chunks(work.plan(), settings),
        form,
        store_facts(facts["model"], settings),
        origin_of(facts),
        source=sources.museums,
        complete=share.on_error == "fail",
    )
    for line in report_lines(report):
        say(f"note: {line}")
    return manifest


@contextlib.contextmanager
def _said_what_is_kept(work: WorkFolder, say: Say) -> Iterator[None]:
    try:
        yield
    except BaseException:
        say(f"what is finished is in {work.path}; the same command goes on from there")
        raise


def _chunks(plan: Plan, settings: FeatureSettings) -> tuple[Chunk, ...]:
    counts = {kind: len(plan.items(kind)) for kind in KINDS}
    return cut(counts, settings.batch_size)
