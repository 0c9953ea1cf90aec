"""The building blocks: every public name explains itself, and a new model of a kind is short."""

import ast
import inspect
from pathlib import Path

import pytest

from memcore import fitting, modelling
from memcore.fitting import curves

BUNDLED = Path(__file__).parents[1] / "plugins" / "memcore_plugins" / "devices"


@pytest.mark.parametrize("room", [modelling, curves], ids=lambda room: room.__name__)
def test_every_public_name_of_a_room_has_a_docstring(room):
    for name in room.__all__:
        value = getattr(room, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert len(inspect.getdoc(value) or "") > 20, name


def test_the_reference_lists_every_building_block():
    page = (Path(__file__).parents[1] / "docs" / "reference" / "api.md").read_text()
    for room in (modelling, curves):
        for name in room.__all__:
            value = getattr(room, name)
            if inspect.isfunction(value) or (inspect.isclass(value) and name != "WindowName"):
                assert f":: {name}\n" in page, name
    assert set(fitting.__all__).isdisjoint(curves.__all__)


def test_most_models_read_like_a_page_of_their_paper():
    lines = sorted(
        len(path.read_text().splitlines())
        for path in BUNDLED.glob("*.py")
        if not path.name.startswith("_")
    )
    within = [length for length in lines if 20 <= length <= 110]
    assert len(within) >= 20
    assert lines[len(lines) // 2] <= 100


def test_a_device_file_holds_one_model():
    kinds = {"Memristor", "Pulsed", "AffinePulsed", "Weighted"}
    kinds |= {"Unpulsed", "Statistical", "PhaseChange"}
    for path in BUNDLED.glob("[!_]*.py"):
        classes = [
            node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)
        ]
        models = [c.name for c in classes if {ast.unparse(base) for base in c.bases} & kinds]
        assert len(models) == 1, path.name
