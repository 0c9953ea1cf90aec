#!/usr/bin/env python3
"""Writes the bill of materials of the installed memcore, in CycloneDX: `.ci/sbom.py FILE`.

It lists memcore, the distributions that it needs with the extra "all", as they are installed here,
and pybind11, whose headers are compiled into the wheel. The same environment gives the same bytes.
"""

import argparse
import datetime
import json
import os
import sys
import uuid
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def purl(name: str, version: str) -> str:
    """The address of a release on PyPI; the build of a version, as +cpu, is a qualifier.

    That of memcore names no index: on PyPI the name belongs to another project.
    """
    if name == "memcore":
        return f"pkg:generic/memcore@{version}"
    public, _, local = version.partition("+")
    return f"pkg:pypi/{canonicalize_name(name)}@{public}" + (f"?build={local}" if local else "")


def needed(dist: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """What a distribution requires in this environment with some of its extras."""
    for line in dist.requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def installed(name: str, extras: Iterable[str]) -> dict[str, tuple[Distribution, set[str]]]:
    """All that a distribution needs, itself first, each with the names of what it needs itself."""
    found: dict[str, tuple[Distribution, set[str]]] = {}
    todo, seen = [Requirement(f"{name}[{','.join(extras)}]")], set[str]()
    while todo:
        requirement = todo.pop(0)
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        key = canonicalize_name(requirement.name)
        dist, below = found.setdefault(key, (distribution(requirement.name), set()))
        inner = list(needed(dist, requirement.extras))
        below |= {canonicalize_name(each.name) for each in inner} - {key}
        todo += inner
    return found


def licence(dist: Distribution) -> list[dict[str, Any]]:
    """What a distribution says of its licence: an expression of SPDX, else its words."""
    told = dist.metadata
    if "License-Expression" in told:
        return [{"expression": told["License-Expression"]}]
    lines = [line for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    names = [line.rpartition(" :: ")[2] for line in lines]
    if not names and "License" in told:
        names = [told["License"].strip().partition("\n")[0]]
    return [{"license": {"name": name}} for name in names if name]


def component(dist: Distribution, kind: str = "library") -> dict[str, Any]:
    """A distribution as CycloneDX has it."""
    name, version = canonicalize_name(dist.metadata["Name"]), dist.version
    address = purl(name, version)
    told = {"type": kind, "bom-ref": address, "name": name, "version": version, "purl": address}
    return {**told, "licenses": licence(dist)} if licence(dist) else told


def compiled_in() -> dict[str, Any]:
    """pybind11 in the version that wheels are built with."""
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    (version,) = (pin.partition("==")[2] for pin in pins if pin.startswith("pybind11=="))
    address = purl("pybind11", version)
    return {
        "type": "library",
        "bom-ref": address,
        "name": "pybind11",
        "version": version,
        "purl": address,
        "licenses": [{"expression": "BSD-3-Clause"}],
        "properties": [{"name": "memcore:used", "value": "headers that are compiled in"}],
    }


def bill(extras: Iterable[str] = ("all",)) -> dict[str, Any]:
    """The bill of materials."""
    found = installed("memcore", extras)
    (memcore, _), *others = found.values()
    listed = [compiled_in(), *(component(dist) for dist, _ in others)]
    content = {
        "metadata": {"component": component(memcore), "lifecycles": [{"phase": "build"}], **when()},
        "components": sorted(listed, key=lambda each: str(each["name"])),
        "dependencies": graph(found),
    }
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        **content,
    }


def graph(found: dict[str, tuple[Distribution, set[str]]]) -> list[dict[str, Any]]:
    """What each component needs."""
    refs = {key: str(component(dist)["bom-ref"]) for key, (dist, _) in found.items()}
    needs = {refs[key]: {refs[name] for name in below} for key, (_, below) in found.items()}
    needs[refs["memcore"]].add(str(compiled_in()["bom-ref"]))
    return [{"ref": ref, "dependsOn": sorted(below)} for ref, below in sorted(needs.items())]


def when() -> dict[str, str]:
    """The time of the release, where SOURCE_DATE_EPOCH tells it."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return {}
    time = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
    return {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ")}


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="file to write")
    parser.add_argument("--extras", default="all", help="extras of memcore, by commas")
    options = parser.parse_args()
    try:
        content = bill([each for each in options.extras.split(",") if each])
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed; install memcore with its extras first")
    options.file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
