"""What operating systems and storage boxes leave in everybody's folders."""

from __future__ import annotations

_NAMES = frozenset(
    [
        # macOS; the first one ends with a carriage return.
        "icon\r",
        "__macosx",
        "desktop db",
        "desktop df",
        "network trash folder",
        "temporary items",
        "thevolumesettingsfolder",
        # Windows
        "$recycle.bin",
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "found.000",
        "picasa.ini",
        "recycler",
        "system volume information",
        "thumbs.db",
        # Linux
        "lost+found",
        # Storage boxes: Synology, QNAP, NetApp
        "#recycle",
        "#snapshot",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@tmp",
        "~snapshot",
    ]
)
_BEGINNINGS = (".", "~$")
_ENDINGS = ("@synoeastream", "@synoresource")


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is a system's, as all hidden ones are.

    >>> is_left_behind("Thumbs.db"), is_left_behind("@eaDir"), is_left_behind("a.jpg")
    (True, True, False)
    """
    name = name.lower()
    return name in _NAMES or name.startswith(_BEGINNINGS) or name.endswith(_ENDINGS)
