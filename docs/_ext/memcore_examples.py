"""The pictures of the examples: figures that a block leaves in a variable, or axes of them."""

from typing import Any


def axes_of(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figures that a block has made, and show them below it.

    `sphinx_gallery` finds figures of pyplot only, and those of memcore belong to no window.
    """
    del block
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    names = block_vars["example_globals"]
    seen = names.setdefault("_shown", set())
    paths = []
    for value in list(names.values()):
        figure: Any = value.figure if isinstance(value, Axes | Figure) else None
        if figure is not None and id(figure) not in seen:
            seen.add(id(figure))
            paths.append(next(block_vars["image_path_iterator"]))
            figure.savefig(paths[-1], format="png", dpi=150)
    return str(figure_rst(paths, gallery_conf["src_dir"]))
