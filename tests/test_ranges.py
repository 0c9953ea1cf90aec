"""Ranges of parameters: said once in the field, checked once when a plugin is built."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch

import memcore
from memcore import ConfigError, Normal, Parameter, parameter
from memcore.contracts import CONTRACTS
from memcore.contracts.ranges import allowed
from memcore.testing.cases import ReferenceDevice


@dataclass(frozen=True, kw_only=True)
class Ranged(ReferenceDevice):
    """A device with a parameter of every kind."""

    low: Parameter = parameter(1.0, "ohm", "an end", above=0, below="high")
    high: Parameter = parameter(2.0, "ohm", "the other end")
    share: float = parameter(0.5, "1", "a share", within=(0, 1))
    open: float = parameter(0.5, "1", "half open", above=0, at_most=1)
    negative: Parameter = parameter(-1.0, "V", "a threshold", below=0, remedy="give it its sign")
    levels: int = parameter(4, "1", "a count", at_least=2)
    lifetime: float = parameter(math.inf, "s", "may never end", above=0, finite=False)
    scale: float | None = parameter(None, "V", "known or not", above=0)
    law: Literal["sinh", "linear"] = parameter("linear", "1", "a law")
    node: int = parameter(45, "nm", "one of a table", choices=(45, 90))
    curve: tuple[float, ...] = parameter((0.0, 1.0), "A", "a table")
    shot: bool = parameter(True, "1", "whether")
    either: float | tuple[float, float] = parameter(1.0, "A", "a peak or an interval", above=0)


def changed(**parameters: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Ranged(**parameters)
    return str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"low": -1.0}, "Ranged: low=-1.0; expected a finite number of ohm > 0"),
        ({"low": math.inf}, "Ranged: low=inf; expected a finite number of ohm > 0"),
        ({"low": "1"}, "Ranged: low='1'; expected a finite number of ohm > 0"),
        ({"high": True}, "Ranged: high=True; expected a finite number of ohm"),
        ({"high": math.nan}, "Ranged: high=nan; expected a finite number of ohm"),
        ({"share": 1.5}, "Ranged: share=1.5; expected a finite number in [0, 1]"),
        ({"open": 0}, "Ranged: open=0; expected a finite number in (0, 1]"),
        (
            {"negative": 1.0},
            "Ranged: negative=1.0; expected a finite number of V < 0: give it its sign",
        ),
        ({"levels": 1}, "Ranged: levels=1; expected an integer >= 2"),
        ({"levels": 2.5}, "Ranged: levels=2.5; expected an integer >= 2"),
        ({"lifetime": 0.0}, "Ranged: lifetime=0.0; expected a number of s > 0"),
        ({"lifetime": math.nan}, "Ranged: lifetime=nan; expected a number of s > 0"),
        ({"scale": 0.0}, "Ranged: scale=0.0; expected a finite number of V > 0, or None"),
        ({"law": "cosh"}, "Ranged: law='cosh'; expected one of sinh, linear"),
        ({"law": None}, "Ranged: law=None; expected one of sinh, linear"),
        ({"node": 46}, "Ranged: node=46; expected one of 45, 90"),
        ({"curve": (0.0, math.nan)}, "Ranged: curve=(0.0, nan); expected finite numbers of A"),
        ({"curve": 1.0}, "Ranged: curve=1.0; expected finite numbers of A"),
        ({"shot": 1}, "Ranged: shot=1; expected True or False"),
        ({"either": (1.0, 0.0)}, "Ranged: either=(1.0, 0.0); expected a finite number of A > 0"),
        ({"low": 3.0}, "Ranged: low=3.0 and high=2.0; expected low < high"),
    ],
)
def test_a_parameter_outside_its_range_is_refused_with_what_was_expected(parameters, message):
    assert changed(**parameters) == message


@pytest.mark.parametrize(
    "parameters",
    [
        {"share": 0},
        {"share": 1.0},
        {"lifetime": 3.0},
        {"scale": 2.0},
        {"node": 90},
        {"curve": [1, 2.0, 3]},
        {"either": [1.0, 2.0]},
        {"low": torch.tensor(0.5)},
        {"low": torch.empty(0)},
        {"low": torch.tensor([-1.0], device="meta")},
        {"low": torch.tensor([0.5, 3.0])},  # single drawn cells may cross
        {"low": Normal(1.0, 1.0)},
    ],
)
def test_a_parameter_within_its_range_is_taken(parameters):
    Ranged(**parameters)


def test_a_distribution_is_judged_by_its_nominal_value():
    assert "low=Normal(mean=-1.0" in changed(low=Normal(-1.0, 0.1))
    assert changed(low=Normal(3.0, 0.1)).endswith("expected low < high")


def test_every_entry_of_a_tensor_is_looked_at():
    message = "Ranged: 1 of 3 cells drew low outside its range; expected a finite number of ohm > 0"
    assert changed(low=torch.tensor([0.5, -0.1, 0.7])).startswith(message)
    assert "1 of 2 cells" in changed(low=torch.tensor([0.5, math.nan]))


def test_ranges_are_checked_before_what_a_plugin_checks_itself_and_once(monkeypatch):
    from memcore.contracts import contract, ranges

    calls = []
    monkeypatch.setattr(
        contract, "check", lambda plugin: (calls.append(plugin), ranges.check(plugin))
    )

    class Mixin:
        def __post_init__(self) -> None:
            calls.append("mixin")

    @dataclass(frozen=True, kw_only=True)
    class Own(Ranged):
        """Checks the ratio of two parameters."""

        def __post_init__(self) -> None:
            super().__post_init__()
            calls.append(math.log(self.high / self.low))

    @dataclass(frozen=True, kw_only=True)
    class Deeper(Own):
        """Inherits what its base checks."""

    @dataclass(frozen=True, kw_only=True)
    class Mixed(Mixin, Ranged):
        """Has a `__post_init__` from elsewhere."""

    for cls, then in ((Own, [math.log(2)]), (Deeper, [math.log(2)]), (Mixed, ["mixin"])):
        calls.clear()
        made = cls()
        assert calls == [made, *then]
        calls.clear()
        with pytest.raises(ConfigError, match="low=0"):
            cls(low=0.0)
        assert len(calls) == 1


def test_a_parameter_that_is_declared_anew_keeps_its_range_unless_it_gives_one():
    @dataclass(frozen=True, kw_only=True)
    class Anew(Ranged):
        """Has other defaults."""

        low: Parameter = parameter(1.5, "ohm", "an end")
        share: float = parameter(2.0, "1", "more than a share", within=(0, 3))

    assert (allowed(Anew)["low"], allowed(Anew)["share"]) == ("> 0, < high", "in [0, 3]")
    with pytest.raises(ConfigError, match=r"Anew: low=0\.0; expected a finite number of ohm > 0"):
        Anew(low=0.0)


def test_plain_defaults_are_left_to_their_plugin():
    @dataclass(frozen=True, kw_only=True)
    class Plain(ReferenceDevice):
        """Says nothing of its parameters."""

        table: dict = dataclasses.field(default_factory=dict)
        x: float = -1.0

    assert Plain(x="anything").x == "anything"


def test_a_range_is_shown_in_short():
    assert allowed(Ranged) == {
        **{"low": "> 0, < high", "share": "in [0, 1]", "open": "in (0, 1]", "negative": "< 0"},
        **{"levels": ">= 2", "lifetime": "> 0", "scale": "> 0", "either": "> 0"},
        **{"law": "one of sinh, linear", "node": "one of 45, 90"},
    }


@pytest.mark.parametrize("kind", list(CONTRACTS))
def test_the_defaults_of_every_bundled_plugin_are_within_their_ranges(kind):
    for plugin in memcore.registries()[kind].values():
        plugin()
