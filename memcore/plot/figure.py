"""Figures whose text stays text in files."""

from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure

#: SVG with text rather than outlines, and TrueType fonts in PDF and PostScript: publishers refuse
#: those of Type 3, and text can be searched and changed.
_TEXT: Final = {"svg.fonttype": "none", "pdf.fonttype": 42, "ps.fonttype": 42}


class TextFigure(Figure):
    """A figure that is saved with its text as text, whatever the settings of matplotlib are."""

    def savefig(self, *arguments: Any, **options: Any) -> None:
        """As `matplotlib.figure.Figure.savefig`."""
        with matplotlib.rc_context(_TEXT):  # type: ignore[arg-type]
            super().savefig(*arguments, **options)
