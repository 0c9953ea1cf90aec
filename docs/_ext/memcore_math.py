"""Draws formulas while the site is built, so that a reader's browser needs no script and no fonts.

Each one becomes an inline SVG of the text's size and colour, with its TeX source as label.
"""

import re
from functools import cache
from html import escape
from typing import Any

from docutils import nodes
from sphinx.util import logging

LOG = logging.getLogger(__name__)
#: Dots per em in the drawing; the page shows it in em.
SIZE = 16
#: Letters of the formulas' font are smaller than those of the pages' at the same size.
GROWTH = 1.08
#: Of a formula, em.
HIGHEST = 20
_CASES = re.compile(r"\\begin\{cases\}.*?\\end\{cases\}", re.DOTALL)
_GAP = re.compile(r"\\\\\[[\d.]+[a-z]+\]")
_HEAD = re.compile(r'<svg [^>]*viewBox="\S+ (?P<top>\S+) (?P<width>\S+) (?P<height>\S+)">')


@cache
def svg(tex: str, *, block: bool) -> str:
    """One formula as SVG.

    Raises:
        ValueError: a command is unknown, or the formula is higher than any can be.
    """
    import ziamath

    ziamath.config.svg2 = False  # no identifiers, which would have to be unique on the page
    ziamath.config.precision = 2
    drawn = ziamath.Latex(_arranged(tex), size=SIZE, inline=not block, margin=0.5)
    unknown = [text for text in drawn.mathml.itertext() if "\\" in text]
    if unknown:
        raise ValueError(f"unknown command {unknown[0]!r} in the formula {tex!r}")
    picture: str = drawn.svg().replace('fill="black"', 'fill="currentColor"')
    head = _HEAD.match(picture)
    if head is None:
        raise ValueError(f"no head of a known form in {picture[:200]!r}")
    top, width, height = (float(head[key]) * GROWTH / SIZE for key in ("top", "width", "height"))
    if height > HIGHEST:  # \left around a sum that has a lower limit alone
        raise ValueError(f"it is {height:.0f} em high; use \\biggl and \\biggr for its brackets")
    style = f"width:{width:.3f}em;height:{height:.3f}em;vertical-align:{-(top + height):.3f}em"
    box = head[0].split('viewBox="', 1)[1].removesuffix('">')
    label = escape(" ".join(tex.split()), quote=True)
    start = f'<svg class="formula" role="img" aria-label="{label}" style="{style}" viewBox="{box}">'
    return start + picture[head.end() :]


def _arranged(tex: str) -> str:
    """What the renderer does not know: lines without an environment, gaps of lines and cases."""
    tex = _GAP.sub(r"\\\\", tex)
    if ("\\\\" in tex or "&" in tex) and "\\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    return _CASES.sub(lambda found: found[0].replace("&", r"&\quad "), tex)


def _drawn(node: nodes.Node, *, block: bool) -> str:
    tex = node.astext().strip()
    try:
        return svg(tex, block=block)
    except Exception as error:  # whatever a formula does to the renderer, the page is named
        LOG.warning("formula %r cannot be drawn: %s", tex, error, location=node)
        return f"<code>{escape(tex)}</code>"


def _inline(translator: Any, node: nodes.Node) -> None:
    translator.body.append(f'<span class="math">{_drawn(node, block=False)}</span>')
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.Node) -> None:
    translator.body.append(f'<div class="math">{_drawn(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Add the renderer `memcore`, for `html_math_renderer`."""
    app.add_html_math_renderer("memcore", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
