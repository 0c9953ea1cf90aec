"""The end of a report: how to make it again, where its figures come from, what to cite."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from memcore import _toml
from memcore._text import some
from memcore.pages.markup import Html, tag
from memcore.pages.table import plain_table
from memcore.report.citations import Citations
from memcore.study.results import Results


def sections(results: Results, record: Mapping[str, Any], cited: Citations) -> Iterator[Html]:
    """The sections after the results."""
    yield _again(results, record)
    yield _provenance(record)
    yield _cite(cited)


def _again(results: Results, record: Mapping[str, Any]) -> Html:
    command = f"memcore run study.toml --out {results.study.study.name}"
    modules = [name for name in record["code"] if name]
    needs = f" It needs {some(modules)} beside it." if modules else ""
    return tag(
        "section",
        tag("h2", "Make it again"),
        tag(
            "p",
            f"Save the study below as study.toml; files that it names are beside it.{needs} The "
            "same versions give the same figures.",
        ),
        tag("pre", command, id="command"),
        tag(
            "div",
            _copy("copy the command", "command"),
            _copy("save study.toml", "study", "study.toml"),
            class_="tools",
        ),
        _folded("The whole study, every default written out", _toml.text(record["study"]), "study"),
        id="again",
    )


def _provenance(record: Mapping[str, Any]) -> Html:
    facts = {**record["versions"], "identity": record["identity"]}
    facts |= {f"code of {name}": text for name, text in record["code"].items()}
    rows = [
        [entry.get(key, "") for key in ("kind", "name", "distribution", "version", "code")]
        for entry in record["plugins"]
    ]
    crossbars = json.dumps(record["crossbars"], indent=2, ensure_ascii=False)
    return tag(
        "section",
        tag("h2", "Provenance"),
        tag("dl", [[tag("dt", key), tag("dd", facts[key])] for key in facts], class_="facts"),
        tag("h3", "Plugins"),
        plain_table(("kind", "name", "package", "version", "hash of the code"), rows),
        _folded("The crossbars of the first point of each sweep", crossbars, "crossbars"),
        id="provenance",
    )


def _cite(cited: Citations) -> Html:
    without = ", ".join(cited.without)
    return tag(
        "section",
        tag("h2", "Cite"),
        tag("p", "memcore, and what was published of the plugins that this study uses."),
        tag("pre", "\n\n".join(cited.entries), id="bibtex"),
        tag(
            "div",
            _copy("copy", "bibtex"),
            _copy("save references.bib", "bibtex", "references.bib"),
            class_="tools",
        ),
        tag("p", f"No publication is named for {without}.", class_="note") if without else None,
        id="cite",
    )


def _folded(summary: str, text: str, name: str) -> Html:
    return tag("details", tag("summary", summary), tag("pre", text, id=name, tabindex=0))


def _copy(label: str, of: str, file: str | None = None) -> Html:
    return tag("button", label, type="button", data_copies=of, data_file=file)
