"""`checks_for` and `parametrize_with_checks`: every promise of a plugin's contract, one by one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from memcore._text import hint
from memcore.contracts.contract import Contract, contract_of
from memcore.contracts.device import Memristor
from memcore.contracts.layer import Layer
from memcore.errors import ArgumentTypeError, ConfigError
from memcore.testing import (
    checks_common,
    checks_compression,
    checks_converter,
    checks_cost,
    checks_device,
    checks_device_dynamics,
    checks_executor,
    checks_layer,
    checks_layer_life,
    checks_mapper,
    checks_nonideality,
    checks_programmer,
    checks_programmer_lines,
    checks_update,
)
from memcore.testing.cases import describe
from memcore.testing.layer_case import LayerCase

Function = Callable[..., None]
#: Why a check is expected to fail, by its name; or a function of the plugin that tells so.
ExpectedFailures = Mapping[str, str] | Callable[[Any], Mapping[str, str]]

CHECKS: dict[str, tuple[Function, ...]] = {
    "devices": (*checks_device.CHECKS, *checks_device_dynamics.CHECKS),
    "nonidealities": checks_nonideality.CHECKS,
    "mappers": checks_mapper.CHECKS,
    "programmers": (*checks_programmer.CHECKS, *checks_programmer_lines.CHECKS),
    "converters": checks_converter.CHECKS,
    "costs": checks_cost.CHECKS,
    "compressions": checks_compression.CHECKS,
    "updates": checks_update.CHECKS,
    "executors": checks_executor.CHECKS,
    "layers": (*checks_layer.CHECKS, *checks_layer_life.CHECKS),
}


@dataclass(frozen=True, eq=False)
class Check:
    """One promise of one plugin; calling it raises an `AssertionError` if it is broken."""

    function: Function
    plugin: Contract | type[Layer]
    device: Memristor | None = None  #: to which `plugin` belongs, if it is one of its effects
    case: LayerCase | None = None  #: the trial of `plugin`, if it is a layer

    @property
    def name(self) -> str:
        """The function's name, as in `expected_failures`."""
        return self.function.__name__

    def __call__(self) -> None:
        """Run the check; an error inside the plugin is a broken promise too."""
        arguments = [self.plugin if self.case is None else self.case]
        try:
            self.function(*arguments, *([] if self.device is None else [self.device]))
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(
                f"{self._described}: {self.name} ended with {type(error).__name__}: {error}; "
                "make the call in the traceback above work"
            ) from error

    @property
    def _described(self) -> str:
        return str(self.case) if isinstance(self.plugin, type) else describe(self.plugin)

    def __str__(self) -> str:
        return f"{self._described}-{self.name}"


def checks_for(plugin: Contract | type[Layer]) -> Iterator[Check]:
    """All checks of a plugin, and those of the effects that a device brings along.

    Args:
        plugin: an instance of a device, non-ideality, mapper, programmer, converter, cost model,
            compression pass, update rule or executor; or the class of a layer, which is tried in
            each of its `trials`.

    Raises:
        ArgumentTypeError: it is none of these.
        ConfigError: a layer has no trials.

    Examples:
        >>> for check in checks_for(MyRram()):  # doctest: +SKIP
        ...     check()
    """
    if isinstance(plugin, type) and issubclass(plugin, Layer):
        yield from _checks_for_layer(plugin)
        return
    if not isinstance(plugin, Contract) or contract_of(type(plugin)) is None:
        raise ArgumentTypeError(f"{plugin!r} is no memcore plugin{_remedy(plugin)}")
    for function in (*checks_common.CHECKS, *CHECKS[plugin.kind]):
        yield Check(function, plugin)
    if isinstance(plugin, Memristor):
        yield from _checks_for_effects(plugin)


def _remedy(plugin: Any) -> str:
    if isinstance(plugin, Layer):
        return f"; pass the class, {type(plugin).__name__}, not a converted layer"
    return "; pass an instance, MyRram(), not the class" if isinstance(plugin, type) else ""


def _checks_for_layer(layer: type[Layer]) -> Iterator[Check]:
    cases = LayerCase.all_of(layer)
    if not cases:
        raise ConfigError(
            f"{layer.__name__} has no trials; define a classmethod trials that "
            "returns digital modules with the arguments of a call: "
            "[(torch.nn.Linear(7, 5), (torch.randn(6, 7),))]"
        )
    for case in cases:
        yield from (Check(function, layer, case=case) for function in CHECKS["layers"])


def _checks_for_effects(device: Memristor) -> Iterator[Check]:
    for effect in device.effects():
        yield from (Check(function, effect) for function in checks_common.CHECKS)
        yield from (Check(function, effect, device) for function in checks_nonideality.CHECKS)


def parametrize_with_checks(
    *plugins: Contract | type[Layer], expected_failures: ExpectedFailures | None = None
) -> pytest.MarkDecorator:
    """Parametrise a test over all checks of some plugins.

    Args:
        plugins: instances of plugins, and classes of layers; several parameter sets of one class
            are welcome.
        expected_failures: check names with the reason why each cannot hold; a check that holds
            all the same then fails the test, so that the list stays true. A function of the
            plugin or of an effect that a device brings gives each its own.

    Raises:
        ConfigError: there is no such check.

    Examples:
        >>> @parametrize_with_checks(  # doctest: +SKIP
        ...     MyRram(), expected_failures={"check_holds_its_state_at_0_volt": "volatile"}
        ... )
        ... def test_conforms(check):
        ...     check()
    """
    parameters = []
    for plugin in plugins:
        for check in checks_for(plugin):
            reasons = expected_failures or {}
            reasons = reasons(check.plugin) if callable(reasons) else reasons
            _require_known(reasons)
            marks = _marks(reasons.get(check.name))
            parameters.append(pytest.param(check, id=str(check), marks=marks))
    return pytest.mark.parametrize("check", parameters)


def _marks(reason: str | None) -> list[pytest.MarkDecorator]:
    return [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]


def _require_known(reasons: Mapping[str, str]) -> None:
    everything = (*checks_common.CHECKS, *(f for checks in CHECKS.values() for f in checks))
    known = sorted({function.__name__ for function in everything})
    for name in reasons:
        if name not in known:
            raise ConfigError(
                f"expected_failures names {name!r}, which is no check{hint(name, known)}"
            )
