"""Effects of ageing fitted to reads in time: known parameters come back, wrong models are told."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore import ConfigError, fitting
from memcore.cli.main import main
from memcore.fitting.mixed import Linear
from memcore.registry import device_file

WINDOW = {"name": "ideal", "r_on": 5e3, "r_off": 1e7}


def drifting(
    seed: int, cells: int = 8, spread: float = 0.02, k: float = 0.0, first: float = 20.0
) -> list[fitting.RetentionData]:
    """Cells that drift by an own sum: mean exponent 0.08 at 4 uS, 1 % noise, t0 = 20 s."""
    rng = np.random.default_rng(seed)
    records = []
    for number, g in enumerate(np.exp(rng.uniform(np.log(2e-6), np.log(2e-5), cells))):
        nu = 0.08 + spread * rng.standard_normal() - k * math.log(g / 4e-6)
        time = np.logspace(math.log10(first), 5, 14)
        read = g * (1 + time / 20) ** -nu * (1 + 0.01 * rng.standard_normal(14))
        records.append(fitting.RetentionData(time=time, conductance=read, label=f"cell {number}"))
    return records


def failing(
    seed: int, lrs: bool, slope: float, scale: float, sigma: float = 0.0, cells: int = 8
) -> list[fitting.RetentionData]:
    """Cells whose resistance moves by `slope` decades a decade, from e^(298/300) `scale` s on."""
    rng = np.random.default_rng(seed)
    t_c, records = 298 / 300, []
    for number in range(cells):
        time = np.logspace(0, 6, 20)
        threshold = scale * math.exp(t_c + sigma * rng.standard_normal())
        start = (1e-4 if lrs else 1e-6) * math.exp(0.1 * rng.standard_normal())
        decades = slope * t_c * np.maximum(np.log10(time / threshold), 0)
        read = start * 10**-decades * (1 + 0.01 * rng.standard_normal(20))
        label = f"{'LRS' if lrs else 'HRS'} {number}"
        records.append(fitting.RetentionData(time=time, conductance=read, label=label))
    return records


def scores(found: fitting.RetentionFit, truth: dict[str, float]) -> list[float]:
    """Deviations from the truth in uncertainties."""
    assert not found.misfit
    parts = []
    for name, value in truth.items():
        parameter = found.parameters[name]
        assert parameter.uncertainty is not None
        parts.append((parameter.value - value) / parameter.uncertainty)
    return parts


def test_known_drift_comes_back_within_its_uncertainties() -> None:
    z = []
    for seed in range(10):
        found = fitting.fit_retention("drift", drifting(seed), fixed=["t0"], spread=True)
        z += scores(found, {"nu": 0.08, "nu.std": 0.02})
    assert np.mean(np.abs(z) <= 3) >= 0.95
    assert np.mean(np.abs(z) <= 1) > 0.45  # nor are uncertainties far too large


def test_an_exponent_that_falls_with_the_conductance_comes_back() -> None:
    z = []
    fixed = {"t0": 20.0, "g0": 4e-6}
    for seed in range(6):
        found = fitting.fit_retention(
            "drift", drifting(seed, k=0.03), free=["nu", "k"], fixed=fixed
        )
        z += scores(found, {"nu": 0.08, "k": 0.03})
    assert max(map(abs, z)) <= 3


def test_the_time_of_the_first_read_is_fitted_where_reads_are_as_early() -> None:
    early = fitting.fit_retention("drift", drifting(0, first=0.5))
    assert abs(scores(early, {"t0": 20.0})[0]) <= 3
    for seed in range(6):
        late = fitting.fit_retention("drift", drifting(seed, first=5e3))
        assert "do not determine t0" in str(late)
        assert late.effect.t0 == 20.0  # type: ignore[attr-defined]


def test_cells_that_are_alike_get_a_number_and_not_a_distribution() -> None:
    alike = fitting.fit_retention("drift", drifting(3, spread=0.0), fixed=["t0"])
    assert isinstance(alike.effect.nu, float)  # type: ignore[attr-defined]
    apart = fitting.fit_retention("drift", drifting(3), fixed=["t0"])
    assert isinstance(apart.effect.nu, memcore.Normal)  # type: ignore[attr-defined]


def test_no_uncertainty_is_smaller_than_rounding_lets_it_be() -> None:
    data = fitting.RetentionData(time=TIMES, conductance=torch.full((4,), 1e-5))
    found = fitting.fit_retention("drift", data, fixed=["t0"])
    assert "4 reads of 1 cell\n" in str(found)
    assert (found.parameters["nu"].uncertainty or 0.0) > 1e-18


def test_known_failures_of_retention_come_back() -> None:
    z = []
    for seed, sigma in ((20, 0.0), (21, 0.3), (22, 0.3)):
        data = failing(seed, True, 0.1, 1e3, sigma) + failing(seed + 9, False, -0.15, 5e3, sigma)
        found = fitting.fit_retention("retention", data, device=WINDOW)
        z += scores(found, {"p0_lrs": 1e3, "p3_lrs": 0.1, "p0_hrs": 5e3, "p3_hrs": -0.15})
    assert np.mean(np.abs(z) <= 3) >= 0.95


@pytest.mark.parametrize("effect", ["drift", "retention"])
def test_a_wrong_model_is_told(effect: str) -> None:
    time = np.logspace(0, 5, 25)
    rng = np.random.default_rng(0)
    leaking = 0.5 + 0.5 * np.exp(-time / 3e3)  # a charge with one time constant
    course = leaking if effect == "drift" else (1 + time / 20) ** -0.1  # without a threshold
    data = [
        fitting.RetentionData(time=time, conductance=g * course * (1 + 0.01 * rng.normal(size=25)))
        for g in (1e-4, 0.9e-4, 1.1e-4)
    ]
    found = fitting.fit_retention(effect, data, device=WINDOW)
    assert "misses the data" in found.misfit
    assert math.isnan(next(iter(found.parameters.values())).uncertainty or 0.0)
    assert "misses the data" in str(found)


def test_restricted_likelihood_is_that_of_the_whole_covariance() -> None:
    """Products within cells, against matrices of all samples."""
    rng = np.random.default_rng(1)
    cell = np.repeat(np.arange(4), 6)
    slopes, level = rng.normal(size=(24, 2)), rng.uniform(0.5, 1.5, size=24)
    data, ratio = rng.normal(size=24), 0.7
    found = Linear.of(slopes, level, data, cell, (1,)).solved(np.array([ratio]))
    same = cell[:, None] == cell
    covariance = np.eye(24) + ratio**2 * same * np.outer(slopes[:, 1], slopes[:, 1])
    levels = level[:, None] * (cell[:, None] == np.arange(4))
    design = np.concatenate([slopes, levels], 1)
    inverse = np.linalg.inv(covariance)
    normal = design.T @ inverse @ design
    best = np.linalg.solve(normal, design.T @ inverse @ data)
    np.testing.assert_allclose(found.shared, best[:2], rtol=1e-9)
    np.testing.assert_allclose(found.levels, best[2:], rtol=1e-9)
    rest = data - design @ best
    squares = rest @ inverse @ rest
    assert found.sigma**2 == pytest.approx(squares / 18, rel=1e-9)
    deviance = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(normal)[1]
    assert found.deviance == pytest.approx(deviance + 18 * np.log(squares / 18), rel=1e-9)
    own = ratio**2 * (same * slopes[:, 1]) @ inverse @ rest  # the best prediction of deviations
    np.testing.assert_allclose(found.deviations[:, 0], own[::6], rtol=1e-9)


def instrument_file(path: Path) -> None:
    """Currents in nA at -0.2 V with a row of units, an overflow and two cells at two levels."""
    lines = ["Keithley 4200,retention", "t,I,chip,state", "(s),(nA),,"]
    for cell, level, g, nu in (
        ("A", "1", 5e-6, 0.05),
        ("A", "2", 2e-5, 0.05),
        ("B", "1", 5e-6, 0.05),
    ):
        for time in np.logspace(1, 4, 10):
            current = -0.2 * g * (1 + time / 20) ** -nu * 1e9
            lines.append(f"{time:.6g},{current:.9g},{cell},{level}")
    lines.insert(7, "12,9.91E+37,A,1")
    path.write_text("\n".join(lines) + "\n")


def test_a_file_becomes_an_effect_that_configurations_read(tmp_path: Path) -> None:
    data, out = tmp_path / "retention.csv", tmp_path / "drift.toml"
    instrument_file(data)
    words = ["fit", str(data), "--effect", "drift", "--column", "time=t:s", "--marks", "drop"]
    words += ["--column", "current=I:nA", "--column", "device=chip", "--column", "level=state"]
    words += ["--read-voltage", "-0.2", "--fixed", "t0", "--plot", str(tmp_path / "f.png")]
    done = CliRunner().invoke(main, [*words, "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "30 reads of 3 cells" in done.output
    assert "1 reads that an instrument marks were left out" in done.output
    config = memcore.CrossbarConfig(device="ideal", nonidealities=[str(out)])
    (effect,) = config.nonidealities
    assert effect.nu == pytest.approx(0.05, rel=1e-5)  # type: ignore[attr-defined]
    assert device_file.read(out, "nonidealities")["provenance"]["data"]["units"]["current"] == "nA"
    (tmp_path / "arrays.toml").write_text('device = "ideal"\nnonidealities = ["drift.toml"]\n')
    assert memcore.CrossbarConfig.from_toml(tmp_path / "arrays.toml").nonidealities == (effect,)
    cells = memcore.Crossbar(torch.full((2, 2), 1e-5), nonidealities=[str(out)])
    cells.age(seconds=20.0)
    torch.testing.assert_close(cells.conductance, torch.full((1, 2, 2), 1e-5 * 2**-0.05))


def test_a_fit_that_misses_changes_the_exit_status(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    rows = [(t, 1e-5 * (0.2 + 0.8 * math.exp(-t / 500))) for t in np.logspace(0, 4, 30).tolist()]
    path.write_text("t,G\n" + "".join(f"{t:.6g},{g:.6g}\n" for t, g in rows))
    words = ["fit", str(path), "--effect", "drift", "--column", "time=t:s"]
    words += ["--column", "conductance=G:S", "-o", str(tmp_path / "d.toml")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 3, done.output


TIMES = torch.tensor([1.0, 10.0, 100.0, 1e3])


@pytest.mark.parametrize(
    ("effect", "data", "settings", "message"),
    [
        ("drift", {"conductance": -TIMES}, {}, "conductance has values <= 0"),
        ("drift", {"conductance": 10 + TIMES}, {}, "conductance is up to .* siemens, at most 1"),
        ("drift", {"time": -TIMES}, {}, "time has values < 0"),
        ("drift", {"time": torch.ones(4)}, {}, "expected several times"),
        ("read_noise", {}, {}, "expected an effect of ageing"),
        ("endurance", {}, {"free": ["p0_lrs"]}, "counts cycles"),
        ("retention", {}, {}, "does not tell LRS"),
        ({"name": "retention", "mode": "sudden"}, {}, {"device": WINDOW}, "cannot be fitted"),
        ("drift", {}, {"free": ["mu"]}, "has no number 'mu'"),
        ("drift", {}, {"free": ["nu"], "fixed": ["nu"]}, "both free and fixed"),
        ("drift", {}, {"series": 1.0}, "does not act on a fit of retention"),
        ("drift", {}, {"spread": "yes"}, "expected True, False or None"),
        ("drift", {}, {"spread": True}, "of one cell"),
        ("drift", {}, {"temperature": -1.0}, "temperature=-1.0"),
        ("drift", {}, {"bounds": {"nu": (0.5, 0.6)}}, "around the start"),
        ("drift", {}, {"start": {"t0": 1.0}, "fixed": ["t0"]}, "t0 is not fitted"),
    ],
)
def test_what_does_not_fit_is_an_error(
    effect: object, data: dict[str, object], settings: dict[str, object], message: str
) -> None:
    fields = {"time": TIMES, "conductance": torch.full((4,), 1e-5), **data}
    with pytest.raises(ConfigError, match=message):
        fitting.fit_retention(effect, fitting.RetentionData(**fields), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--column", "time=t:s"], "nothing to fit"),
        (["--device", "vteam", "--temperature", "300", "--column", "time=t:s"], "is of effects"),
        (["--effect", "drift", "--column", "current=G:A", "--column", "time=t:s"], "read_voltage"),
        (["--effect", "drift", "--column", "time=t:s"], "expected time, and one of"),
    ],
)
def test_what_the_command_refuses(tmp_path: Path, words: list[str], message: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text("t,G\n" + "".join(f"{t},1e-5\n" for t in (1, 10, 100, 1000)))
    done = CliRunner().invoke(main, ["fit", str(path), *words, "-o", str(tmp_path / "d.toml")])
    assert done.exit_code == 2
    assert message in done.output


def test_an_effect_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text('[device]\nname = "vteam"\n')
    with pytest.raises(ConfigError, match=r"effect file .* has no table 'device'"):
        memcore.CrossbarConfig(device="ideal", nonidealities=[str(path)])
