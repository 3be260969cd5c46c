"""The whole way: one command from a folder of museums to their page in a browser."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("open_clip", reason="needs open_clip")
pytest.importorskip("av", reason="needs av")

from playwright.sync_api import expect

from tests.app.own_museums import MUSEUMS, write_museums, write_webm
from tests.extraction.clips import QUICK, random_clip, save_folder
from tests.retrieval.browsing import chromium, find_chromium

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        find_chromium() is None,
        reason="takes Chromium: apt-get install chromium, or its program in CHROMIUM",
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
expect.set_options(timeout=60_000)


@pytest.fixture
def served(tmp_path: Path, repository: Path) -> Iterator[list[str]]:
    """What the command has said, up to the page's address."""
    save_folder(tmp_path / "clip", QUICK, random_clip(QUICK))
    museums = write_museums(tmp_path / "museums")
    write_webm(museums / "museum 1" / "Storm" / "videos" / "waves.webm")
    (museums / "museum 3" / "Calm" / "view 9.jpg").write_bytes(b"no picture")
    command = [sys.executable, "-m", "hm3_jax.collection", "--port=0"]
    command += ["--input=museums", "--pretrained=clip", "--device=cpu"]
    server = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line.rstrip("\n"))
        if " at http" in line:
            break
    yield said
    server.terminate()
    assert server.wait(60) == 0


def test_a_folder_becomes_a_page(served: list[str]) -> None:
    last, url = served[-1], served[-1].split()[-1]
    assert re.fullmatch(rf"{MUSEUMS} museums at http://127\.0\.0\.1:\d+", last)
    with chromium() as browser:
        # So high that no picture waits to be scrolled to.
        page = browser.new_page(viewport={"width": 1280, "height": 6000})
        page.goto(url)
        heading = page.get_by_role("heading", level=1)
        # There are no themes, so none are shown.
        expect(heading).to_have_text(f"{MUSEUMS} museums")
        expect(page.get_by_text("no theme")).to_have_count(0)
        page.get_by_label("What would you like to see?").fill("Marble. Xyzzy.")
        page.keyboard.press("Enter")
        expect(page.locator(".card")).to_have_count(MUSEUMS)
        expect(page.locator(".note")).to_have_text(
            "“Xyzzy.” may have no effect: the encoder knows none of its words."
        )
        # Every card has its picture.
        page.wait_for_function(
            "n => [...document.querySelectorAll('.card .picture img')]"
            ".filter(image => image.naturalWidth > 0).length === n",
            arg=MUSEUMS,
        )

        page.goto(f"{url}/?museum=museum+1")
        rooms = page.locator(".room")
        expect(rooms.get_by_role("heading")).to_have_text(["Calm", "Storm"])
        video = rooms.nth(1).locator("video")
        expect(video).to_have_count(1)
        played = "video => video.play().then(() => [video.videoWidth, video.duration])"
        assert video.evaluate(played) == [64, 1]
