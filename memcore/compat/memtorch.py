"""A call of MemTorch's `patch_model` as a configuration of crossbars."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from memcore._text import hint, shown
from memcore.compat.imported import Imported, mapping, number
from memcore.contracts.distributions import Distribution
from memcore.errors import ConfigError

#: Devices by the names of their classes, with the parameters that are called otherwise here.
DEVICES: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "LinearIonDrift": ("linear_ion_drift", {"u_v": "mobility", "d": "thickness"}),
    "VTEAM": ("vteam", {}),
    "Data_Driven": ("data_driven", {}),
    "Data_Driven2021": ("data_driven", {}),
    "Stanford_PKU": ("stanford_pku", {}),
}
#: Parameters that are the same here.
_SAME: Final[Mapping[str, tuple[str, ...]]] = {
    "linear_ion_drift": ("r_on", "r_off"),
    "vteam": (
        *("r_on", "r_off", "v_on", "v_off", "k_on", "k_off"),
        *("alpha_on", "alpha_off", "x_on", "x_off"),
    ),
    "data_driven": (
        *("r_on", "r_off", "A_p", "A_n", "t_p", "t_n", "k_p", "k_n"),
        *("a_p", "a_n", "b_p", "b_n", "eta"),
    ),
    "stanford_pku": (),
}
_SCHEMES: Final = {"DoubleColumn": "differential", "SingleColumn": "offset"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """The arguments of `patch_model`, by the names and with the defaults that they have there."""

    model: Any = None
    memristor_model: Any = None
    memristor_model_params: Mapping[str, Any] | None = None
    module_parameters_to_patch: Any = ()
    mapping_routine: Any = "naive_map"
    transistor: bool = True
    programming_routine: Any = None
    programming_routine_params: Mapping[str, Any] | None = None
    p_l: float | None = None
    scheme: Any = "DoubleColumn"
    tile_shape: tuple[int, int] | None = None
    max_input_voltage: float | None = None
    scaling_routine: Any = "naive_scale"
    scaling_routine_params: Mapping[str, Any] | None = None
    source_resistance: float | None = None
    line_resistance: float | None = None
    ADC_resolution: int | None = None
    ADC_overflow_rate: float = 0.0
    quant_method: str | None = None
    use_bindings: bool = True
    verbose: bool = True


def patch_model(**arguments: Any) -> Imported:
    """The configuration that arguments of MemTorch's `patch_model` describe.

    Functions and classes are given as they are there or by their names, and where MemTorch takes a
    `StochasticParameter`, a `memcore.Normal` or another distribution.

    For example::

        memcore.compat.memtorch.patch_model(
            memristor_model="VTEAM",
            memristor_model_params={"r_on": memcore.Normal(50.0, 10.0, min=1.0)},
            tile_shape=(128, 128),
        ).config

    Args:
        arguments: arguments of `patch_model`, by their names.

    Raises:
        ConfigError: an argument does not exist there, or a value is of another kind.
    """
    names = list(Call.__dataclass_fields__)
    for name in arguments:
        if name not in names:
            raise ConfigError(f"patch_model takes no {shown(name)}{hint(name, names)}")
    call = Call(**arguments)
    device, left_out = _device(call)
    settings: dict[str, Any] = {"device": device, "tile": call.tile_shape}
    settings["mapper"] = _mapper(call)
    settings |= dict(_writing(call)) | dict(_reading(call))
    return Imported(settings, (*left_out, *_left_out(call)))


def effects(non_idealities: Any, **parameters: Any) -> Imported:
    """The effects of MemTorch's `apply_nonidealities`, as settings of a `CrossbarConfig`.

    Args:
        non_idealities: members of its `NonIdeality`, or their names.
        parameters: keywords of the call, such as `conductance_states` and `lrs_proportion`.

    Raises:
        ConfigError: a non-ideality does not exist there, or a parameter of it is no number.
    """
    found: list[dict[str, Any]] = []
    left_out = []
    if not isinstance(non_idealities, Iterable) or isinstance(non_idealities, str):
        raise ConfigError(f"non_idealities={shown(non_idealities)}; expected a list of them")
    for each in non_idealities:
        name = _name(each)
        if name == "FiniteConductanceStates":
            states = number(parameters, "conductance_states", None)
            found.append({"name": "finite_states", "states": states})
        elif name == "DeviceFaults":
            low, high = (number(parameters, f"{end}_proportion", 0.0) for end in ("lrs", "hrs"))
            found.append({"name": "stuck_at", "p_lrs": low, "p_hrs": high})
            if parameters.get("electroform_proportion"):
                left_out.append("electroform_proportion: cells that are not formed; use p_other")
        elif name in ("Endurance", "Retention"):
            left_out.append(f"{name}: give the effect {name.lower()!r} its own parameters")
        elif name == "NonLinear":
            left_out.append("NonLinear: give the effect 'nonlinear_iv' the curve of the device")
        else:
            known = ["FiniteConductanceStates", "DeviceFaults", "Endurance", "Retention"]
            raise ConfigError(f"MemTorch has no {shown(name)}{hint(name, [*known, 'NonLinear'])}")
    return Imported({"nonidealities": found}, tuple(left_out))


def _name(given: Any) -> str:
    """The name of a class, a function, a member of an enumeration, or a text."""
    if isinstance(given, str):
        return given.rpartition(".")[2]
    return str(getattr(given, "__name__", getattr(given, "name", given)))


def _device(call: Call) -> tuple[dict[str, Any], list[str]]:
    if call.memristor_model is None:
        raise ConfigError("patch_model has no memristor_model; expected one, such as 'VTEAM'")
    model = _name(call.memristor_model)
    if model not in DEVICES:
        raise ConfigError(f"memristor_model={shown(model)}{hint(model, DEVICES)}")
    name, renamed = DEVICES[model]
    device: dict[str, Any] = {"name": name}
    left_out = []
    for key, value in mapping(call.memristor_model_params, "memristor_model_params").items():
        if key == "time_series_resolution":  # steps are chosen by the model here
            continue
        here = renamed.get(key, key)
        if here not in (*_SAME[name], *renamed.values()):
            left_out.append(f"memristor_model_params[{key!r}]: 'memcore device {name}' lists all")
        else:
            device[here] = _value(key, value)
    return device, left_out


def _value(key: str, value: Any) -> Any:
    if isinstance(value, int | float | Distribution) and not isinstance(value, bool):
        return value
    raise ConfigError(
        f"memristor_model_params[{key!r}] is {shown(value)}; expected a number, or in place of a "
        "StochasticParameter a distribution such as memcore.Normal(mean, std, min=...)"
    )


def _mapper(call: Call) -> dict[str, Any]:
    scheme = _name(call.scheme)
    if scheme not in _SCHEMES:
        raise ConfigError(f"scheme={shown(scheme)}{hint(scheme, _SCHEMES)}")
    mapper = {"name": _SCHEMES[scheme]}
    return mapper if call.p_l is None else {**mapper, "clip": call.p_l}


def _writing(call: Call) -> Iterator[tuple[str, Any]]:
    if call.programming_routine is None:
        yield "programmer", "direct"
        return
    params = mapping(call.programming_routine_params, "programming_routine_params")
    given = params.get("rel_tol", 0.1)
    yield (
        "programmer",
        {"name": "write_verify", "tolerance": given, "tolerance_of": "target"},
    )


def _reading(call: Call) -> Iterator[tuple[str, Any]]:
    if call.max_input_voltage is not None:
        yield "read_voltage", call.max_input_voltage
    if call.quant_method is not None and call.ADC_resolution is not None:
        yield "adc", {"name": "uniform", "bits": call.ADC_resolution}
    if call.line_resistance or call.source_resistance:
        wires = {"segment": call.line_resistance or 0.0, "driver": call.source_resistance or 0.0}
        yield "nonidealities", [{"name": "ir_drop", **wires}]


def _left_out(call: Call) -> Iterator[str]:
    if call.module_parameters_to_patch:
        yield (
            "module_parameters_to_patch: give memcore.convert "
            "filter_fn=lambda module, name: isinstance(module, (torch.nn.Linear, ...))"
        )
    if _name(call.mapping_routine) != "naive_map":
        yield f"mapping_routine={_name(call.mapping_routine)}: write a mapper of your own"
    if not call.transistor:
        yield "transistor=False: programmer='sequential_half_select' disturbs the neighbours"
    if _name(call.programming_routine) not in ("None", "naive_program"):
        yield f"programming_routine={_name(call.programming_routine)}: write_verify takes its place"
    if call.ADC_resolution is not None and call.quant_method is None:
        yield "ADC_resolution: nothing is quantised there without a quant_method"
    if call.quant_method not in (None, "linear"):
        yield f"quant_method={call.quant_method!r}: levels are equidistant here"
    if call.ADC_overflow_rate:
        percentile = 100 * (1 - number(vars(call), "ADC_overflow_rate"))
        yield (
            "ADC_overflow_rate: adc={'name': 'uniform', 'calibration': 'percentile', "
            f"'percentile': {percentile:g}}} comes near"
        )
    if _name(call.scaling_routine) != "naive_scale" or call.scaling_routine_params:
        yield "scaling_routine: inputs are scaled to the read voltage by memcore.calibrate"
