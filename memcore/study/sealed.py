"""Files of results that say to which study they belong, and show when they were changed."""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from memcore.study.files import digest_json, read_json, write_json
from memcore.study.metrics import Score
from memcore.study.record import FORMAT

Count = int | Callable[[list[Score]], int]
LOG: Final = logging.getLogger("memcore.study")


def write_sealed(
    path: Path, fingerprint: str, values: Mapping[str, Any], *, mark: str = "", sync: bool = True
) -> None:
    """Write results with what they belong to and a checksum."""
    content = {"format": FORMAT, "fingerprint": fingerprint, **values}
    write_json(path, {**content, "checksum": digest_json(content)}, mark=mark, sync=sync)


def read_sealed(
    path: Path, fingerprint: str, count: Count, *, quiet: bool = False
) -> dict[str, Any] | None:
    """Read results back; None where there are none, or spoilt ones, which is warned of.

    Args:
        path: file.
        fingerprint: what the results must belong to.
        count: number of results, or a function that tells it from the scores.
        quiet: whether to warn of nothing.
    """
    if not path.exists():
        return None
    content = read_json(path)
    problem = _problem(content, fingerprint, count)
    if not problem:
        return dict(content)
    if not quiet:
        LOG.warning("%s/%s %s; evaluating it again", path.parent.name, path.name, problem)
    return None


def values_of(scores: list[Score]) -> dict[str, Any]:
    """Scores as a file holds them."""
    right = [score.right for score in scores if score.right is not None]
    if right:
        return {"samples": scores[0].samples, "correct": right}
    return {"samples": scores[0].samples, "scores": [score.value for score in scores]}


def scores_of(content: Mapping[str, Any]) -> list[Score]:
    """The scores that a file holds."""
    samples = content["samples"]
    if "scores" in content:
        return [Score(value, samples) for value in content["scores"]]
    return [Score(right / samples, samples, right) for right in content["correct"]]


def _problem(content: Any, fingerprint: str, count: Count) -> str:
    """What is wrong with the content of a file, "" if nothing is."""
    if not isinstance(content, dict) or not _is_finished(content):
        return "is torn or foreign"
    if content["fingerprint"] != fingerprint:
        return "belongs to another study, network or data set"
    sealed = {key: value for key, value in content.items() if key != "checksum"}
    if content.get("checksum") != digest_json(sealed) or not _counts(content, count):
        return "is not as it was written"
    return ""


def _counts(content: Mapping[str, Any], count: Count) -> bool:
    wanted = count if isinstance(count, int) else count(scores_of(content))
    return len(_values(content)) == wanted


def _is_finished(content: Mapping[str, Any]) -> bool:
    samples, values = content.get("samples"), _values(content)
    return (
        content.get("format") == FORMAT
        and isinstance(content.get("fingerprint"), str)
        and type(samples) is int
        and samples > 0
        and bool(values)
        and all(_is_value(value, content, samples) for value in values)
    )


def _values(content: Mapping[str, Any]) -> list[Any]:
    values = content.get("scores", content.get("correct"))
    return values if isinstance(values, list) else []


def _is_value(value: Any, content: Mapping[str, Any], samples: int) -> bool:
    if "scores" in content:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is int and 0 <= value <= samples
