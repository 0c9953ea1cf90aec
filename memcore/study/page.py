"""`report`: a study as one page that opens anywhere, without network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memcore._text import shown
from memcore._version import __version__
from memcore.contracts.cost import Cost
from memcore.errors import ConfigError, StudyError
from memcore.pages.document import document
from memcore.pages.markup import Html, tag
from memcore.report.citations import of_plugins
from memcore.report.cost_report import CostReport
from memcore.report.error_budget import Diagnosis
from memcore.study import page_about, page_chip, page_layers, page_pareto
from memcore.study.cited import recorded
from memcore.study.files import encoded, write_atomic
from memcore.study.loading import load
from memcore.study.page_figures import figures
from memcore.study.page_sweeps import sections
from memcore.study.results import Results, name_of, titled
from memcore.study.store import record_of

#: What arrays of a point cost, by the name of its sweep and its index.
Costs = Mapping[tuple[str, int], Cost]


def report(
    results: Results | str | Path,
    out: str | Path | None = None,
    *,
    costs: Costs | None = None,
    diagnosis: Diagnosis | None = None,
    cost: CostReport | None = None,
    own_code: bool = False,
) -> Path:
    """Write a study as one HTML file that needs no network.

    It has the question, a picture with intervals and a table for each sweep, the Pareto fronts
    where costs are known, provenance, the command that makes it again and what to cite. The first
    chip is written again for histograms of its cells and, where lines have resistance, for maps of
    what its wires take; layers that are too large for that are named.

    Args:
        results: results of a study, or their folder.
        out: path of the file; `report.html` in the results folder by default.
        costs: cost of each point, by the name of its sweep and its index, such as
            `memcore.cost(...).total`, beside those that a study with `cost = [...]` knows.
        diagnosis: what each effect costs, from `memcore.diagnose`, for a part of its own.
        cost: what each layer costs, from `memcore.cost`, for a part of its own.
        own_code: whether a network that code of the study's own makes may be built again, which
            runs that code; networks of memcore always are.

    Returns:
        The path of the file.

    Raises:
        StudyError: there is no study in the folder, it has no results yet, or the file cannot be
            written.
        ConfigError: a cost is that of no point.
    """
    loaded = results if isinstance(results, Results) else load(results)
    path = loaded.folder / "report.html" if out is None else Path(out)
    if path.is_dir():
        raise StudyError(f"'{path}' is a folder; expected the path of a file, such as report.html")
    known = _of_study(loaded)
    if costs:
        known["costs that were given"] = _checked(costs, loaded)
    parts = [*page_layers.budget(diagnosis), *page_layers.costs(cost)]
    parts += page_chip.sections(loaded, own_code=own_code)
    write_atomic(path, encoded(html(loaded, record_of(loaded.folder), known, parts)))
    return path


def html(
    results: Results, record: Mapping[str, Any], costs: Mapping[str, Costs], parts: list[Html]
) -> str:
    """The page.

    Args:
        results: results of a study.
        record: content of its `study.resolved.json`.
        costs: for each cost model by its name, the cost of each point, by the name of its sweep and
            its index.
        parts: sections that follow those of the sweeps.
    """
    general = results.study.study
    citations = of_plugins(recorded(record))
    content = [
        *sections(results),
        *page_pareto.sections(results, costs),
        *parts,
        *page_about.sections(results, record, citations),
    ]
    body = [
        _bar(results, bool(costs), parts),
        tag("main", _head(results), content, id="content"),
        tag("footer", f"Written by memcore {__version__}. This file needs no network."),
    ]
    return document(general.title or general.name, body)


def _bar(results: Results, has_costs: bool, parts: list[Html]) -> Html:
    links = [(f"sweep-{n}", s.title or s.name) for n, s in enumerate(results.study.sweep)]
    links += [("pareto-0", "Costs")] if has_costs else []
    links += page_chip.links(parts)
    links += [("again", "Make it again"), ("cite", "Cite")]
    nav = tag("nav", [tag("a", text, href=f"#{to}") for to, text in links], aria_label="Parts")
    theme = tag("button", "theme: auto", type="button", id="theme", title="Light or dark")
    return tag("div", tag("span", "memcore", class_="brand"), nav, theme, class_="bar-top")


def _head(results: Results) -> Html:
    general = results.study.study
    missing = "Not complete: run the study again to evaluate the missing points."
    return tag(
        "header",
        tag("p", f"Study {general.name}", class_="over"),
        tag("h1", general.title or general.name),
        tag("p", f"{_question(results)} {general.note}".strip(), class_="lede"),
        None if results.complete else tag("p", missing, class_="notice"),
        figures(results),
        class_="head",
    )


def _question(results: Results) -> str:
    """What the study asks, from its axes."""
    general = results.study.study
    axes = {titled(*item): None for sweep in results.study.sweep for item in sweep.axes.items()}
    *most, last = list(axes) or ["nothing"]
    names = f"{', '.join(most)} and {last}" if most else last
    label = results.kind.label
    asked = f"How does the {label} of {general.model['name']} on {general.data['name']}"
    return f"{asked} change with {names}?" if axes else f"{asked} change on crossbars?"


def _of_study(results: Results) -> dict[str, Costs]:
    """What an inference costs at each point by each cost model of the study."""
    found: dict[str, dict[tuple[str, int], Cost]] = {}
    for row in results:
        for price in results.prices.get(name_of(row), ()):
            cost = Cost(energy=price.energy, time=price.time, area=price.area)
            found.setdefault(price.model, {})[row.sweep, row.index] = cost
    return dict(found)


def _checked(costs: Costs, results: Results) -> Costs:
    """The costs; refuses one that no point of the results has."""
    points = {(row.sweep, row.index) for row in results}
    for key, value in costs.items():
        if key not in points:
            raise ConfigError(
                f"costs has {shown(key)}; expected the name of a sweep and the index of one of its "
                f"finished points, such as {next(iter(points), ('spread', 0))}"
            )
        if not isinstance(value, Cost):
            raise ConfigError(f"costs[{key}] is {shown(value)}; expected a memcore.Cost")
    return costs
