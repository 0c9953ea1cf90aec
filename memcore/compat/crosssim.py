"""A parameter file of CrossSim 3 as a configuration of crossbars."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from memcore._text import shown
from memcore.compat.imported import Imported, number
from memcore.errors import ConfigError

#: Styles of a core by their numbers.
_BALANCED: Final = 1
_SLICED: Final = 2
_OFFSET: Final = 3
_ADCS: Final = {
    "RampADC": "ramp",
    "SarADC": "sar",
    "PipelineADC": "pipeline",
    "CyclicADC": "pipeline",
}
#: Ranges of ADCs that are set by calibration.
_CALIBRATED: Final = 1

Section = Mapping[str, Any]


def parameters(source: str | Path | Section) -> Imported:
    """The configuration that CrossSim parameters describe, for products of a matrix and a vector.

    Devices get the window of the file and are ideal otherwise; errors of writing and noise of reads
    of its generic models become effects. Line resistances there are shares of Rmin.

    Args:
        source: path of a JSON file that CrossSim wrote, or its content.

    Raises:
        ConfigError: the file cannot be read, or is no such file.
    """
    if not isinstance(source, Mapping | str | Path):
        raise ConfigError(
            f"source={shown(source)}; expected the path of a JSON file or its content"
        )
    content = source if isinstance(source, Mapping) else _read(Path(source))
    core, xbar = (_section(content, name) for name in ("core", "xbar"))
    device = _section(xbar, "device")
    g_max = 1 / number(device, "Rmin", 1e3, above=0)
    settings: dict[str, Any] = {
        "device": {
            "name": "ideal",
            "r_on": float(device.get("Rmin", 1e3)),
            "r_off": float(number(device, "Rmax", 1e4, above=0)),
        },
        "mapper": _mapper(core, device),
        "tile": (core.get("rows_max", 1024), core.get("cols_max", 1024)),
        "nonidealities": [*_effects(device, g_max), *_wires(xbar, device)],
    }
    if device.get("Vread"):
        settings["read_voltage"] = float(number(device, "Vread"))
    settings |= dict(_converters(xbar))
    if core.get("style", _BALANCED) == _BALANCED and "adc" in settings:
        in_array = _section(core, "balanced").get("subtract_current_in_xbar", True)
        settings["adc_per"] = "output" if in_array else "column"
    return Imported(settings, tuple(_left_out(core, xbar, device)))


def _read(path: Path) -> Section:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"the parameters '{path}' cannot be read: {error}") from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"'{path}' holds {shown(content)}; expected the sections of CrossSim")
    return content


def _section(content: Section, name: str) -> Section:
    section = content.get(name, {})
    if not isinstance(section, Mapping):
        raise ConfigError(
            f"{name} is {shown(section)}; expected a section of CrossSim's parameters"
        )
    return section


def _mapper(core: Section, device: Section) -> dict[str, Any]:
    style = core.get("style", _BALANCED)
    if style == _SLICED:
        sliced = _section(core, "bit_sliced")
        slices, bits = number(sliced, "num_slices", 2, above=0), number(core, "weight_bits") or 8
        encoding = "differential" if sliced.get("style", _BALANCED) == _BALANCED else "offset"
        cell = number(device, "cell_bits")
        each = cell if cell > 0 else -(-(bits - 1) // slices)
        return {
            "name": "bit_slice",
            "weight_bits": bits,
            "slice_bits": each,
            "encoding": encoding,
        }
    if style not in (_BALANCED, _OFFSET):
        raise ConfigError(f"core.style={shown(style)}; expected 1, 2 or 3")
    return {"name": "differential" if style == _BALANCED else "offset"}


def _effects(device: Section, g_max: float) -> Iterator[dict[str, Any]]:
    bits = number(device, "cell_bits")
    if bits > 0:
        yield {"name": "finite_states", "states": 2**bits}
    for part, name in (("programming_error", "c2c"), ("read_noise", "read_noise")):
        error = _section(device, part)
        size = number(error, "magnitude")
        if not error.get("enable") or not size:
            continue
        relative, absolute = ("std", "absolute") if name == "c2c" else ("relative", "std")
        if error.get("model") == "NormalProportionalDevice":
            made = {"name": name, relative: size, absolute: 0.0}
        elif error.get("model") == "NormalIndependentDevice":
            made = {"name": name, relative: 0.0, absolute: size * g_max}
        else:
            continue
        yield {**made, "distribution": "normal"} if name == "c2c" else made


def _wires(xbar: Section, device: Section) -> Iterator[dict[str, Any]]:
    wires = _section(_section(xbar, "array"), "parasitics")
    if wires.get("enable"):
        unit = number(device, "Rmin", 1e3, above=0)
        lines = {key: number(wires, f"Rp_{key[:3]}") * unit for key in ("row", "col")}
        word = 0.0 if wires.get("gate_input") else lines["row"]
        yield {"name": "ir_drop", "word_line": word, "bit_line": lines["col"]}


def _converters(xbar: Section) -> Iterator[tuple[str, dict[str, Any]]]:
    adc, dac = (_section(_section(xbar, name), "mvm") for name in ("adc", "dac"))
    if number(adc, "bits") > 0:
        yield "adc", {"name": _ADCS.get(str(adc.get("model")), "uniform"), "bits": adc["bits"]}
    if number(dac, "bits") > 0:
        if dac.get("input_bitslicing"):
            steps = dac.get("slice_size", 1)
            yield "dac", {"name": "bit_serial", "bits": dac["bits"], "bits_per_step": steps}
        else:
            yield "dac", {"name": "uniform", "bits": dac["bits"]}


def _left_out(core: Section, xbar: Section, device: Section) -> Iterator[str]:
    if device.get("infinite_on_off_ratio"):
        yield "infinite_on_off_ratio: Rmax is kept; raise r_off to come near"
    for part in ("programming_error", "read_noise", "drift_error"):
        error = _section(device, part)
        generic = ("NormalProportionalDevice", "NormalIndependentDevice")
        if error.get("enable") and (part == "drift_error" or error.get("model") not in generic):
            yield f"{part}: model {error.get('model')!r}; see 'memcore plugins' for devices"
    if _section(core, "balanced").get("style") == 2 and core.get("style", 1) == _BALANCED:
        yield "balanced.style=2: the two cells of a weight are not two-sided here"
    if core.get("complex_matrix") or core.get("complex_input"):
        yield "complex_matrix and complex_input: weights are real"
    if _section(xbar, "array").get("Icol_max"):
        yield "array.Icol_max: currents of columns have no limit but that of the ADC"
    adc = _section(_section(xbar, "adc"), "mvm")
    if number(adc, "bits") > 0:
        if adc.get("adc_range_option") != _CALIBRATED or adc.get("calibrated_range"):
            yield "adc range: memcore.calibrate sets it on typical inputs"
        noisy = [key for key in adc if key.startswith("sigma_") and adc[key]]
        if noisy:
            yield f"adc {', '.join(noisy)}: give the ADC its errors, 'memcore plugins' lists it"
        if adc.get("stochastic_rounding"):
            yield "adc stochastic_rounding: values go to the nearest level"
    if _section(_section(core, "mapping"), "weights").get("percentile") not in (None, 1.0):
        yield "mapping.weights.percentile: give the mapper clip"
