"""Sphinx's settings of the documentation, which `launch/docs.sh` builds."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1])]

import docstrings  # noqa: E402

import hm3_jax  # noqa: E402

project = "hm3_jax"
version = release = hm3_jax.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
napoleon_use_ivar = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# The tour comes with its outputs; tests run it, and launch/tour.sh makes them anew.
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "hm3_jax"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_sidebars = {"index": [], "README": [], "docs/tour": []}
html_theme_options = {
    "navigation_depth": 3,
    "show_nav_level": 1,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app: Sphinx) -> None:
    """Connects what makes the package's docstrings fit for Sphinx."""
    # Napoleon comes at 500.
    app.connect("autodoc-process-docstring", _rewrite, priority=400)
    app.connect("autodoc-process-signature", _shorten)
    app.connect("autodoc-skip-member", _skip)


def _rewrite(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    if what in ("attribute", "data", "property"):
        # Napoleon would take the first line up to a colon for a type.
        lines.insert(0, "")
    lines[:] = docstrings.to_restructured_text(lines, docstrings.resolver(name))


def _shorten(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Shapes are written as in the code, `Float[Array, "rows size"]`."""

    def shown(text: str | None) -> str | None:
        return text and text.replace("jaxlib._jax.Array", "Array")

    return shown(signature), shown(returns)


def _skip(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leaves out what Python writes about the fields of named tuples."""
    return True if str(obj.__doc__).startswith("Alias for field number") else None
