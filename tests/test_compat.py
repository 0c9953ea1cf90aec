"""What other simulators describe becomes the same thing here, or is said to be left out."""

import json
from pathlib import Path
from typing import Any

import pytest

import memcore
from memcore import compat
from memcore.compat.memtorch import Call
from memcore.errors import ConfigError

ROOT = Path(__file__).parents[1]


# -- MemTorch --------------------------------------------------------------------------------------


def test_a_call_of_patch_model_becomes_a_configuration() -> None:
    imported = compat.memtorch.patch_model(
        memristor_model="memtorch.bh.memristor.VTEAM",
        memristor_model_params={
            "time_series_resolution": 1e-10,
            "r_on": memcore.Normal(50.0, 10.0, min=1.0),
            "r_off": 1e3,
        },
        tile_shape=(64, 32),
        scheme="Scheme.SingleColumn",
        max_input_voltage=0.3,
        line_resistance=2.0,
        source_resistance=20.0,
        ADC_resolution=8,
        quant_method="linear",
        verbose=False,
    )
    assert imported.left_out == ()
    assert imported.config == memcore.CrossbarConfig(
        device=memcore.devices["vteam"](r_on=memcore.Normal(50.0, 10.0, min=1.0), r_off=1e3),
        mapper="offset",
        programmer="direct",
        tile=(64, 32),
        read_voltage=0.3,
        adc={"name": "uniform", "bits": 8},
        nonidealities=[{"name": "ir_drop", "segment": 2.0, "driver": 20.0}],
    )


def test_parameters_that_are_called_otherwise_are_renamed() -> None:
    params = {"u_v": 2e-14, "d": 5e-9, "r_on": 10.0, "unheard_of": 1.0}
    imported = compat.memtorch.patch_model(
        memristor_model="LinearIonDrift", memristor_model_params=params
    )
    device: Any = imported.device
    assert (device.mobility, device.thickness, device.r_on) == (2e-14, 5e-9, 10.0)
    assert any("unheard_of" in each for each in imported.left_out)


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [
        ("module_parameters_to_patch", ["Linear"], "filter_fn"),
        ("mapping_routine", "their_map", "a mapper of your own"),
        ("transistor", False, "sequential_half_select"),
        ("programming_routine", "their_routine", "write_verify"),
        ("ADC_resolution", 8, "quant_method"),
        ("quant_method", "tanh", "equidistant"),
        ("ADC_overflow_rate", 0.01, "'percentile': 99"),
        ("scaling_routine", "their_scale", "memcore.calibrate"),
    ],
)
def test_what_has_no_counterpart_is_said(argument: str, value: object, told: str) -> None:
    imported = compat.memtorch.patch_model(memristor_model="VTEAM", **{argument: value})
    assert any(argument.partition("_routine")[0] in e and told in e for e in imported.left_out)


def test_a_routine_of_pulses_becomes_write_verify_with_its_tolerance() -> None:
    imported = compat.memtorch.patch_model(
        memristor_model="VTEAM",
        programming_routine="naive_program",
        programming_routine_params={"rel_tol": 0.05},
    )
    programmer: Any = imported.config.programmer
    assert (programmer.tolerance, programmer.tolerance_of) == (0.05, "target")
    assert imported.left_out == ()


def test_a_misspelt_argument_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tile_shape'"):
        compat.memtorch.patch_model(memristor_model="VTEAM", tile_shap=(1, 1))
    with pytest.raises(ConfigError, match="did you mean 'VTEAM'"):
        compat.memtorch.patch_model(memristor_model="VTEAN")
    with pytest.raises(ConfigError, match="in place of a StochasticParameter"):
        compat.memtorch.patch_model(
            memristor_model="VTEAM", memristor_model_params={"r_on": lambda: 1.0}
        )


def test_effects_of_apply_nonidealities() -> None:
    imported = compat.memtorch.effects(
        ["NonIdeality.FiniteConductanceStates", "NonIdeality.DeviceFaults", "Retention"],
        conductance_states=5,
        lrs_proportion=0.1,
        hrs_proportion=0.2,
    )
    assert imported.settings["nonidealities"] == [
        {"name": "finite_states", "states": 5},
        {"name": "stuck_at", "p_lrs": 0.1, "p_hrs": 0.2},
    ]
    assert "retention" in imported.left_out[0]
    with pytest.raises(ConfigError, match="did you mean 'DeviceFaults'"):
        compat.memtorch.effects(["DeviceFault"])


def test_the_migration_page_covers_every_argument() -> None:
    page = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    assert [name for name in Call.__dataclass_fields__ if f"`{name}" not in page] == []


# -- CrossSim --------------------------------------------------------------------------------------


def crosssim(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "core": {"style": 1, "rows_max": 64, "cols_max": 32, "balanced": {}},
        "xbar": {
            "device": {
                "cell_bits": 4,
                "Rmin": 1e4,
                "Rmax": 1e6,
                "Vread": 0.1,
                "programming_error": {
                    "enable": True,
                    "model": "NormalProportionalDevice",
                    "magnitude": 0.05,
                },
                "read_noise": {
                    "enable": True,
                    "model": "NormalIndependentDevice",
                    "magnitude": 0.02,
                },
            },
            "array": {"parasitics": {"enable": True, "Rp_row": 1e-4, "Rp_col": 2e-4}},
            "adc": {"mvm": {"model": "SarADC", "bits": 7, "adc_range_option": 1}},
            "dac": {"mvm": {"model": "QuantizerDAC", "bits": 6}},
        },
    }
    return {**content, **changes}


def test_a_parameter_file_of_crosssim_becomes_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    path.write_text(json.dumps(crosssim()))
    imported = compat.crosssim.parameters(path)
    assert imported.left_out == ()
    assert imported.config == memcore.CrossbarConfig(
        device={"name": "ideal", "r_on": 1e4, "r_off": 1e6},
        mapper="differential",
        tile=(64, 32),
        read_voltage=0.1,
        adc={"name": "sar", "bits": 7},
        dac={"name": "uniform", "bits": 6},
        nonidealities=[
            {"name": "finite_states", "states": 16},
            {"name": "c2c", "std": 0.05, "absolute": 0.0, "distribution": "normal"},
            {"name": "read_noise", "relative": 0.0, "std": 0.02 * (1 / 1e4)},
            {"name": "ir_drop", "word_line": 1.0, "bit_line": 2.0},
        ],
    )


def test_slices_of_crosssim_become_slices() -> None:
    core = {"style": 2, "weight_bits": 8, "bit_sliced": {"style": 3, "num_slices": 4}}
    content = crosssim(core=core)
    content["xbar"]["device"]["cell_bits"] = 0
    mapper: Any = compat.crosssim.parameters(content).config.mapper
    assert (mapper.weight_bits, mapper.slice_bits, mapper.encoding) == (8, 2, "offset")


def test_models_of_crosssim_without_a_counterpart_are_said() -> None:
    content = crosssim()
    content["xbar"]["device"]["programming_error"]["model"] = "SONOS"
    content["xbar"]["device"]["infinite_on_off_ratio"] = True
    told = " ".join(compat.crosssim.parameters(content).left_out)
    assert "programming_error: model 'SONOS'" in told
    assert "infinite_on_off_ratio" in told


def test_a_file_that_is_none_of_crosssims_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ConfigError, match="expected the sections of CrossSim"):
        compat.crosssim.parameters(tmp_path / "a.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        compat.crosssim.parameters(tmp_path / "missing.json")


# -- NeuroSim --------------------------------------------------------------------------------------


def test_memory_states_of_neurosim_become_levels_with_their_spread(tmp_path: Path) -> None:
    path = tmp_path / "mem_states.csv"
    path.write_text("1e-6,3e-8\n2e-6,4e-8\n3e-6,0\n4e-6,0\n")
    imported = compat.neurosim.mem_states(path)
    config = imported.config
    states, written = config.nonidealities
    device: Any = config.device
    assert device.r_on == pytest.approx(1 / 4e-6)
    assert device.r_off == pytest.approx(1 / 1e-6)
    assert states.states == 4  # type: ignore[attr-defined]
    assert written.absolute == pytest.approx(2.5e-8)  # type: ignore[attr-defined]
    assert imported.left_out == ("spreads: from 0 to 4e-08, here the same for all",)


def test_levels_that_are_not_equally_spaced_are_said(tmp_path: Path) -> None:
    path = tmp_path / "mem_states.csv"
    path.write_text("1e-6\n1.5e-6\n3e-6\n")
    (told,) = compat.neurosim.mem_states(path).left_out
    assert "0.5 of a step" in told


@pytest.mark.parametrize("text", ["1e-6,1,2\n1e-5,1,2\n", "1e-6\n", "0\n1e-6\n", "a,b\n", ""])
def test_a_table_of_states_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ConfigError, match="expected"):
        compat.neurosim.mem_states(tmp_path / "t.csv")


def test_outputs_of_neurosim_become_an_adc_with_noise(tmp_path: Path) -> None:
    path = tmp_path / "output_noise.csv"
    path.write_text("\n".join(f"{code},{0.3 if code % 2 else 0.4}" for code in range(16)))
    imported = compat.neurosim.output_noise(path)
    adc: Any = memcore.CrossbarConfig(device="ideal", **imported.settings).adc
    assert adc.bits == 4
    assert adc.noise_std == pytest.approx(0.125**0.5 / 15)
    assert "spreads" in imported.left_out[0]
    path.write_text("2,0.1\n1,0.1\n")
    with pytest.raises(ConfigError, match="expected means that rise"):
        compat.neurosim.output_noise(path)


# -- XBTorch ---------------------------------------------------------------------------------------


def written(folder: Path, name: str, rows: Any) -> Path:
    path = folder / name
    path.write_text("\n".join(" ".join(map(repr, row)) for row in rows))
    return path


def test_jump_tables_of_xbtorch_become_the_mean_curve_and_its_spread(tmp_path: Path) -> None:
    places = [1e-6 * (1 + 0.5 * k) for k in range(5)]  # 1 to 3 uS
    jumps = [0.0, 1e-7, 2e-7]
    half = [0.25, 0.75, 1.0]  # of 0, 0.1 and 0.2 uS: mean 0.1 uS
    files = [
        written(tmp_path, "g", [[g] for g in places]),
        written(tmp_path, "dg", [[j] for j in jumps]),
        written(tmp_path, "cdf", [half] * 5),
    ]
    back = [files[0], written(tmp_path, "rdg", [[-j] for j in jumps]), files[2]]
    device: Any = compat.xbtorch.tables(*files, *back).device
    assert device.ltp[0] == pytest.approx([1e-6 + 1e-7 * k for k in range(21)])
    assert device.ltd[0] == pytest.approx([3e-6 - 1e-7 * k for k in range(21)])
    assert device.std_set == pytest.approx([1e-7 * 0.5**0.5] * 33)


def test_jump_tables_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    g = written(tmp_path, "g", [[1e-6], [2e-6]])
    dg = written(tmp_path, "dg", [[1e-7]])
    cdf = written(tmp_path, "cdf", [[1.0]])
    with pytest.raises(ConfigError, match="expected 2, one for each conductance"):
        compat.xbtorch.tables(g, dg, cdf, g, dg, cdf)


def test_an_analytical_device_of_xbtorch_is_that_of_neurosim() -> None:
    imported = compat.xbtorch.analytical(
        {
            "min_conductance": 3e-9,
            "max_conductance": 38e-9,
            "d2d_var": 0.0,
            "c2c_var": 0.035,
            "nonlinearity_set": 2.4,
            "nonlinearity_reset": -4.88,
            "max_level": 500,
        }
    )
    device: Any = imported.device
    assert (device.nl_ltp, device.nl_ltd, device.c2c) == (2.4, -4.88, 0.035)
    assert (device.n_ltp, device.r_on) == (500.0, pytest.approx(1 / 38e-9))
    with pytest.raises(ConfigError, match="no max_conductance"):
        compat.xbtorch.analytical({"min_conductance": 1e-9})


# -- aihwkit ---------------------------------------------------------------------------------------


class ExpStepDevice:
    """Stands for aihwkit's, with the parameters of its preset for ReRAM."""

    dw_min, dw_min_dtod, dw_min_std = 0.00135, 0.2, 5.0
    up_down, up_down_dtod = 0.259359, 0.05
    w_max, w_max_dtod, w_min, w_min_dtod = 1.0, 0.3, -1.0, 0.3
    write_noise_std = 75.0
    A_up, A_down, gamma_up, gamma_down, a, b = -1.18445, -0.081404, 5.0, 5.0, -0.5, -0.5
    lifetime = 0.0


class Preset(ExpStepDevice):
    pass


def test_a_preset_of_aihwkit_is_the_bundled_preset_of_the_same_source() -> None:
    imported = compat.aihwkit.device(Preset())
    assert imported.left_out == ()
    assert imported.device == memcore.devices["exp_step"].preset("reram_es")


def test_parameters_of_aihwkit_are_taken_as_a_mapping_too() -> None:
    imported = compat.aihwkit.device(
        {"dw_min": 0.002, "mult_noise": True, "lifetime": 100.0, "w_max_dtod": 0.0},
        "SoftBoundsDevice",
    )
    device: Any = imported.device
    assert (device.dw_min, device.noise, device.w_max) == (0.002, "multiplicative", 0.6)
    assert "lifetime" in imported.left_out[0]


def test_a_device_of_aihwkit_that_is_not_here_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of aihwkit's that are here"):
        compat.aihwkit.device({}, "OneSidedUnitCell")
    with pytest.raises(ConfigError, match="dw_min='x'; expected a finite number"):
        compat.aihwkit.device({"dw_min": "x"}, "ConstantStepDevice")


def test_what_was_imported_is_listed() -> None:
    text = str(compat.memtorch.patch_model(memristor_model="VTEAM", transistor=False))
    assert "device = {'name': 'vteam'}" in text
    assert "left out: transistor=False" in text


# -- values of another kind ------------------------------------------------------------------------

CROSSSIM = compat.crosssim.parameters
MEMTORCH = compat.memtorch.patch_model
XBTORCH = {"max_conductance": 1e-4, "nonlinearity_set": 1, "nonlinearity_reset": 1, "max_level": 9}


@pytest.mark.parametrize(
    ("importer", "told"),
    [
        (lambda: CROSSSIM({"xbar": {"device": {"Rmin": 0}}}), "Rmin=0; expected a finite number"),
        (lambda: CROSSSIM({"xbar": {"adc": {"mvm": {"bits": None}}}}), "bits=None; expected"),
        (lambda: CROSSSIM({"core": {"style": 2, "bit_sliced": {"num_slices": 0}}}), "num_slices=0"),
        (lambda: MEMTORCH(memristor_model="VTEAM", memristor_model_params=3), "is 3; expected"),
        (lambda: MEMTORCH(memristor_model="VTEAM", ADC_overflow_rate="x"), "ADC_overflow_rate='x'"),
        (lambda: compat.memtorch.effects(["FiniteConductanceStates"]), "conductance_states=None"),
        (lambda: compat.memtorch.effects(3), "non_idealities=3; expected a list"),
        (lambda: compat.xbtorch.analytical({**XBTORCH, "min_conductance": 0}), "min_conductance=0"),
    ],
)
def test_a_value_of_another_kind_is_refused(importer: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        importer()


def test_a_table_with_something_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mem_states.csv"
    path.write_text("1e-6,0\nnan,0\n3e-6,0\n")
    with pytest.raises(ConfigError, match="line 2, is 'nan,0'; expected finite numbers alone"):
        compat.neurosim.mem_states(path)
