"""What memcore.writing offers to programmers of third parties."""

import doctest
import inspect

import pytest
import torch

import memcore
from memcore import writing

#: Classes and functions that are defined here.
OWN = [
    name
    for name in writing.__all__
    if getattr(getattr(writing, name), "__module__", "").startswith("memcore.")
]


@pytest.mark.parametrize("name", OWN)
def test_examples_of_public_names_run(name):
    names = {"memcore": memcore, "torch": torch}
    for test in doctest.DocTestFinder(exclude_empty=True).find(
        getattr(writing, name), name, globs=names
    ):
        if test.examples:
            assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize(
    "name", [n for n in writing.__all__ if inspect.isclass(getattr(writing, n))]
)
def test_public_classes_say_what_they_are(name):
    cls = getattr(writing, name)
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{name}(")  # what a dataclass writes itself
