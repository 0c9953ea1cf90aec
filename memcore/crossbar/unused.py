"""Settings of a configuration that change nothing, said once when arrays are made."""

from collections.abc import Iterator
from inspect import isfunction

from memcore.contracts.contract import Contract
from memcore.contracts.programmer import Programmer
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.effects import is_off
from memcore.errors import NoEffectWarning, warn
from memcore.registry.instances import programmers
from memcore.registry.specs import provided_name

#: K, the temperature of a configuration that says none.
_USUAL = CrossbarConfig.temperature


def warn_of_unused(config: CrossbarConfig) -> None:
    """Say which settings have no effect on arrays that are read.

    Warns:
        NoEffectWarning: one for each of them.
    """
    for message in (
        *_temperature(config),
        *_conversions(config),
        *dict.fromkeys(each for lane in config.of_lanes or (config,) for each in _pulses(lane)),
        *_spares(config),
    ):
        warn(message, NoEffectWarning)


def _temperature(config: CrossbarConfig) -> Iterator[str]:
    effects = (effect for effect in config.effects.values() if not is_off(effect))
    first = (*config.devices, config.mapper, config.programmer, config.dac)
    parts = (*first, *config.adcs, *effects)
    if config.temperature != _USUAL and not any(map(_feels_temperature, parts)):
        yield (
            f"temperature={config.temperature:g} K changes nothing: neither "
            f"{provided_name(config.devices[0])!r} nor an effect feels it; expected an effect such "
            "as 'temperature' or 'thermal_noise', or no temperature"
        )


def _feels_temperature(part: Contract | None) -> bool:
    if part is None or part.feels_temperature is not None:
        return part is not None and bool(part.feels_temperature)
    methods = (x for base in type(part).__mro__ for x in vars(base).values() if isfunction(x))
    return any("temperature" in method.__code__.co_names for method in methods)


def _conversions(config: CrossbarConfig) -> Iterator[str]:
    if config.adc is None and config.adc_per != CrossbarConfig.adc_per:
        yield (
            f"adc_per={config.adc_per!r} changes nothing without an ADC; expected adc=..., or no "
            "adc_per"
        )


def _spares(config: CrossbarConfig) -> Iterator[str]:
    if config.spare_cols and config.faults == "ignored":
        yield (
            f"spare_cols={config.spare_cols} carry nothing, since faults are ignored; expected "
            "faults='avoided', or no spare_cols"
        )


def _pulses(config: CrossbarConfig) -> Iterator[str]:
    chosen, device = config.programmer, config.device
    if chosen is None or chosen.sends_pulses or device.programmer not in programmers:
        return
    own: type[Programmer] = programmers[device.programmer]
    if own.sends_pulses:
        name, kind = provided_name(chosen), provided_name(device)
        yield (
            f"programmer={name!r} sends no pulses: what {kind!r} knows of them, steps and their "
            f"noise, has no effect before a training in place; expected "
            f"programmer={device.programmer!r}, which it has by default, or another that pulses"
        )
