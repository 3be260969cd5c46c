"""Builds the documentation, warnings as errors.

  python -m docs.site.build FOLDER

FOLDER/docs gets the site; what it is made of is beside it.
"""

import subprocess
import sys
from pathlib import Path

from docs.site.links import broken_links
from docs.site.pages import lay_out


def main() -> None:
    """Builds the site; exits with what is wrong with it."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m docs.site.build FOLDER")
    folder = Path(sys.argv[1]).resolve()
    settings = lay_out(folder)
    made = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
        + ["--config-file", settings],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    # What Griffe cannot read in a docstring is said, and not counted as an issue.
    unread = [line for line in made.stderr.splitlines() if line.startswith("griffe")]
    if made.returncode or unread:
        sys.exit(f"{made.stderr}\ndocs: expected no warning")
    broken = broken_links(folder / "docs")
    if broken:
        lines = "\n".join(broken)
        sys.exit(f"{lines}\ndocs: expected links to what is there")


if __name__ == "__main__":
    main()
