"""Markup that cannot be broken by what is written into it: every text is escaped."""

import html
import unicodedata
from collections.abc import Iterable
from typing import Any, Final

#: Elements without an end tag.
_EMPTY: Final = ("br", "input", "meta", "wbr")


class Html(str):
    """Text that is markup already; any other text is escaped where it becomes part of a page."""

    __slots__ = ()


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element.

    Args:
        name: name of the element.
        children: texts, which are escaped, elements, or lists of both; None is left out.
        attributes: values of attributes; an underscore stands for a hyphen, one at the end is left
            out, as in `class_`. True is an attribute without a value, None and False are none.
    """
    words = "".join(
        f" {_attribute(key)}"
        if value is True
        else f' {_attribute(key)}="{html.escape(_clean(str(value)), quote=True)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _EMPTY:
        return Html(f"<{name}{words}>")
    return Html(f"<{name}{words}>{joined(children)}</{name}>")


def joined(children: Iterable[Any]) -> Html:
    """Elements and escaped texts one after the other."""
    return Html("".join(map(_text, children)))


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _text(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, list | tuple):
        return joined(child)
    return html.escape(_clean(str(child)), quote=False)


def _clean(text: str) -> str:
    """A text in which what HTML does not allow, controls and half pairs, is escaped."""
    return "".join(
        ascii(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c
        for c in text
    )
