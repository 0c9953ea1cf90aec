"""Make the links of a page absolute, for an index that shows it away from its repository.

`python .ci/readme.py README.md https://github.com/OWNER/NAME v0.2.0` rewrites the file. The
release does so before it builds the source distribution, from which the wheels are built.
"""

import re
import sys
from pathlib import Path

#: A link or an image with a relative target.
_LINK = re.compile(r"(?P<image>!?)(?P<text>\[[^\]]*\])\((?!https?:|#|mailto:)(?P<target>[^)\s]+)\)")


def absolute(text: str, repository: str, ref: str) -> str:
    """The page with links to files of a repository at a tag or a branch."""

    def link(found: re.Match[str]) -> str:
        kind = "raw" if found["image"] else "blob"
        where = f"{repository.rstrip('/')}/{kind}/{ref}/{found['target']}"
        return f"{found['image']}{found['text']}({where})"

    return _LINK.sub(link, text)


if __name__ == "__main__":
    path, *where = sys.argv[1:]
    page = Path(path)
    page.write_text(absolute(page.read_text(encoding="utf-8"), *where), encoding="utf-8")
