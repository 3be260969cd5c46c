"""What an extraction left out, and why: `extraction_report.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hm3_jax.data.museum import UNKNOWN_ROOM
from hm3_jax.extraction.chunks import KINDS
from hm3_jax.extraction.plan import Plan, PlannedMuseum, PlannedRoom
from hm3_jax.files.json_files import json_text

REPORT = "extraction_report.json"
PLAN = "extraction_plan.json"

# Characters of a text by which a report names it.
_SHOWN = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What of a plan becomes a store.

    Attributes:
        museums: The museums that are kept, without what could not be encoded.
        museums_left_out: Why museums are not kept, by id.
        rooms_left_out: (museum id, room number, reason) of rooms that are not kept,
            of museums that are.
    """

    museums: tuple[PlannedMuseum, ...]
    museums_left_out: Mapping[str, str]
    rooms_left_out: tuple[tuple[str, int, str], ...]


def keep(plan: Plan, failures: Mapping[str, Mapping[int, str]]) -> Kept:
    """Leaves out what has no feature, and what a store must not hold for want of it.

    A room needs a view; a museum needs a room. One without a text is found by its
    pictures only.

    Args:
        plan: The plan.
        failures: For each kind, why items have no feature, by number.
    """
    kept, museums_left_out, rooms_left_out = [], {}, []
    bad_names = {
        kind: {name for name, item in numbers.items() if item in failures[of]}
        for (kind, numbers), of in zip(
            plan.artworks.items(), ("pictures", "videos"), strict=True
        )
    }
    for museum in plan.museums:
        about = museum.text_rooms or (UNKNOWN_ROOM,) * len(museum.texts)
        texts, text_rooms = [], []
        for text, room in zip(museum.texts, about, strict=True):
            if text not in failures["texts"]:
                texts.append(text)
                text_rooms.append(room)
        rooms, without = [], []
        # What the rooms that are kept are numbered now.
        numbers = {}
        for number, room in enumerate(museum.rooms):
            views = tuple(v for v in room.views if v not in failures["pictures"])
            if not views:
                without.append((museum.id, number, "no view could be encoded"))
                continue
            hung = {
                kind: tuple(n for n in room.hung(kind) if n not in bad_names[kind])
                for kind in bad_names
            }
            numbers[number] = len(rooms)
            rooms.append(PlannedRoom(views, hung["images"], hung["videos"]))
        if not rooms:
            museums_left_out[museum.id] = "no view of any room could be encoded"
        else:
            rooms_left_out.extend(without)
            known = tuple(numbers.get(room, UNKNOWN_ROOM) for room in text_rooms)
            kept.append(
                dataclasses.replace(
                    museum,
                    texts=tuple(texts),
                    rooms=tuple(rooms),
                    text_rooms=known if museum.text_rooms else None,
                )
            )
    return Kept(tuple(kept), museums_left_out, tuple(rooms_left_out))


def extraction_report(
    plan: Plan,
    kept: Kept,
    failures: Mapping[str, Mapping[int, str]],
    cut: Mapping[int, int],
    damages: Mapping[str, Mapping[int, str]],
) -> dict[str, Any]:
    """What happened, as JSON values that depend on nothing but the input.

    Args:
        plan: The plan.
        kept: What of it becomes a store.
        failures: For each kind, why items have no feature, by number.
        cut: By how many tokens texts were too long, by number.
        damages: For each kind, what is wrong with items that were read in part.
    """
    users = _first_users(plan)

    def listed(reasons: Mapping[str, Mapping[int, str]]) -> list[dict[str, str]]:
        return [
            {
                "kind": kind,
                "item": _name(plan, kind, item),
                "museum": users[kind][item],
                "reason": reason,
            }
            for kind in KINDS
            for item, reason in sorted(reasons[kind].items())
        ]

    return {
        "items": {
            kind: {
                "distinct": len(plan.items(kind)),
                "encoded": len(plan.items(kind)) - len(failures[kind]),
                "skipped": len(failures[kind]),
            }
            for kind in KINDS
        },
        "museums": {
            "listed": len(plan.museums),
            "stored": len(kept.museums),
            "left_out": len(kept.museums_left_out),
            "without_text": sum(not museum.texts for museum in kept.museums),
        },
        "skipped": listed(failures),
        "damaged": listed(damages),
        "museums_left_out": [
            {"museum": museum, "reason": reason}
            for museum, reason in kept.museums_left_out.items()
        ],
        "rooms_left_out": [
            {"museum": museum, "room": room, "reason": reason}
            for museum, room, reason in kept.rooms_left_out
        ],
        "empty_sentences": plan.empty_sentences,
        "texts_cut": [
            {
                "text": _name(plan, "texts", item),
                "museum": users["texts"][item],
                "tokens_cut": tokens,
            }
            for item, tokens in sorted(cut.items())
        ],
    }


def report_text(report: Mapping[str, Any]) -> str:
    """The file's text."""
    return json_text(report)


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """What the user should know of it; nothing if all went well."""
    lines = []
    for kind, counts in report["items"].items():
        skipped = [entry for entry in report["skipped"] if entry["kind"] == kind]
        if skipped:
            lines.append(
                f"{kind} skipped: {len(skipped)} of {counts['distinct']}; the first: "
                f"{skipped[0]['item']}: {skipped[0]['reason']}"
            )
    damaged = report["damaged"]
    if damaged:
        lines.append(
            f"damaged and read in part: {len(damaged)}; the first: "
            f"{damaged[0]['item']}: {damaged[0]['reason']}"
        )
    museums, rooms = report["museums_left_out"], report["rooms_left_out"]
    if museums:
        lines.append(
            f"museums left out: {len(museums)}; the first: {museums[0]['museum']}: "
            f"{museums[0]['reason']}"
        )
    if rooms:
        lines.append(
            f"rooms left out: {len(rooms)}; the first: room {rooms[0]['room']} of "
            f"{rooms[0]['museum']}: {rooms[0]['reason']}"
        )
    without = report["museums"]["without_text"]
    if without:
        lines.append(
            f"museums without a description: {without}; they are found by their "
            "pictures only"
        )
    if report["texts_cut"]:
        count = len(report["texts_cut"])
        lines.append(f"texts cut to the model's context length: {count}")
    if report["empty_sentences"]:
        lines.append(f"empty sentences left out: {report['empty_sentences']}")
    return lines


def left_out_by_reason(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of all that was left out or read in part, by the reason."""
    by_reason: dict[str, list[str]] = {}

    def add(reason: str, name: str) -> None:
        by_reason.setdefault(reason, []).append(name)

    for entry in report["skipped"]:
        add(f"left out: {entry['reason']}", entry["item"])
    for entry in report["museums_left_out"]:
        add(f"left out: {entry['reason']}", entry["museum"])
    for entry in report["rooms_left_out"]:
        room = f"{entry['museum']}, room {entry['room'] + 1}"
        add(f"left out: {entry['reason']}", room)
    for entry in report["damaged"]:
        add(f"read in part: {entry['reason']}", entry["item"])
    for entry in report["texts_cut"]:
        add("cut, because they are longer than the model reads", entry["text"])
    return by_reason


def _first_users(plan: Plan) -> dict[str, dict[int, str]]:
    """For each kind, the first museum that uses an item, by the item's number."""
    users: dict[str, dict[int, str]] = {kind: {} for kind in KINDS}
    for museum in plan.museums:
        for text in museum.texts:
            users["texts"].setdefault(text, museum.id)
        for room in museum.rooms:
            for view in room.views:
                users["pictures"].setdefault(view, museum.id)
            for image in room.images:
                item = plan.artworks["images"][image]
                users["pictures"].setdefault(item, museum.id)
            for video in room.videos:
                users["videos"].setdefault(plan.artworks["videos"][video], museum.id)
    return users


def _name(plan: Plan, kind: str, item: int) -> str:
    if kind != "texts":
        return plan.items(kind)[item]
    text = plan.texts[item].text
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."
