"""Extracts features: from a museum list to a store, in pieces that are kept.

Each process works on its share of the chunks (`hm3_jax.extraction.chunks`) and keeps
what it has finished in a folder beside the store. Alone, it then writes the store;
where several share the work, `merge` does when all are done.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

from hm3_jax.data.museum_jsonl import MuseumFiles, read_museum_files
from hm3_jax.data.store import Manifest
from hm3_jax.extraction.assemble import assemble
from hm3_jax.extraction.chunk_encoder import ChunkEncoder, Say, new_items
from hm3_jax.extraction.chunks import KINDS, Chunk, cut, missing
from hm3_jax.extraction.clip_model import ClipChoice, load_clip
from hm3_jax.extraction.errors import require_packages
from hm3_jax.extraction.former import FormerStore
from hm3_jax.extraction.plan import Plan, make_plan
from hm3_jax.extraction.progress import ExtractionProgress
from hm3_jax.extraction.ray_engine import encode_by_ray
from hm3_jax.extraction.report import report_lines
from hm3_jax.extraction.run_facts import (
    finished_store,
    list_facts,
    settings_facts,
    store_facts,
    store_origin,
)
from hm3_jax.extraction.settings import FeatureSettings, Share, Sources, StoreForm
from hm3_jax.extraction.work_folder import WorkFolder


def extract(
    sources: Sources,
    choice: ClipChoice,
    settings: FeatureSettings,
    share: Share,
    form: StoreForm,
    *,
    device: str = "auto",
    may_drop: bool = False,
    say: Say = print,
) -> Manifest | None:
    """Encodes what is missing of a share of the work; alone, writes the store too.

    Files that could not be read before are tried again. Of a finished store, that is
    what was skipped, and what came to the list meanwhile; the rest is taken over.

    Args:
        sources: The museum list, and the store to make.
        choice: The model.
        settings: What else decides features.
        share: Which part of the work this process does.
        form: Name and dtype of the store.
        device: PyTorch's name of a device, or "auto".
        may_drop: Whether museums of a finished store that the list does not have go;
            else such a list is refused.
        say: Takes lines about progress.

    Returns:
        The store's manifest; None if others do parts of the work.

    Raises:
        FileExistsError: There is a store that cannot be added to, or something else.
        FileNotFoundError: The list, its input root, all files in it or the model are
            missing.
        ValueError: The list or the model is not what it should be; the work was begun
            with others; a file cannot be read and `share.on_error` is "fail"; or no
            museum is left.
        RuntimeError: Another process does this share, or a worker process died.
        FileSystemFailure: The files' system failed.
        ConnectionError: There is no such Ray cluster.
    """
    require_packages("torch", "open_clip", "PIL")
    if share.engine == "ray":
        require_packages("ray", extra="ray")
    files = read_museum_files(sources.museums, root=sources.input_root)
    clip = load_clip(choice, device)
    work = WorkFolder(sources.output)
    done = finished_store(sources.output, work)
    if done is not None:
        return done
    facts = list_facts(files) | settings_facts(settings) | {"model": clip.facts()}
    former: FormerStore | None = None
    if sources.output.exists():
        former = FormerStore.open(
            sources.output, files, facts, settings, form, may_drop=may_drop
        )
        if former.has_all_of(facts):
            say(f"{sources.output} has all of {sources.museums} already")
            return former.store.manifest
        facts["former"] = former.facts
    plan = work.begin(
        facts,
        lambda: make_plan(
            files, lambda text: settings.text_split.pieces(text, clip.tokenize)
        ),
    )
    if plan.videos:
        require_packages("av")
    chunks = _chunks(plan, settings)
    encoder = ChunkEncoder(work, plan, clip, settings, share, files.root, say)
    with work.locked(share.index, share.shards), _said_what_is_kept(work, say):
        mine = chunks[share.index :: share.shards]
        absent = missing(work.chunks, mine)
        if absent:
            _check_root(files, plan)
        again = encoder.readable_now([chunk for chunk in mine if chunk not in absent])
        todo = [chunk for chunk in mine if chunk in absent or chunk in again]
        if todo:
            known = {} if former is None else former.known(plan)
            left = dict.fromkeys((chunk.kind for chunk in todo), 0)
            for chunk in todo:
                left[chunk.kind] += len(new_items(chunk, known))
            count = ExtractionProgress(left, say).add
            encode = encoder.encode
            if share.engine == "ray":
                encode = functools.partial(
                    encode_by_ray,
                    encoder,
                    choice,
                    device,
                    sources.output,
                    again=frozenset(again),
                )
            encode(todo, known=known, count=count)
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
    done = finished_store(sources.output, work)
    if done is not None:
        return done
    if sources.output.exists() and work.former() is None:
        raise FileExistsError(
            f"{sources.output}: expected a path to make a store at, found a store"
        )
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
            f"{len(chunks) - len(absent)} ({absent[0].name} is missing): finish all "
            "shards first"
        )
    with work.locked(0, 1):
        return _finish(work, sources, settings, share, form, say)


def _check_root(files: MuseumFiles, plan: Plan) -> None:
    """Refuses a root without any of the files, as where a share is not mounted."""
    if not any(_is_there(files.root / name) for name in plan.pictures + plan.videos):
        raise FileNotFoundError(
            f"{files.root}: expected the files that {files.source} names, found none "
            "of them"
        )


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # or not: whoever opens it finds out
    return True


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
        store_origin(facts),
        source=sources.museums,
        complete=share.on_error == "fail",
        former_devices=(work.former() or {}).get("devices", ()),
    )
    for line in report_lines(report):
        say(f"note: {line}")
    return manifest


@contextlib.contextmanager
def _said_what_is_kept(work: WorkFolder, say: Say) -> Iterator[None]:
    try:
        yield
    except BaseException:
        say(
            f"what is finished is in {work.path}; the same command continues from there"
        )
        raise


def _chunks(plan: Plan, settings: FeatureSettings) -> tuple[Chunk, ...]:
    counts = {kind: len(plan.items(kind)) for kind in KINDS}
    return cut(counts, settings.batch_size)
