"""The tables of `docs/support.md` say what trying each of their cells gives."""

import importlib
from pathlib import Path

import pytest

import memcore

EXT = Path(__file__).parent.parent / "docs" / "_ext"
TABLES = ("promises", "nonidealities", "mappers", "lanes", "converters", "compressions")


@pytest.fixture
def support(monkeypatch):
    monkeypatch.syspath_prepend(str(EXT))
    return importlib.import_module("memcore_support")


@pytest.mark.parametrize("name", TABLES)
def test_the_page_says_what_trying_gives(support, name):
    assert support.written(name) == support.table(name), (
        "a table of docs/support.md is not true any more; expected what "
        "python docs/_ext/memcore_support.py writes"
    )


def test_the_page_has_every_table_and_every_plugin(support):
    assert set(support.TABLES) == set(TABLES)
    text = support.PAGE.read_text(encoding="utf-8")
    for kind in ("layers", "nonidealities", "mappers", "converters", "compressions"):
        for name in support.bundled(kind):
            assert f"`{name}`" in text


def test_a_cell_that_fails_is_not_called_true(support):
    def fails(case):
        raise AssertionError

    assert support._tried(fails, support._trials("linear")) == "–"
    assert support._tried(lambda case: None, support._trials("linear")) == "yes"


def test_a_wrong_layer_is_found_out(support, monkeypatch):
    kind = memcore.layers["linear"]
    forward = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, x: 1.01 * forward(self, x))
    promise = support.PROMISES["outputs of the digital module"]
    assert support._tried(promise, support._trials("linear")) == "–"
