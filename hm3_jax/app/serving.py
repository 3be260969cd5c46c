"""An index and a museum list put together for the server."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.searching import searching
from hm3_jax.data.museum_jsonl import MuseumFiles, read_museum_files
from hm3_jax.data.raw_museum import RawMuseum, sentences_of
from hm3_jax.files.input_kinds import ROOM_KINDS
from hm3_jax.retrieval.exact import Search
from hm3_jax.retrieval.index import Index, open_index
from hm3_jax.retrieval.loaded import load_index
from hm3_jax.retrieval.milvus import Milvus
from hm3_jax.retrieval.on_device import search_of
from hm3_jax.retrieval.query_text import check_match
from hm3_jax.retrieval.server.collection import Match, Query
from hm3_jax.retrieval.server.indexed import IndexCollection, matches_of
from hm3_jax.retrieval.server.pictures import Hung, Pictures

# Sentences that a call of the text tower has in a busy minute: many queries at once,
# each embedded without each of its sentences too. Longer calls compile when they come.
_SENTENCES = 1024
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
        milvus: Where the index was copied to, to search there; None for the index's
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
    milvus: Milvus | None = None
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
        ConnectionError: If Milvus cannot be reached or refuses.
        ModuleNotFoundError: If what serving takes is not installed.
    """
    try:
        from hm3_jax.retrieval.server.app import make_app
        from hm3_jax.retrieval.server.hosts import Hosts
        from hm3_jax.retrieval.server.run import (
            address_of,
            check_proxies,
            listen,
            run,
        )
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"serving takes {error.name}: bash launch/setup.sh core serving, or "
            'pip install "hm3_jax[serving]"'
        ) from None
    hosts = Hosts.of(settings.host, settings.allowed_hosts)
    check_proxies(settings.forwarded_allow_ips)
    _check_root_path(settings.root_path)
    index = load_index(open_index(settings.index))
    if settings.match is not None:
        check_match(settings.match, matches_of(index))
    listed = pictures = None
    if settings.museums is not None:
        listed = read_museum_files(settings.museums, root=settings.input_root)
        pictures = listed_pictures(index, listed)
    # Before the models are loaded, which takes seconds: the address may be a wrong one.
    with (
        listen(settings.host, settings.port) as listening,
        searching(index, settings.milvus, search_of) as search,
    ):
        encoder = QueryEncoder.of_index(
            index, pretrained=settings.pretrained, device=settings.device
        )
        collection = open_collection(index, encoder, search, listed, settings.match)
        app = make_app(collection, pictures, hosts=hosts, root_path=settings.root_path)
        print(f"{len(index.museums)} museums at {address_of(listening)}", flush=True)
        run(app, listening, settings.forwarded_allow_ips)


def open_collection(
    index: Index,
    encoder: QueryEncoder,
    search: Search,
    listed: MuseumFiles | None,
    match: Match | None = None,
) -> IndexCollection:
    """Makes the collection of an index, ready to answer its first query fast.

    Args:
        index: The museums.
        encoder: The index's own.
        search: Finds museums of the index.
        listed: The museum list, for titles and descriptions, or None.
        match: As for `IndexCollection`.
    """
    embed = functools.partial(encoder.encode, explain=True)
    by_id = {} if listed is None else {m.id: m for m in listed.museums}

    def facts(museum: str) -> Mapping[str, Any]:
        return _facts(by_id[museum]) if museum in by_id else {}

    collection = IndexCollection(index, embed, search, facts, match)
    encoder.warm_up(_SENTENCES)
    collection.search([Query(10, like=index.museums.ids[0])])
    return collection


def _check_root_path(path: str) -> None:
    if path and not _ROOT_PATH.fullmatch(path):
        raise ValueError(
            f"--root_path: expected a path such as /museums, found {path!r}"
        )


def listed_pictures(index: Index, listed: MuseumFiles) -> Pictures:
    """The pictures of a museum list.

    Raises:
        ValueError: If the list has no museum of the index.
    """
    rooms = {museum.id: _pictures(museum, listed) for museum in listed.museums}
    if not any(museum in rooms for museum in index.museums.ids):
        raise ValueError(
            f"{listed.source}: expected museums of the index {index.path}, found none "
            "of them"
        )
    return Pictures(
        Path(listed.root).resolve(), lambda m: rooms.get(m, []), listed.path_of
    )


def _pictures(museum: RawMuseum, listed: MuseumFiles) -> list[list[Hung]]:
    return [
        [Hung(view, "view") for view in room.views]
        + [Hung(image, "painting", _title(image, listed)) for image in room.images]
        for room in museum.rooms
    ]


def _title(reference: str, listed: MuseumFiles) -> str | None:
    artwork = listed.artworks.get(reference)
    return None if artwork is None else artwork.title


def _facts(museum: RawMuseum) -> dict[str, Any]:
    """What a list says about a museum, in the form of an index's details."""
    rooms = [
        {kind: len(getattr(room, kind)) for kind in ROOM_KINDS} for room in museum.rooms
    ]
    title = {} if museum.title is None else {"title": museum.title}
    return {**title, "description": sentences_of(museum.description), "rooms": rooms}
