"""Settings of a configuration that do not go together."""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import nn

from memcore.contracts.converter import Converter
from memcore.contracts.effect import NonIdeality
from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.contracts.mapper import Mapper
from memcore.contracts.records import Context, Stage
from memcore.contracts.transfer import Transfer
from memcore.crossbar.lane import Lane
from memcore.crossbar.training import Rehearsal
from memcore.errors import ConfigError
from memcore.random import Stream

#: Parts of a circuit, as they are called in messages.
_PARTS: Final = {"wires": "wires", "law": "a law of the cells", "series": "an element in series"}


def require_one_product(effects: Mapping[str, NonIdeality]) -> None:
    """Refuse effects of which each has another answer to what multiplies the voltages."""
    products = {name: each for name, each in effects.items() if each.stage is Stage.MVM}
    if len(products) <= 1:
        return
    alone = [name for name, each in products.items() if not each.brings]
    if alone:
        raise ConfigError(
            f"{', '.join(products)} all compute the product, {', '.join(alone)} in a way of its "
            "own; expected one such effect alone, or effects that bring different parts of one "
            "circuit: wires (ir_drop), a law (nonlinear_iv), what is in series (transistor, "
            "selector)"
        )
    names: dict[str, str] = {}
    for name, each in products.items():
        for part in sorted(each.brings):
            other = names.setdefault(part, name)
            if other != name:
                raise ConfigError(
                    f"{other} and {name} both bring {_PARTS.get(part, part)} to the circuit of an "
                    "array; expected one of them: leave the other out"
                )


def require_scalable(dac_per: str, bias: str, training: Rehearsal | None) -> None:
    """Refuse what inputs that are scaled one by one do not go with."""
    if dac_per == "layer":
        return
    if bias == "mapped":
        raise ConfigError(
            "dac_per='vector' with bias='mapped', which would be scaled as the inputs are; "
            "expected bias='digital'"
        )
    if training is not None and training.input_range is not None:
        raise ConfigError(
            "dac_per='vector' with an input_range of training, which is one for all vectors; "
            "expected one of the two"
        )


def require_bounded(
    management: str,
    dac: Converter | None,
    adcs: Sequence[Converter],
    bias: str,
    training: Rehearsal | None,
) -> None:
    """Refuse reads that should be repeated where they clip, and cannot be.

    Args:
        management: of the outputs that clip.
        dac: of the inputs.
        adcs: the ADC of each lane; () without any.
        bias: where biases are added.
        training: what training mode reads.

    Raises:
        ConfigError: there is no ADC with a highest level that outputs clip at, halved inputs do not
            halve the currents, or training finds the range of the ADC.
    """
    if management == "none":
        return
    wrong = _unbounded(adcs) or _not_halved(dac, bias)
    if wrong is None and training is not None and training.output_range is not None:
        wrong = "an output_range of training, which learns from what clips", "one of the two"
    if wrong is not None:
        raise ConfigError(
            f"bound_management={management!r} came with {wrong[0]}; expected {wrong[1]}, or "
            "bound_management='none'"
        )


def _unbounded(adcs: Sequence[Converter]) -> tuple[str, str] | None:
    """What came, and what was expected, where nothing clips at a highest level."""
    if not adcs:
        return "no ADC, at which nothing clips", 'adc="uniform" or another'
    if all(map(_has_ends, adcs)):
        return None
    return "an ADC without evenly spaced levels that end", 'adc="uniform" or another with such'


def _not_halved(dac: Converter | None, bias: str) -> tuple[str, str] | None:
    """The same where half of the inputs is not half of the currents."""
    if isinstance(_form_of(dac), SerialLevels):
        came = "a DAC that applies inputs digit by digit, whose currents are not halved with them"
        return came, 'dac="uniform", another that applies inputs at once, or None'
    if bias == "mapped":
        return "bias='mapped', which would not be halved with the inputs", "bias='digital'"
    return None


def _has_ends(adc: Converter) -> bool:
    if adc.counts_open:
        return False
    form = _form_of(adc)
    return isinstance(form, UniformLevels | Transfer) and not isinstance(form, SerialLevels)


def _form_of(converter: Converter | None) -> nn.Module | None:
    """What a converter is for some range."""
    if converter is None:
        return None
    return converter.bind(torch.tensor([-1.0, 1.0], device="cpu"), Context(random=Stream(0)))


def require_lanes(lanes: Sequence[Lane], mapper: Mapper | None, adcs: Sequence[Converter]) -> None:
    """Refuse lanes of arrays that have none, or of which only some are converted.

    Args:
        lanes: what is special about each lane.
        mapper: cuts weights into lanes.
        adcs: the ADC of each lane; () without any.
    """
    if not lanes:
        return
    if mapper is None:
        raise ConfigError(
            "lanes of given conductances, which no mapping cuts into lanes; expected lanes=()"
        )
    for number, lane in enumerate(lanes):
        if lane.adc is not None and not adcs:
            raise ConfigError(
                f"lanes[{number}] has an ADC, but adc is None; expected adc=..., which lanes "
                "without one of their own have"
            )
    told = [number for number, adc in enumerate(adcs) if adc.counts_open]
    if told and any(lane.has_own_cells or lane.adc is not None for lane in lanes):
        raise ConfigError(
            f"sense amplifiers of lane {told[0]} draw sums from one table for all lanes; expected "
            "lanes without device, nonidealities and adc of their own"
        )


def require_ranges(
    training: Rehearsal | None, dac: Converter | None, adcs: Sequence[Converter]
) -> None:
    """Refuse ranges that training should find and no converter has.

    Args:
        training: what training mode reads.
        dac: of the inputs.
        adcs: the ADC of each lane; () without any.
    """
    if training is not None and training.input_range is not None:
        _require_input_range(dac)
    if training is not None and training.output_range is not None:
        _require_output_range(adcs)


def _require_input_range(dac: Converter | None) -> None:
    if dac is None:
        raise ConfigError(
            "training has an input_range, but there is no DAC that has a range; expected "
            'dac="uniform" or another'
        )
    if dac.observe(torch.zeros(0, device="cpu")) is not None:
        raise ConfigError(
            "training has an input_range, but the range of the DAC is fixed; expected a DAC "
            "without full_scale"
        )


def _require_output_range(adcs: Sequence[Converter]) -> None:
    if not adcs:
        raise ConfigError(
            "training has an output_range, but there is no ADC that has a range; expected "
            'adc="uniform" or another'
        )
    for adc in adcs:
        if adc.counts_open or adc.differs or not _is_even(adc):
            raise ConfigError(
                f"training has an output_range, but {type(adc).__name__} has no equidistant levels "
                "that are the same for all bit lines, whose range alone is learned; expected "
                'adc="uniform", or no output_range and a calibrated range'
            )
        if adc.observe(torch.zeros(0, device="cpu")) is not None:
            raise ConfigError(
                "training has an output_range, but the range of the ADC is fixed; expected an ADC "
                "without full_scale"
            )


def _is_even(adc: Converter) -> bool:
    """Whether a converter has equidistant levels, without digits that are applied one by one."""
    form = _form_of(adc)
    return isinstance(form, UniformLevels) and not isinstance(form, SerialLevels)
