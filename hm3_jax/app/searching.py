"""One search, from a command line: index, encoder and ranking put together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hm3_jax.app.open_index import checked, open_index
from hm3_jax.files.input_kinds import INPUT_KINDS
from hm3_jax.retrieval.engine.connection import Engine
from hm3_jax.retrieval.server.collection import Answer, Hit, Query

# Where the score of a hit came from is shown for so many sentences and rooms.
_SHOWN = 3


@dataclasses.dataclass(frozen=True, slots=True)
class SearchSettings:
    """What to search, and how.

    Attributes:
        index: Folder of the index.
        query: What to find; its picture is the path of a file.
        engine: Where the index was copied to, to search there; None for the index's
            own files.
        pretrained: Weights of the text encoder, if not where the index's facts say.
        device: PyTorch's name of a device for the text encoder.
    """

    index: Path
    query: Query
    engine: Engine | None = None
    pretrained: str | None = None
    device: str = "auto"


def search(settings: SearchSettings) -> Answer:
    """Answers a query.

    Raises:
        FileNotFoundError: If the index or the text encoder's weights are missing.
        ValueError: If the index is damaged or not of the weights, or the query is not
            as it has to be.
        ConnectionError: If the engine cannot be reached or refuses.
        ModuleNotFoundError: If what the encoder or the engine takes is not installed.
    """
    query = checked(settings.query)  # before the index, whose opening may take long
    with open_index(
        settings.index,
        settings.engine,
        pretrained=settings.pretrained,
        device=settings.device,
    ) as index:
        return index.search(query)


def lines_of(answer: Answer) -> list[str]:
    """An answer for people to read."""
    lines = [f"[{i}] {text}" for i, text in enumerate(answer.sentences, start=1)]
    lines += [f"note: {note}" for note in answer.notes]
    if not answer.hits:
        return [*lines, "no museum found"]
    if not answer.exact:
        lines.append("approximate: some that match better may be missing")
    if answer.fits is False:
        lines.append("nothing fits well; these are the nearest")
    for place, hit in enumerate(answer.hits, start=1):
        title = "" if hit.title == hit.id else f"  {hit.title}"
        found = f"  by {' and '.join(hit.found_by)}" if answer.match == "both" else ""
        lines.append(
            f"{place:3d}. {hit.score:6.3f}  {hit.id}{title}  ({hit.theme}){found}"
        )
        lines += [f"{'':13}{line}" for line in _why(hit)]
    return lines


def _why(hit: Hit) -> list[str]:
    """Why a hit matched."""
    titles = hit.room_titles

    def room(number: int) -> str:
        title = titles[number] if number < len(titles) else None
        return title or f"room {number + 1}"

    lines = [
        f"[{i}] {room(item.room)}, {INPUT_KINDS[item.kind].called} {item.place + 1} "
        f"{item.cosine:.3f}"
        for i, item in enumerate(hit.answers, start=1)
    ]
    if not lines:
        parts = []
        for name, added in (
            (lambda i: f"sentence {i + 1}", hit.sentences),
            (room, hit.rooms),
        ):
            if len(added) > 1:
                best = sorted(range(len(added)), key=lambda i: -added[i])[:_SHOWN]
                parts += [f"{name(i)} {added[i]:+.3f}" for i in best]
        lines = [", ".join(parts)] if parts else []
    if hit.passage:
        marked = (f"[{p}]" if i % 2 else p for i, p in enumerate(hit.passage))
        lines.append(f"words: {''.join(marked)}")
    return lines
