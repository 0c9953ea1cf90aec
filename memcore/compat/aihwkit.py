"""Pulsed devices of aihwkit, such as those of its presets, and the weights of its checkpoints."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from memcore._text import hint, shown
from memcore.compat.aihwkit_weights import weights
from memcore.compat.imported import Imported, normal, number
from memcore.errors import ConfigError

__all__ = ["DEVICES", "device", "weights"]

#: Devices by the names of their classes.
DEVICES: Final = {
    "ConstantStepDevice": "constant_step",
    "LinearStepDevice": "linear_step",
    "SoftBoundsDevice": "soft_bounds",
    "ExpStepDevice": "exp_step",
    "PowStepDevice": "pow_step",
}
#: Parameters that only some devices have, by their names there and here.
_OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "exp_step": {name: name for name in ("A_up", "A_down", "gamma_up", "gamma_down", "a", "b")},
    "linear_step": {"gamma_up": "gamma_up", "gamma_down": "gamma_down"},
}
_ADDITIVE: Final = ("linear_step", "soft_bounds")
#: Lowest and highest position that the conductances of the defaults allow, in weights.
_LOWEST: Final = -2.95
_LEAST: Final = 0.01
#: What has no counterpart, where it is not 0.
_MISSING: Final = {
    "lifetime": "a leak in training steps; the effects 'drift' and 'retention' count seconds",
    "diffusion": "a random walk in training steps",
    "corrupt_devices_prob": "use the effect 'stuck_at'",
    "reset_std": "weights are reset by writing them",
}


def device(preset: Any, name: str | None = None) -> Imported:
    """The device that a pulsed device of aihwkit describes, published in weights.

    A preset class such as `ReRamESPresetDevice()` is given as an instance; aihwkit itself is not
    imported. Weights become conductances by the defaults of `g_zero` and `g_unit`.

    Args:
        preset: a pulsed device of aihwkit, or its parameters by their names there.
        name: name of its class there, such as "ExpStepDevice"; needed with parameters alone.

    Raises:
        ConfigError: there is no such device here, or a parameter is no number.
    """
    values = dict(preset) if isinstance(preset, Mapping) else dict(_attributes(preset))
    if name is None:
        ancestors = [each.__name__ for each in type(preset).__mro__]
        name = next((each for each in ancestors if each in DEVICES), type(preset).__name__)
    if name not in DEVICES:
        raise ConfigError(
            f"a {shown(name)} is none of aihwkit's that are here{hint(name, DEVICES)}"
        )
    here = DEVICES[name]
    settings = {"name": here, **dict(_common(values)), **dict(_own(here, values))}
    return Imported({"device": settings}, tuple(_left_out(here, values)))


def _attributes(preset: Any) -> Iterator[tuple[str, Any]]:
    for key in dir(preset):
        if key[0] != "_" and not callable(getattr(preset, key)):
            yield key, getattr(preset, key)


def _number(values: Mapping[str, Any], key: str, default: float) -> float:
    return float(number(values, key, default))


def _common(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "dw_min", _number(values, "dw_min", 0.001)
    yield "c2c", _number(values, "dw_min_std", 0.3)
    yield "gain", normal(1.0, _number(values, "dw_min_dtod", 0.3), min=_LEAST)
    yield "up_down", _number(values, "up_down", 0.0)
    yield "imbalance", normal(0.0, _number(values, "up_down_dtod", 0.01))
    high, low = _number(values, "w_max", 0.6), _number(values, "w_min", -0.6)
    spread = abs(high) * _number(values, "w_max_dtod", 0.3)
    yield "w_max", normal(high, spread, min=_LEAST * high)
    spread = abs(low) * _number(values, "w_min_dtod", 0.3)
    yield "w_min", normal(low, spread, min=_LOWEST, max=_LEAST * low) if low else low
    yield "write_std", _number(values, "write_noise_std", 0.0)


def _own(here: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for there, name in _OWN.get(here, {}).items():
        if there in values:
            spread = _number(values, f"{there}_dtod", 0.0)
            yield name, normal(_number(values, there, 0.0), spread)
    if here == "pow_step":
        for name in ("gamma_up", "gamma_down"):
            spread = _number(values, "pow_gamma_dtod", 0.0)
            yield name, normal(_number(values, "pow_gamma", 1.0), spread)
    if here in _ADDITIVE and "mult_noise" in values:
        yield "noise", "multiplicative" if values["mult_noise"] else "additive"


def _left_out(here: str, values: Mapping[str, Any]) -> Iterator[str]:
    for key, why in _MISSING.items():
        if values.get(key):
            yield f"{key}: {why}"
    for key in ("pow_up_down", "pow_up_down_dtod"):
        if here == "pow_step" and values.get(key):
            yield f"{key}: give gamma_up and gamma_down powers of their own"
