"""Runs the tour in a fresh kernel and writes it with its outputs.

  python -m docs.site.tour [OUTPUT]

OUTPUT is docs/tour.ipynb itself where none is given. Whatever a cell writes to stderr,
a warning above all, is an error.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

TOUR = Path(__file__).resolve().parents[1] / "tour.ipynb"


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Replaces the outputs of a notebook.

    Args:
        notebook: To run, in place.
        folder: Where the kernel runs and keeps its own files.

    Raises:
        CellExecutionError: If a cell fails.
        ValueError: If a cell writes to stderr.
    """
    # What it shows must not depend on an accelerator or on somebody's profile.
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "IPYTHONDIR": str(folder / "ipython"),
        # Its code is the one beside it, wherever else the package is installed from.
        "PYTHONPATH": str(TOUR.parents[1]),
    }
    kernel = AsyncKernelManager(
        kernel_name="python3",
        transport="ipc",
        connection_file=str(folder / "kernel.json"),
    )
    NotebookClient(
        notebook,
        km=kernel,
        timeout=600,
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute(cleanup_kc=True)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise ValueError(f"cell {cell.id}: expected no stderr, found {output}")


def main() -> None:
    """Runs the tour."""
    if len(sys.argv) > 2:
        sys.exit("usage: python -m docs.site.tour [OUTPUT]")
    notebook = nbformat.read(TOUR, as_version=4)
    with tempfile.TemporaryDirectory(prefix="hm3_tour_") as folder:
        run(notebook, Path(folder))
    # The rest, such as the version, is of the machine and not of the tour.
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, sys.argv[1] if sys.argv[1:] else TOUR)


if __name__ == "__main__":
    main()
