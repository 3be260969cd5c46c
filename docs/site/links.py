"""Links of a built site that lead nowhere, and what its pages load from elsewhere."""

import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

# Tags whose address is loaded with the page; others wait for a click.
_LOADED = ("iframe", "img", "script", "source")


class _Page(HTMLParser):
    """What a page points to, and what in it can be pointed to."""

    def __init__(self, text: str):
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
                if tag in _LOADED or dict(attrs).get("rel") == "stylesheet":
                    self.loaded.add(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """Links to files or anchors that are not there, as lines "PAGE: LINK".

    What a page loads from another site counts: it would not be there offline.

    Args:
        site: Folder of HTML pages, to be read without a server.
    """
    pages = {
        path: _Page(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
        # Is served under any address, so its links begin at the top of a server.
        if path.name != "404.html"
    }
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urllib.parse.urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if link in page.loaded:
                    broken.append(f"{path.relative_to(site)}: {link}")
                continue
            there = path
            if parts.path:
                there = (path.parent / urllib.parse.unquote(parts.path)).resolve()
            anchor = urllib.parse.unquote(parts.fragment)
            found = there.is_file() and (
                not anchor or there not in pages or anchor in pages[there].anchors
            )
            if not found:
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken
