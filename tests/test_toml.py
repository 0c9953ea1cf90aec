"""Every TOML file that a user writes is read in one way."""

import os
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memcore
from memcore import ConfigError, CrossbarConfig, _toml
from memcore.contracts import presets
from memcore.errors import MemcoreError
from memcore.registry import device_file
from memcore.study.config import read as read_study

READERS = {
    "device file": device_file.read,
    "preset file": presets.read,
    "crossbar file": CrossbarConfig.from_toml,
    "study file": read_study,
}


@pytest.fixture(params=READERS)
def reader(request):
    return request.param, READERS[request.param]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[device", "it is no valid TOML"),
        ("name = '\u00e9'".encode("latin-1"), "it is no text in UTF-8"),
        (b"x = " + 100_000 * b"[", "it is nested too deeply"),
    ],
)
def test_file_that_is_none_is_named_with_the_reason(tmp_path, reader, content, reason):
    what, read = reader
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(MemcoreError, match=rf"{what} '.*x.toml' cannot be read: {reason}"):
        read(tmp_path / "x.toml")


def test_file_that_is_not_there_is_named(tmp_path, reader):
    what, read = reader
    with pytest.raises(MemcoreError, match=rf"there is no {what} '.*none.toml'; "):
        read(tmp_path / "none.toml")


def test_what_never_ends_is_refused(tmp_path, reader):
    what, read = reader
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", tmp_path):
        with pytest.raises(MemcoreError, match=f"{what} .* it is no regular file"):
            read(path)


@pytest.mark.parametrize("path", [3, None, b"x.toml", "nul\0.toml", "x" * 5000 + ".toml"])
def test_path_that_no_file_has_is_refused(path):
    with pytest.raises(ConfigError, match="device file"):
        _toml.read(path, "device file")


def test_device_file_lies_beside_the_crossbar_file_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "chips").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chips" / "mine.toml").write_text('[device]\nname = "ideal"\nr_on = 1234.0\n')
    file = tmp_path / "chips" / "x.toml"
    for device in ('"mine.toml"', '{name = "mine.toml", r_off = 9e5}'):
        for head in ("", "[crossbar]\n"):
            file.write_text(f"{head}device = {device}\n")
            for path in (file, "chips/x.toml"):
                assert CrossbarConfig.from_toml(path).device.r_on == 1234.0
    assert CrossbarConfig.from_toml(file).device == memcore.devices["ideal"](r_on=1234.0, r_off=9e5)


def test_crossbar_table_that_is_none_is_named(tmp_path):
    (tmp_path / "x.toml").write_text("crossbar = 3\n")
    with pytest.raises(ConfigError, match="the crossbar is 3; expected a mapping"):
        CrossbarConfig.from_toml(tmp_path / "x.toml")


WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, st.dictionaries(WORDS, PLAIN, max_size=4), max_size=3))
@settings(max_examples=60)
def test_what_is_written_is_read_as_it_was(tables):
    assert tomllib.loads(_toml.text(tables)) == tables


def test_long_tables_and_lists_of_tables_have_headings():
    tables = {"a": {"list": [{"x": "y" * 99}, {}], "long": {"b": "c" * 99}, "short": {"d": 1}}}
    text = _toml.text(tables)
    assert text.startswith("[a]\nshort = { d = 1 }\n\n[[a.list]]\n")
    assert "\n[a.long]\n" in text
    assert tomllib.loads(text) == tables


def test_entries_that_are_none_are_left_out():
    assert _toml.text({"a": {"b": None, "c": 1}}) == "[a]\nc = 1\n"
