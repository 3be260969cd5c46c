"""Takes the README's picture of the page.

    bash launch/demo.sh
    python -m benchmarks.screenshot --index=build/demo/index --output=docs/search.png

It needs Chromium, as the tests of the page do.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

from tests.retrieval.browsing import chromium

_QUERY = "golden angel"


def main() -> None:
    """Serves an index and takes the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--index", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--query", default=_QUERY)
    given = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-m", "hm3_jax.serve", f"--index={given.index}", "--port=0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        take(server.stdout.readline().split()[-1], given.query, given.output)
    finally:
        server.terminate()
        server.wait()


def take(url: str, query: str, output: Path) -> None:
    """Takes a picture of a query's results.

    Args:
        url: Of a server.
        query: What to search.
        output: The PNG file.
    """
    with chromium() as browser:
        page = browser.new_page(
            viewport={"width": 1280, "height": 975}, color_scheme="light"
        )
        page.goto(url)
        page.get_by_label("What would you like to see?").fill(query)
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.locator(".card").first).to_be_visible()
        page.screenshot(path=output)


if __name__ == "__main__":
    main()
