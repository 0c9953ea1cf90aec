"""The plugins that a file or a results folder names, for their citations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memcore import _toml
from memcore.crossbar.config import CrossbarConfig
from memcore.registry import device_file
from memcore.report.citations import Plugin, named
from memcore.report.provenance import config_provenance
from memcore.study.config import read
from memcore.study.planning import described
from memcore.study.store import record_of


def cited(source: str | Path) -> list[Plugin]:
    """The kind and the name of each plugin of a results folder, a study, crossbars or a device.

    Raises:
        StudyError: a folder holds no study.
        ConfigError: there is no such file, it holds something else, or names no plugin.
    """
    path = Path(source)
    if path.is_dir():
        return recorded(record_of(path))
    content = _toml.read(path, "study or crossbar file")
    if set(content) <= set(device_file.TABLES) and "device" in content:
        device = content["device"]
        if isinstance(device, Mapping) and isinstance(device.get("name"), str):
            return named(f"devices.{device['name']}")
    if {"sweep", "study"} & set(content):
        study = read(path)
        costs = [each for cost in study.study.cost for each in named(f"costs.{cost['name']}")]
        return [*used(described(study).entries()), *costs]
    return used([CrossbarConfig.from_toml(path)])


def recorded(record: Mapping[str, Any]) -> list[Plugin]:
    """The plugins that the record of a study names."""
    costs = [("costs", str(cost["name"])) for cost in record["study"]["study"].get("cost", ())]
    return [*((str(entry["kind"]), str(entry["name"])) for entry in record["plugins"]), *costs]


def used(configs: Any) -> list[Plugin]:
    """The plugins of configurations, each once."""
    entries = [entry for config in configs for entry in config_provenance(config)]
    return list(dict.fromkeys((entry["kind"], entry["name"]) for entry in entries))
