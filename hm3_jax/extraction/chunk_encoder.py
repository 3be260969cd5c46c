"""Encodes chunks and keeps them, in whichever process."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hm3_jax.extraction.chunks import KINDS, Chunk, load_chunk, save_chunk
from hm3_jax.extraction.clip_model import ClipModel
from hm3_jax.extraction.decoding import Decoded, Decoder, Job, jobs_of
from hm3_jax.extraction.encode import Known, encode_files, encode_texts
from hm3_jax.extraction.errors import UnreadableInput
from hm3_jax.extraction.plan import Plan
from hm3_jax.extraction.settings import FeatureSettings, Share
from hm3_jax.extraction.work_folder import WorkFolder
from hm3_jax.extraction.workers import decoded, worker_count

Say = Callable[[str], None]
Count = Callable[[str, int, int], None]
"""Is told a kind, how many items of it are done, and how many of those skipped."""


@dataclasses.dataclass(frozen=True, slots=True)
class ChunkEncoder:
    """Encodes chunks and keeps them, one after another.

    Attributes:
        work: Where they are kept; begun.
        plan: Has their items.
        clip: The model.
        settings: What else decides features.
        share: Workers, and what to do about what cannot be read.
        root: The input root.
        say: Takes lines about progress.
    """

    work: WorkFolder
    plan: Plan
    clip: ClipModel
    settings: FeatureSettings
    share: Share
    root: Path
    say: Say

    def readable_now(self, chunks: Sequence[Chunk]) -> set[Chunk]:
        """Those finished chunks in which a file failed that can be read now.

        They are encoded again as a whole, so that their numbers are as if it had not
        failed.
        """
        mark = self.work.mark()
        jobs: list[Job] = []
        owners: list[Chunk] = []
        for chunk in chunks:
            if chunk.kind != "texts":
                failed = sorted(load_chunk(self.work.chunks, mark, chunk).failures)
                jobs += jobs_of(chunk.kind, failed, self.plan.items(chunk.kind))
                owners += [chunk] * (len(jobs) - len(owners))
        if not jobs:
            return set()
        self.say(f"files that failed before: {sum(len(job.items) for job in jobs)}")
        with self._decoded(jobs) as results:
            return {
                chunk
                for chunk, result in zip(owners, results, strict=True)
                if result.values is not None
            }

    def encode(
        self, chunks: Sequence[Chunk], known: Mapping[str, Known], count: Count
    ) -> None:
        """Encodes chunks and keeps them.

        Args:
            chunks: The chunks.
            known: Features that are there already, by kind and number of the item.
            count: Is told what is done.

        Raises:
            ValueError: Something cannot be read and `share.on_error` is "fail".
            FileSystemFailure: The file system failed.
            RuntimeError: A worker process died.
            OSError: The work folder's disk failed.
        """
        known = {kind: known.get(kind, {}) for kind in KINDS}
        mark = self.work.mark()
        jobs = {
            chunk: jobs_of(
                chunk.kind, new_items(chunk, known), self.plan.items(chunk.kind)
            )
            for chunk in chunks
            if chunk.kind != "texts"
        }

        def watched(results: Iterable[Decoded], kind: str) -> Iterator[Decoded]:
            for result in results:
                self._refuse(kind, result.failures)
                count(kind, len(result.rows), len(result.failures))
                yield result

        every = list(itertools.chain.from_iterable(jobs.values()))
        with self._decoded(every) as results:
            for chunk in chunks:
                if chunk.kind == "texts":
                    encoded = encode_texts(
                        self.clip,
                        chunk,
                        self.plan.texts,
                        known["texts"],
                        self.settings.batch_size,
                        lambda done: count("texts", done, 0),
                    )
                else:
                    own = itertools.islice(results, len(jobs[chunk]))
                    encoded = encode_files(
                        self.clip,
                        chunk,
                        watched(own, chunk.kind),
                        known[chunk.kind],
                        self.settings.batch_size,
                        self.settings.video_pooling,
                    )
                self._refuse(chunk.kind, encoded.failures)
                save_chunk(self.work.chunks, mark, chunk, encoded)

    def _decoded(
        self, jobs: Sequence[Job]
    ) -> contextlib.AbstractContextManager[Iterator[Decoded]]:
        settings, share = self.settings, self.share
        first_only = settings.video_pooling == "first_frame"
        decoder = Decoder(
            self.root,
            self.clip.picture_transform,
            settings.frames_per_second,
            1 if first_only else settings.max_frames,
            share.max_pixels,
            share.seconds_per_file,
        )
        pictures = sum(
            len(job.items) * (1 if job.kind == "pictures" else decoder.max_frames)
            for job in jobs
        )
        return decoded(jobs, decoder, worker_count(share.num_workers, pictures))

    def _refuse(self, kind: str, failures: Mapping[int, str]) -> None:
        if failures and self.share.on_error == "fail":
            item, reason = min(failures.items())
            name = self.plan.items(kind)[item]
            if kind == "texts":
                raise ValueError(f"text {name.text!r}: {reason}")
            raise UnreadableInput(self.root / name, reason)


def new_items(chunk: Chunk, known: Mapping[str, Known]) -> list[int]:
    """Numbers of a chunk's items that are not known."""
    there = known.get(chunk.kind, {})
    return [item for item in chunk.items if item not in there]
