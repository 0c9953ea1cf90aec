"""A whole page: head, styles and scripts in one file that asks nothing of the network."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from memcore.pages.markup import Html, tag

_FOLDER: Final = Path(__file__).parent


def document(
    title: str, body: Sequence[Any], *, scripts: Sequence[str] = ("page.js",), data: Any = None
) -> str:
    """A page as HTML.

    Args:
        title: title in the tab of the browser.
        body: elements of the page.
        scripts: names of the script files beside this module.
        data: plain values that the scripts read from the element `data`.
    """
    style = _read("page.css")
    codes = [_read(name) for name in scripts]
    allowed = " ".join(f"'sha256-{_digest(code)}'" for code in codes)
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content="memcore"),
        tag("title", title),
        tag("style", Html(style)),
    )
    parts = [
        tag("a", "Skip to the content", class_="skip", href="#content"),
        *body,
        tag("div", id="tip", role="tooltip", hidden=True),
        None if data is None else tag("script", _json(data), id="data", type="application/json"),
        *(tag("script", Html(code)) for code in codes),
    ]
    page = tag("html", head, tag("body", *parts), lang="en")
    return f"<!doctype html>\n{page}\n"


def _json(data: Any) -> Html:
    """JSON that no text in it can end early: `</script>` is written with an escape."""
    return Html(json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c"))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
