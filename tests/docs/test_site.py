"""The documentation is built whole, and what is wrong with it is noticed."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("nbconvert")
pytest.importorskip("zensical")

from docs.site.links import broken_links  # noqa: E402
from docs.site.pages import commands_of, help_page  # noqa: E402

HELP = """Finds museums.

Those that fit STORE/*.json.

  python -m hm3_jax.find --store=STORE \\
    --top_k=5

Usage: python -m hm3_jax.find --store=VALUE
    [--flag=value ...]

Required flags:
  --store=VALUE
      Where <they> are, or * for
      all of them.

Every entry:
  --help
      Show this page.
"""


@pytest.mark.slow
def test_the_site_is_built_without_warnings(
    repository: Path,
    tmp_path: Path,
    run_module: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_module("docs.site.build", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    site = tmp_path / "docs"
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    guides = {f"docs/{path.stem}.html" for path in (repository / "docs").glob("*.md")}
    assert guides | {"index.html", "docs/tour.html", "commands/train.html"} <= pages
    assert {"commands/inspect.html", "reference/objective/info_nce.html"} <= pages
    assert not any("__main__" in page or "inspect_features" in page for page in pages)
    inspect = (site / "commands/inspect.html").read_text()
    assert "hm3_jax.inspect" in inspect
    assert "inspect_features" not in inspect
    loss = (site / "reference/objective/triplet.html").read_text()
    assert 'id="hm3_jax.objective.triplet.TripletWeights.checked"' in loss
    # A class in a signature is a link to its page.
    assert 'href="#hm3_jax.objective.triplet.TripletLoss"' in loss
    tour = (site / "docs/tour.html").read_text()
    pictures = re.findall(r'src="(tour_files/[^"]*\.png)"', tour)
    assert len(pictures) == 4


def test_every_guide_is_in_the_navigation(repository: Path) -> None:
    settings = (repository / "docs/site/site.yml").read_text()
    listed = re.findall(r": (docs/\w+\.md)$", settings, re.MULTILINE)
    guides = [f"docs/{path.name}" for path in (repository / "docs").glob("*.md")]
    assert sorted(listed) == sorted([*guides, "docs/tour.md"])


def test_commands_are_named_as_they_are_called() -> None:
    modules = {
        "hm3_jax": '"""All."""\n',
        "hm3_jax.inspect.__main__": 'runpy.run_module("hm3_jax.look", run_name="x")\n',
        "hm3_jax.look": '"""Looks."""\nif __name__ == "__main__":\n    main()\n',
        "hm3_jax.find": '"""Finds."""\nif __name__ == "__main__":\n    main()\n',
        "hm3_jax.nn": '"""Has `if __name__ ==` in a docstring only."""\n',
    }
    assert list(commands_of(modules).items()) == [
        ("find", "hm3_jax.find"),
        ("inspect", "hm3_jax.look"),
    ]


def test_help_becomes_a_page() -> None:
    assert re.split(r"\n{2,}", help_page("find", HELP)) == [
        "# find",
        "Finds museums.",
        "Those that fit STORE/*.json.",
        "```bash\npython -m hm3_jax.find --store=STORE \\\n  --top_k=5\n```",
        "```bash\npython -m hm3_jax.find --store=VALUE\n    [--flag=value ...]\n```",
        "## Required flags",
        "`--store=VALUE`\n:   Where \\<they\\> are, or \\* for all of them.",
        "## Every entry",
        "`--help`\n:   Show this page.",
    ]


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="#top">1</a><a href="#bottom">2</a>'
        '<a href="below/b.html#here%20too">3</a><a href="below/c.html">4</a>'
        '<a href="https://example.org/x">5</a><img src="x.png"/>'
        '<script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "below" / "b.html").write_text(
        '<p id="here too"><a href="../a.html#top">1</a><a href="../a.html#no">2</a>'
    )
    assert broken_links(tmp_path) == [
        "a.html: #bottom",
        "a.html: below/c.html",
        "a.html: https://example.org/x.js",
        "a.html: x.png",
        "below/b.html: ../a.html#no",
    ]
