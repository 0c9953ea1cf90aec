"""What pytest loads wherever memcore is installed: two fixtures and a header line.

Nothing here imports torch while it is loaded: a test run of another project must not pay for it.
"""

import sys
from typing import TYPE_CHECKING

import pytest

import memcore

if TYPE_CHECKING:
    pass


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which native modules the run uses, where the run is about memcore."""
    if "torch" not in sys.modules and not _is_about_memcore(config):
        return None
    try:
        from memcore.native import status
    except ImportError:
        return f"memcore {memcore.__version__}"
    return f"memcore {memcore.__version__}, native: {status()}"


def _is_about_memcore(config: pytest.Config) -> bool:
    project = config.rootpath / "pyproject.toml"
    return project.is_file() and "memcore" in project.read_text(encoding="utf-8")
