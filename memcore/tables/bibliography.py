"""Bibliographies in BibTeX that stand beside the tables and the plugins they are about."""

import re
from pathlib import Path


def entries(folder: Path) -> dict[str, str]:
    """The entries of all .bib files of a folder by their keys, in the order of the files."""
    found = {}
    for file in sorted(folder.glob("*.bib")):
        for entry in re.split(r"(?m)^(?=@)", file.read_text(encoding="utf-8", errors="replace")):
            key = re.match(r"@\w+\{([^,\s]+),", entry)
            if key:
                found[key[1]] = entry.strip()
    return found
