"""The site as a reader sees it: every page, in a browser, without network.

`MEMCORE_DOCS` names a built site; without it the site is built here, which needs the packages of
the group `docs`.
"""

import fcntl
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BUILT = os.environ.get("MEMCORE_DOCS")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-pipe", "--window-size=1440,1000"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
#: What a page holds, once its images are decoded. Code may speak of TeX, prose may not.
LOOK = """(async () => {
  for (const image of document.images) image.loading = 'eager';
  await Promise.all([...document.images].map(image => image.decode().catch(() => 0)));
  const prose = document.body.cloneNode(true);
  prose.querySelectorAll('script, style, template, pre, code').forEach(part => part.remove());
  const all = query => [...document.querySelectorAll(query)];
  return {
    text: document.body.innerText,
    prose: prose.textContent,
    ids: all('[id]').map(part => part.id),
    links: all('a[href]').map(link => link.href),
    images: [...document.images].filter(image => !image.naturalWidth).map(image => image.src),
    formulas: all('.formula').filter(one => !one.getBoundingClientRect().height).length,
    clipped: all('div.math').filter(one => one.scrollWidth > one.clientWidth + 1)
      .map(one => one.querySelector('svg')?.ariaLabel ?? ''),
  };
})()"""
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


class Browser:
    """Chromium with one tab, spoken to through a pipe in the DevTools protocol."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        # Away from 3 and 4, which the browser reads and writes.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in (theirs_in, theirs_out)]
        words = [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        log = os.open(profile.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
        actions = [(os.POSIX_SPAWN_DUP2, old, new) for old, new in zip(ends, (3, 4), strict=True)]
        actions += [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        self._pid = os.posix_spawn(program, words, os.environ, file_actions=actions, setpgroup=0)
        for end in (*ends, theirs_in, theirs_out, log):
            os.close(end)
        self._rest, self._number, self._tab = b"", 0, {}
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        tab = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._tab = {"sessionId": tab}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers; events that come before the answer are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._tab}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def look(self, address: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What is on a page, and what happened while it was loaded."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())
        return self.evaluate(LOOK), list(self.events)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in JavaScript, or what it promises."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        return found["result"].get("value")

    def _message(self, patience: float = 60.0) -> dict[str, Any]:
        end = time.monotonic() + patience
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._from, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError("the browser does not answer")
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


def problems(folder: Path, browser: Browser) -> Iterator[str]:
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


def search(folder: Path, word: str, browser: Browser) -> Iterator[str]:
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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all pages; where a site was named, it must be looked at."""
    if CHROMIUM is None:
        (pytest.fail if BUILT else pytest.skip)("there is no chromium: install Debian's package")
    with Browser(CHROMIUM, tmp_path_factory.mktemp("chromium") / "profile") as opened:
        yield opened


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


def test_every_page_is_whole_without_network(browser: Browser, tmp_path: Path) -> None:
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
def test_a_fault_is_seen(body: str, problem: str, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<!doctype html><body>{body}</body>")
    assert any(problem in found for found in problems(tmp_path, browser))


def test_a_page_without_faults_is_passed(browser: Browser, tmp_path: Path) -> None:
    text = r"<p id='a b'>costs 5 $ or 6 $</p><pre>\frac $$</pre><a href='#a%20b'>x</a>"
    (tmp_path / "page.html").write_text(f"<!doctype html><body>{text}</body>")
    assert list(problems(tmp_path, browser)) == []
