"""Chromium as tests drive it: one tab, without network, through a pipe."""

import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Self

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
