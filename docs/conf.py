"""Sphinx settings. The build needs no network: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import memcore

project = "memcore"
author = "The memcore developers"
copyright = author
version = release = memcore.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "memcore_math",
    "memcore_registry",
    "memcore_cli",
    "memcore_figures",
    "memcore_circuit_figures",
    "memcore_study",
]
exclude_patterns = ["_build", "reference/_generated", "examples", "sg_execution_times.rst"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False


def _escape_stars(*args):
    """Shapes such as [*cells, k] are no emphasis."""
    lines = args[-1]
    lines[:] = [line.replace("[*", r"[\*").replace(", *", r", \*") for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", _escape_stars)


sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("memcore_examples.axes_of",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,  # a page of its own, which asks the network for scripts
    "reset_modules": (),
    "capture_repr": (),
}

html_theme = "furo"
html_math_renderer = "memcore"
html_static_path = ["_static"]
html_css_files = ["memcore.css"]
html_show_search_summary = False  # a browser may not fetch pages that are files
html_title = f"memcore {version}"
