"""The site as a reader sees it: every page, in a browser, without network.

`MEMCORE_DOCS` names a built site; without it the site is built here, which needs the packages of
the group `docs`.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BUILT = os.environ.get("MEMCORE_DOCS")
#: The results of a search, once there are no more to come.
HITS = """new Promise(done => {
  const read = (last, tries) => {
    const hits = [...document.querySelectorAll('#search-results li a')].map(hit => hit.href);
    const complete = hits.length && hits.length == last;
    complete || !tries ? done(hits) : setTimeout(read, 300, hits.length, tries - 1);
  };
  read(0, 30);
})"""
TEX = re.compile(
    r"\$\$|\\[(\[]|\\(frac|mathrm|begin|left|text|sqrt|sum)\b|\$[^$\n]*\\[a-z]+[^$\n]*\$"
)
PYTHON = re.compile(r"<[^<>\n]* object at 0x[0-9a-f]+>")


def problems(folder: Path, browser: Any) -> Iterator[str]:
    """Everything that is wrong with a site, each with its page."""
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        page, events = browser.look(path.as_uri())
        pages[path] = page
        for problem in (*_faults(page), *_reported(events)):
            yield f"{path.relative_to(folder)}: {problem}"
    for path, page in pages.items():
        for link in page["links"]:
            if not _leads_somewhere(link, pages):
                yield f"{path.relative_to(folder)}: broken link {link}"


def search(folder: Path, word: str, browser: Any) -> Iterator[str]:
    """What is wrong with the site's own search for a word that it must find."""
    browser.look(f"{(folder / 'search.html').as_uri()}?q={word}")
    hits = browser.evaluate(HITS)
    if not any(word in hit for hit in hits):
        yield f"search for {word}: found {hits}"
    yield from (f"search for {word}: {problem}" for problem in _reported(browser.events))


def _faults(page: dict[str, Any]) -> Iterator[str]:
    yield from (f"raw TeX {found[0]!r}" for found in TEX.finditer(page["prose"]))
    yield from (f"a Python object {found[0]!r}" for found in PYTHON.finditer(page["text"]))
    yield from ("says ERROR" for _ in re.finditer(r"\bERROR\b", page["prose"]))
    yield from (f"missing image {source}" for source in page["images"])
    yield from (f"a formula is wider than its column: {tex}" for tex in page["clipped"])
    yield from ["formulas without height"] if page["formulas"] else []


def _reported(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        about = event["params"]
        match event["method"]:
            case "Runtime.exceptionThrown":
                yield f"script failed: {about['exceptionDetails'].get('exception', about)}"
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "assert"):
                yield f"console: {[part.get('value') for part in about['args']]}"
            case "Log.entryAdded" if about["entry"]["level"] == "error":
                yield f"browser: {about['entry']['text']} {about['entry'].get('url', '')}"
            case "Network.requestWillBeSent":
                address = about["request"]["url"]
                if urlsplit(address).scheme not in ("file", "data", "blob"):
                    yield f"asks the network for {address}"


def _leads_somewhere(link: str, pages: dict[Path, dict[str, Any]]) -> bool:
    address, anchor = urldefrag(link)
    parts = urlsplit(address)
    if parts.scheme != "file":
        return parts.scheme in ("http", "https", "mailto")
    path = Path(unquote(parts.path))
    if path not in pages:
        return path.is_file()
    return not anchor or unquote(anchor) in pages[path]["ids"]


def site(folder: Path) -> Path:
    """The site that was built before, or one that is built now."""
    if BUILT:
        assert (Path(BUILT) / "index.html").exists(), f"MEMCORE_DOCS={BUILT} holds no site"
        return Path(BUILT).resolve()
    missing = [
        name
        for name in ("sphinx", "furo", "myst_parser", "sphinx_copybutton", "ziamath")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        pytest.skip(f"{missing[0]} is not installed; `make docs` installs it")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", ROOT / "docs", folder]
    subprocess.run(command, check=True, cwd=ROOT)
    return folder


def test_every_page_is_whole_without_network(browser: Any, tmp_path: Path) -> None:
    folder = site(tmp_path / "site")
    assert len(list(folder.rglob("*.html"))) > 50
    found = [*problems(folder, browser), *search(folder, "vteam", browser)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<p>$$x$$</p>", "raw TeX"),
        (r"<p>a \frac{1}{2}</p>", "raw TeX"),
        (r"<p>\(x\)</p>", "raw TeX"),
        (r"<p>for $\sigma$ of</p>", "raw TeX"),
        ("<code>&lt;property object at 0x7f00&gt;</code>", "a Python object"),
        ("<p>ERROR: unnecessary</p>", "says ERROR"),
        ("<script>console.error('no')</script>", "console"),
        ("<script>throw new Error('no')</script>", "script failed"),
        ("<script src='missing.js'></script>", "browser"),
        ("<script src='https://example.org/x.js'></script>", "asks the network"),
        ("<img src='missing.png'>", "missing image"),
        ("<a href='missing.html'>x</a>", "broken link"),
        ("<a href='page.html#missing'>x</a>", "broken link"),
        ("<div class='math' style='width:9px; overflow:auto'><svg width='99'/></div>", "wider"),
    ],
)
def test_a_fault_is_seen(body: str, problem: str, browser: Any, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<!doctype html><body>{body}</body>")
    assert any(problem in found for found in problems(tmp_path, browser))


def test_a_page_without_faults_is_passed(browser: Any, tmp_path: Path) -> None:
    text = r"<p id='a b'>costs 5 $ or 6 $</p><pre>\frac $$</pre><a href='#a%20b'>x</a>"
    (tmp_path / "page.html").write_text(f"<!doctype html><body>{text}</body>")
    assert list(problems(tmp_path, browser)) == []
