"""The conformance kit on lines: each check passes a good programmer and fails a careless one."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

from memcore import PluginLoadError, Programmed, Programmer, Wires
from memcore.contracts.layout import Layout
from memcore.registry.verify import verify
from memcore.testing import checks_for
from memcore.testing.checks_programmer_lines import CHECKS
from memcore.writing import LineOptions, Path

NAMES = [check.__name__ for check in CHECKS]


@dataclass(frozen=True, kw_only=True)
class Divided(LineOptions):
    """Leaves each cell what its lines leave of its target."""

    lines = "path"

    def program(self, array, target, ctx):
        array = self.behind_lines(self.spoilt(array))
        ohm = Path.of(array, self.transistor, target.device).ohm.view(array.shape).to(target)
        g = array.device.conductance(array.device.state_of(target / (1 + ohm * target)))
        if array.stuck is not None:
            g = torch.where(array.stuck.isnan(), g, array.stuck.to(g.dtype))
        return Programmed(conductance=g)

    def spoilt(self, array):
        return array


def careless(spoil, **attributes):
    """The same programmer, told of other arrays than it should be."""
    methods = {"spoilt": lambda _, array: spoil(array), **attributes}
    return dataclass(frozen=True, kw_only=True)(type("Careless", (Divided,), methods))()


def with_layout(**changes):
    return careless(
        lambda array: dataclasses.replace(
            array, layout=dataclasses.replace(array.layout, **changes)
        )
    )


def with_wires(wires):
    return careless(lambda array: dataclasses.replace(array, wires=wires(array.wires)))


def longest(wires):
    """Wires as if a number were all that comes."""
    if wires is None or not isinstance(wires.word_line, torch.Tensor):
        return wires
    return Wires(word_line=float(wires.word_line.sum()), bit_line=wires.bit_line)


@dataclass(frozen=True, kw_only=True)
class OwnOption(Divided):
    """Has the parameter, and does not do what it says."""

    through_lines = True


@dataclass(frozen=True, kw_only=True)
class HalfAnOption(Divided):
    """Tells core to leave the wires out, and uses them all the same."""

    def behind_lines(self, array):
        return array


CARELESS = [
    ("lines_are_path_network_or_none", careless(lambda a: a, lines="paths"), "lines='paths'"),
    (
        "lines_are_path_network_or_none",
        careless(lambda a: a, lines=None, through_lines=True),
        "through_lines is True, but lines is None",
    ),
    ("wires_act_where_lines_say_so", with_wires(lambda wires: None), "change nothing"),
    (
        "wires_act_where_lines_say_so",
        careless(lambda a: a, lines=None, behind_lines=lambda self, array: array),
        "in a layer there are none",
    ),
    (
        "wires_without_resistance_change_nothing",
        with_wires(lambda wires: wires and Wires(driver=1.0, word_line=wires.word_line)),
        "wires of 0 ohm change the result",
    ),
    (
        "wires_may_differ_from_segment_to_segment",
        with_wires(longest),
        "gives other conductances than the number",
    ),
    ("lines_can_be_left_out", OwnOption(), "through_lines is still True"),
    ("lines_can_be_left_out", HalfAnOption(), "array.wires still change the result"),
    (
        "wires_act_where_lines_lie",
        careless(lambda array: dataclasses.replace(array, layout=Layout(), parts=1)),
        "array.layout changes nothing",
    ),
    ("wires_act_where_lines_lie", with_layout(col_order=None), "cells end elsewhere"),
    (
        "stuck_cells_stay",
        careless(lambda array: dataclasses.replace(array, stuck=None)),
        "cells that are stuck at 4e-05 S conduct",
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_programmer_that_heeds_its_lines_passes(name):
    (check,) = (check for check in checks_for(Divided()) if check.name == name)
    check()


@pytest.mark.parametrize(("name", "plugin", "text"), CARELESS)
def test_a_careless_programmer_fails(name, plugin, text):
    (check,) = (check for check in checks_for(plugin) if check.name == f"check_{name}")
    with pytest.raises(AssertionError) as error:
        check()
    message = str(error.value)
    assert text in message
    assert type(plugin).__name__ in message, "it names the plugin"
    assert "; " in message, "it says what to do"


def test_every_check_of_lines_has_a_programmer_that_fails_it():
    assert {f"check_{name}" for name, _, _ in CARELESS} == set(NAMES)


def test_a_programmer_of_unknown_lines_is_not_loaded():
    @dataclass(frozen=True, kw_only=True)
    class Lost(Programmer):
        lines = "wires"

        def program(self, array, target, ctx):
            return Programmed(conductance=target)

    with pytest.raises(PluginLoadError, match=r"lines='wires'; expected 'path', 'network' or None"):
        verify(Lost, "programmers", "programmer 'lost'")
