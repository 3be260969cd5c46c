"""An index and a museum list put together for the server."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hm3_jax.app.open_index import opened_index
from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.query_pictures import PictureEncoder
from hm3_jax.data.museum_jsonl import MuseumFiles, read_museum_files
from hm3_jax.data.raw_museum import RawMuseum, sentences_of
from hm3_jax.files.extras import how_to_install
from hm3_jax.files.input_kinds import INPUT_KINDS, ROOM_KINDS
from hm3_jax.files.words import counted
from hm3_jax.retrieval.engine.connection import Engine
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.held import Holder
from hm3_jax.retrieval.index import IndexHead
from hm3_jax.retrieval.on_device import search_of
from hm3_jax.retrieval.query_text import check_match
from hm3_jax.retrieval.server.collection import Match, Query, spread
from hm3_jax.retrieval.server.indexed import IndexCollection, matches_of
from hm3_jax.retrieval.server.pictures import Hung, NotShownError, Pictures

# Sentences that a call of the text tower has in a busy minute: many queries at once,
# each embedded without each of its sentences too. Longer calls compile when they come.
_SENTENCES = 1024
# Pictures that are looked for when the server starts.
_LOOKED_FOR = 1000
_ROOT_PATH = re.compile(r"(/[^/?#\s]+)+")


@dataclasses.dataclass(frozen=True, slots=True)
class ServeSettings:
    """What is served, and where.

    Attributes:
        index: Folder of the index.
        host: Address to listen on.
        port: Its number; 0 takes a free one.
        museums: Museum list, or None.
        input_root: Folder of the list's pictures; None for the list's own.
        pretrained: Weights of the text encoder, if not where the index's facts say.
        device: PyTorch's name of a device for the text encoder.
        engine: Where the index was copied to, to search there; None for the index's
            own files.
        match: What finds museums where a search does not say; None for all there is.
        allowed_hosts: Names and addresses that the server answers to beside `host`
            and localhost; "*" stands for all.
        root_path: Path of a proxy that the server is below, such as "/museums".
        forwarded_allow_ips: Addresses of the proxies whose headers about clients are
            believed.
    """

    index: Path
    host: str
    port: int
    museums: Path | None = None
    input_root: Path | None = None
    pretrained: str | None = None
    device: str = "auto"
    engine: Engine | None = None
    match: Match | None = None
    allowed_hosts: Sequence[str] = ()
    root_path: str = ""
    forwarded_allow_ips: Sequence[str] = ()


def serve(settings: ServeSettings) -> None:
    """Serves until the process is told to stop.

    Raises:
        FileNotFoundError: If the index or the museum list is missing.
        ValueError: If one of them is damaged, they do not fit each other, or the
            address cannot be listened on.
        ConnectionError: If the engine cannot be reached or refuses.
        ModuleNotFoundError: If what serving takes is not installed.
    """
    with _said_what_is_missing():
        from hm3_jax.retrieval.server.app import make_app
        from hm3_jax.retrieval.server.hosts import Hosts
        from hm3_jax.retrieval.server.run import (
            address_of,
            check_proxies,
            listen,
            run,
        )
    hosts = Hosts.of(settings.host, settings.allowed_hosts)
    check_proxies(settings.forwarded_allow_ips)
    _check_root_path(settings.root_path)
    # The address before the models, which take seconds: it may be a wrong one.
    with (
        opened_index(
            settings.index, settings.engine, search_of, in_memory=True
        ) as opened,
        listen(settings.host, settings.port) as listening,
    ):
        listed = pictures = None
        if settings.museums is not None:
            listed = read_museum_files(settings.museums, root=settings.input_root)
            pictures = listed_pictures(opened.museums, listed, settings.index)
            warn_of_missing(pictures, listed)
        encoder = QueryEncoder.of_index(
            opened.head, pretrained=settings.pretrained, device=settings.device
        )
        if settings.match is not None:
            check_match(settings.match, matches_of(opened.museums))
        collection = open_collection(
            opened.museums,
            encoder,
            opened.search,
            listed,
            settings.match,
            _picture_encoder(opened.head, settings),
        )
        app = make_app(collection, pictures, hosts=hosts, root_path=settings.root_path)
        museums = counted(len(opened.museums), "museum")
        print(f"{museums} at {address_of(listening)}", flush=True)
        run(app, listening, settings.forwarded_allow_ips)


def check_address(host: str, port: int) -> None:
    """Finds out whether `serve` could listen on an address.

    Raises:
        ValueError: If not.
        ModuleNotFoundError: If what serving takes is not installed.
    """
    with _said_what_is_missing():
        from hm3_jax.retrieval.server.run import listen
    listen(host, port).close()


@contextlib.contextmanager
def _said_what_is_missing() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"serving takes {error.name}: {how_to_install('serving')}"
        ) from None


def open_collection(
    museums: Holder,
    encoder: QueryEncoder,
    search: Search,
    listed: MuseumFiles | None,
    match: Match | None = None,
    pictures: PictureEncoder | None = None,
) -> IndexCollection:
    """Makes the collection of an index, ready to answer its first query fast.

    Args:
        museums: Those of the index.
        encoder: The index's own.
        search: Finds them.
        listed: The museum list, for titles and descriptions, or None.
        match: As for `IndexCollection`.
        pictures: Likewise.
    """
    embed = functools.partial(encoder.encode, explain=True)
    by_id = {} if listed is None else {m.id: m for m in listed.museums}

    def facts(museum: str) -> Mapping[str, Any]:
        return _facts(by_id[museum]) if museum in by_id else {}

    collection = IndexCollection(museums, embed, search, facts, match, pictures)
    encoder.warm_up(_SENTENCES)
    (first,) = museums.some([0])
    collection.search([Query(10, like=first.id)])
    _ = collection.examples  # kept: it takes an engine a while
    return collection


def _picture_encoder(head: IndexHead, settings: ServeSettings) -> PictureEncoder | None:
    """What embeds pictures that are searched with; None where none can be."""
    try:
        return PictureEncoder.of_index(
            head, pretrained=settings.pretrained, device=settings.device
        )
    except ValueError:
        return None


def _check_root_path(path: str) -> None:
    if path and not _ROOT_PATH.fullmatch(path):
        raise ValueError(
            f"--root_path: expected a path such as /museums, found {path!r}"
        )


def listed_pictures(museums: Holder, listed: MuseumFiles, where: Path) -> Pictures:
    """The pictures of a museum list.

    Args:
        museums: Those of an index.
        listed: The list.
        where: What messages call the index.

    Raises:
        ValueError: If the list has no museum of the index.
    """
    rooms = {museum.id: _pictures(museum, listed) for museum in listed.museums}
    if not museums.rows(list(rooms)):
        raise ValueError(
            f"{listed.source}: expected museums of the index {where}, found none "
            "of them"
        )
    return Pictures(
        Path(listed.root).resolve(), lambda m: rooms.get(m, []), listed.path_of
    )


def warn_of_missing(pictures: Pictures, listed: MuseumFiles) -> None:
    """Warns of pictures that cannot be shown; looks for some of them, evenly spread.

    Args:
        pictures: Those of the list.
        listed: The list.
    """
    every = [
        (museum.id, room, number, hung.reference)
        for museum in listed.museums
        for room, there in enumerate(pictures.rooms(museum.id))
        for number, hung in enumerate(there)
    ]
    gone: list[str] = []
    unshown: list[str] = []
    rows = spread(len(every), _LOOKED_FOR)
    for museum, room, number, reference in (every[row] for row in rows):
        try:
            pictures.find(museum, room, number)
        except NotShownError:
            unshown.append(reference)
        except FileNotFoundError:
            gone.append(reference)
    of = f"of {counted(len(rows), 'picture')} of the museum list, "
    if gone:
        verb = "is" if len(gone) == 1 else "are"
        warnings.warn(
            f"{of}{len(gone)} {verb} not found below {listed.root}, such as {gone[0]}: "
            "the list's paths are relative to --input_root",
            stacklevel=2,
        )
    if unshown:
        what = "is in a format" if len(unshown) == 1 else "are in formats"
        warnings.warn(
            f"{of}{len(unshown)} {what} that browsers do not show, such as "
            f"{unshown[0]}",
            stacklevel=2,
        )


def _pictures(museum: RawMuseum, listed: MuseumFiles) -> list[list[Hung]]:
    return [
        [
            Hung(
                reference,
                kind.called,
                _title(reference, listed) if kind.in_table else None,
            )
            for name, kind in INPUT_KINDS.items()
            for reference in getattr(room, name)
        ]
        for room in museum.rooms
    ]


def _title(reference: str, listed: MuseumFiles) -> str | None:
    artwork = listed.artworks.get(reference)
    return None if artwork is None else artwork.title


def _facts(museum: RawMuseum) -> dict[str, Any]:
    """What a list says about a museum, in the form of an index's details."""
    rooms = [
        {kind: len(getattr(room, kind)) for kind in ROOM_KINDS}
        | ({} if room.title is None else {"title": room.title})
        for room in museum.rooms
    ]
    title = {} if museum.title is None else {"title": museum.title}
    return {**title, "description": sentences_of(museum.description), "rooms": rooms}
