"""Draws the figures of the physics pages from the models, before the build reads them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import memcore
from memcore import Context, Memristor, Stream
from memcore.circuit import Drive, solve

FOLDER = Path(__file__).parent.parent / "reference" / "_generated"
#: Colours that colour-blind readers tell apart (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def sweep(
    device: Memristor, state: Tensor, amplitude: float, frequency: float, steps: int = 300
) -> tuple[Tensor, Tensor]:
    """Voltage and current of one cell over two periods of a sine, the second one returned."""
    ctx = Context(random=Stream(0))
    dt = 1 / (frequency * steps)
    time = (torch.arange(2 * steps, dtype=torch.float64) + 0.5) * dt
    voltage = amplitude * torch.sin(2 * math.pi * frequency * time)
    current = []
    for v in voltage:
        state = device.step(state, v, dt, ctx)
        current.append(device.current(state, v).reshape(()))
    return voltage[steps:], torch.stack(current)[steps:]


def hertz(frequency: float) -> str:
    """A frequency as one writes it."""
    for unit, factor in (("MHz", 1e6), ("kHz", 1e3)):
        if frequency >= factor:
            return f"{frequency / factor:g} {unit}"
    return f"{frequency:g} Hz"


def _loops(axes: Any, loops: list[tuple[str, Memristor, float, float]], scale: float = 1e3) -> None:
    ctx = Context(random=Stream(0))
    for (label, device, amplitude, frequency), colour in zip(loops, COLOURS, strict=False):
        start = device.initial_state((), ctx).to(torch.float64)
        voltage, current = sweep(device, start, amplitude, frequency)
        axes.plot(voltage, current * scale, color=colour, label=label)
    axes.axhline(0, color="0.8", zorder=0)
    axes.axvline(0, color="0.8", zorder=0)
    axes.set_xlabel("voltage (V)")
    axes.set_ylabel("current (mA)" if scale == 1e3 else "current (µA)")
    axes.legend(frameon=False, fontsize="small")


def linear_ion_drift(figure: Any) -> None:
    """Hysteresis at three frequencies, and under three windows."""
    cls = memcore.devices["linear_ion_drift"]
    left, right = figure.subplots(1, 2)
    _loops(left, [(hertz(f), cls(), 1.0, f) for f in (1.0, 2.0, 10.0)], 1e6)
    left.set_title("no window, 1 V")
    windows = ("none", "joglekar", "biolek")
    _loops(right, [(w, cls(window=w), 1.0, 1.0) for w in windows], 1e6)
    right.set_title("windows with p = 1, 1 V, 1 Hz")


def vteam(figure: Any) -> None:
    """Hysteresis at three frequencies, and the rate against the voltage."""
    cls = memcore.devices["vteam"]
    left, right = figure.subplots(1, 2)
    _loops(left, [(hertz(f), cls(), 1.0, f) for f in (5e6, 50e6, 500e6)])
    left.set_title("1 V sine")
    voltage = torch.linspace(-0.5, 0.5, 1001, dtype=torch.float64)
    rate = cls().rate(voltage).abs()
    right.semilogy(voltage, rate.where(rate > 0, math.nan), color=COLOURS[0])
    right.set_xlabel("voltage (V)")
    right.set_ylabel("speed of the state, |dx/dt| (m/s)")
    right.set_title("at rest between the thresholds")


def team(figure: Any) -> None:
    """Hysteresis at three frequencies."""
    cls = memcore.devices["team"]
    axes = figure.subplots()
    loops = [(hertz(f), cls(window="none"), 1.0, f) for f in (20.0, 1e4, 1e6)]
    _loops(axes, loops)
    axes.set_title("no window, 1 V sine")


def nonlinear_ion_drift(figure: Any) -> None:
    """Hysteresis at three frequencies."""
    cls = memcore.devices["nonlinear_ion_drift"]
    axes = figure.subplots()
    _loops(axes, [(hertz(f), cls(), 1.5, f) for f in (2.0, 5.0, 50.0)], 1e6)
    axes.set_title("no window, 1.5 V sine")


def simmons(figure: Any) -> None:
    """The current against the voltage at fixed widths of the barrier."""
    device = memcore.devices["simmons"]()
    axes = figure.subplots()
    voltage = torch.linspace(-0.8, 0.8, 401, dtype=torch.float64)
    for width, colour in zip((1.2, 1.4, 1.6, 1.8), COLOURS, strict=True):
        position = (width * 1e-9 - device.w_min) / (device.w_max - device.w_min)
        current = device.current(torch.full((1, 401), position, dtype=torch.float64), voltage)
        axes.semilogy(voltage, current.abs(), color=colour, label=f"{width} nm")
    axes.set_xlabel("voltage (V)")
    axes.set_ylabel("|current| (A)")
    axes.set_ylim(1e-8, 3e-3)
    axes.legend(title="barrier", frameon=False, fontsize="small")


def stanford_pku(figure: Any) -> None:
    """Hysteresis at two frequencies, with the series resistance that a SET needs."""
    cls = memcore.devices["stanford_pku"]
    axes = figure.subplots()
    loops = [(hertz(f), cls(r_series=500.0), 2.2, f) for f in (1e5, 1e6)]
    _loops(axes, loops)
    axes.set_title("2.2 V sine, 500 Ω in series")


def jart_vcm_v1b(figure: Any) -> None:
    """The triangle of the reference calculation, and cells that differ."""
    cls, ctx = memcore.devices["jart_vcm_v1b"], Context(random=Stream(0))
    expected = _oracle("jart_v1b_triangular_1p3V_1Vps.csv")
    t, v = expected[:, 0], expected[:, 1]
    middle, dt = 0.5 * (v[1:] + v[:-1]), float(t[1] - t[0])
    left, right = figure.subplots(1, 2, sharey=True)
    start = math.log(0.01 / 0.008) / math.log(20 / 0.008)
    _triangle(left, cls(s0=start), v, middle, dt, colour=COLOURS[0], label="memcore")
    style = {"color": COLOURS[1], "linestyle": "", "marker": ".", "markersize": 3}
    left.semilogy(v, expected[:, 2].abs() * 1e3, label="reference", **style)
    left.legend(frameon=False, fontsize="small")
    left.set_title("triangle, 1 V/s")
    varied = cls.preset("bengel_variability", pieces=8).sample((12,), ctx)
    _triangle(right, varied, v, middle, dt, colour=COLOURS[0], linewidth=0.6)
    right.set_title("12 cells of bengel_variability")
    left.set_ylabel("|current| (mA)")
    left.set_ylim(1e-4, 2)


def _triangle(
    axes: Any, device: Memristor, v: Tensor, middle: Tensor, dt: float, **style: Any
) -> None:
    cells = next(
        (value.shape for value in vars(device).values() if isinstance(value, Tensor)), (1,)
    )
    trace = memcore.simulate(device, torch.cat([middle, v[-1:]]), dt, shape=cells)
    current = device.current(trace.state.movedim(1, 0), v[:, None])
    axes.semilogy(v, current.abs() * 1e3, color=style.pop("colour"), **style)
    axes.set_xlabel("voltage (V)")


def _oracle(name: str) -> Tensor:
    lines = (FOLDER.parents[2] / "tests" / "oracles" / name).read_text().splitlines()
    rows = [line.split(",") for line in lines if not line.startswith(("#", "t_s"))]
    return torch.tensor([[float(x) for x in row] for row in rows], dtype=torch.float64)


def yakopcic(figure: Any) -> None:
    """Hysteresis at three frequencies."""
    cls = memcore.devices["yakopcic"]
    axes = figure.subplots()
    _loops(axes, [(hertz(f), cls(), 0.45, f) for f in (50.0, 100.0, 1000.0)])
    axes.set_title("0.45 V sine")


def mms(figure: Any) -> None:
    """Hysteresis at three frequencies."""
    cls = memcore.devices["mms"]
    axes = figure.subplots()
    _loops(axes, [(hertz(f), cls(), 0.5, f) for f in (100.0, 1e3, 1e4)])
    axes.set_title("0.5 V sine")


def data_driven(figure: Any) -> None:
    """Resistance under a train of positive and then of negative pulses."""
    axes = figure.subplots()
    ctx = Context(random=Stream(0))
    device = memcore.devices["data_driven"]()
    for voltage, colour in zip((0.8, 1.0, 1.2), COLOURS, strict=False):
        state = torch.tensor([0.2], dtype=torch.float64)
        resistance = []
        for pulse in range(400):
            sign = 1.0 if pulse < 200 else -1.0
            v = torch.tensor(sign * voltage, dtype=torch.float64)
            state = device.step(state, v, 1e-4, ctx)
            resistance.append(1e-3 / float(device.conductance(state)))
        axes.plot(resistance, color=colour, label=f"{voltage} V")
    axes.set_xlabel("pulse of 100 µs, positive up to 200, then negative")
    axes.set_ylabel("small-signal resistance (kΩ)")
    axes.legend(frameon=False, fontsize="small")


def _up_and_down(axes: Any, device: Memristor, pulses: tuple[int, int], **style: Any) -> None:
    """Position over pulses up from the lowest conductance, and down again."""
    ctx = Context(random=Stream(0))
    low = torch.as_tensor(device.conductance_range()[0], dtype=torch.float64)
    up, down = (torch.arange(n + 1, dtype=torch.float64) for n in pulses)
    rising = device.pulses(device.state_of(low.expand(up.shape)), up, ctx)
    falling = device.pulses(rising[:, -1:].expand(-1, len(down)), -down, ctx)
    place = torch.cat([up, up[-1] + down]) / (up[-1] + down[-1])
    axes.plot(place, torch.cat([rising[0], falling[0]]), **style)


def pulsed(figure: Any) -> None:
    """Curves under pulses up and then down: step models, and labels of NeuroSim."""
    left, right = figure.subplots(1, 2, sharey=True)
    steps = {
        "linear_step": {"gamma_up": 0.8, "gamma_down": 0.8, "dw_min": 0.01},
        "soft_bounds": {"dw_min": 0.01},
        "exp_step": {"dw_min": 0.004, "up_down": 0.0},
        "pow_step": {"dw_min": 0.04, "gamma_up": 2.0, "gamma_down": 2.0},
    }
    for (name, parameters), colour in zip(steps.items(), COLOURS, strict=True):
        device = memcore.devices[name](**parameters)
        _up_and_down(left, device, (400, 400), color=colour, label=name)
    for nl, colour in zip((0.0, 1.0, 2.4, 5.0), COLOURS, strict=True):
        device = memcore.devices["neurosim"](nl_ltp=nl, nl_ltd=-nl, n_ltd=97.0, c2c=0.0)
        _up_and_down(right, device, (97, 97), color=colour, label=f"NL = {nl:g} / {0 - nl:g}")
    left.set_ylabel("position in the window")
    right.set_title("neurosim")
    for axes in (left, right):
        axes.set_xlabel("pulses, half up, then half down")
        axes.legend(frameon=False, fontsize="small", loc="lower center")


def tabular(figure: Any) -> None:
    """A measurement of pulses and its replay, and currents between measured ones."""
    left, right = figure.subplots(1, 2)
    ctx, count, cycles = Context(random=Stream(0)), 60, 8
    source = memcore.devices["neurosim"](nl_ltd=-2.4, n_ltp=count, n_ltd=count, c2c=0.02)
    up, down = _runs(source, cycles, count, ctx.child("measured"))
    made = memcore.devices["tabular"].from_pulses(up, down)
    replay = torch.cat(_runs(made, 1000, count, ctx.child("replay")), 1)
    pulses = torch.arange(2 * count + 2) - (torch.arange(2 * count + 2) > count).long()
    data = torch.cat([up, down], 1)
    left.plot(pulses, 1e9 * data.T, ".", markersize=2, color=COLOURS[1])
    low, middle, high = replay.quantile(torch.tensor([0.025, 0.5, 0.975]).double(), dim=0) * 1e9
    left.fill_between(pulses, low, high, color=COLOURS[0], alpha=0.25, linewidth=0)
    left.plot(pulses, middle, color=COLOURS[0])
    left.set(xlabel="pulses, half up, then half down", ylabel="conductance (nS)")
    left.set_title(f"{cycles} cycles, and 95 % of replayed cells")
    _currents(right)


def _runs(device: Memristor, cells: int, count: int, ctx: Context) -> tuple[Tensor, Tensor]:
    """Conductances under pulses up and then down, [cells, count + 1] each."""
    low, _ = device.nominal_range()
    state = device.state_of(torch.full((cells,), low, dtype=torch.float64))
    g = [device.conductance(state)]
    for k in range(2 * count):
        sign = torch.full((cells,), 1 if k < count else -1)
        state = device.pulses(state, sign, ctx.child(k))
        g.append(device.conductance(state))
    both = torch.stack(g, 1)
    return both[:, : count + 1], both[:, count:]


def _currents(axes: Any) -> None:
    """Four states of a tunnel barrier as if measured, and the currents between them."""
    source = memcore.devices["simmons"]()
    volts = torch.linspace(-0.4, 0.4, 17, dtype=torch.float64)
    states = source.state_of(torch.tensor([1.0, 0.6, 0.3, 0.1]) * source.nominal_range()[1])
    currents = torch.stack(
        [source.current(states[:, k : k + 1].double().expand(-1, 17), volts) for k in range(4)]
    )
    made = memcore.devices["tabular"].from_iv(volts, currents, read_voltage=0.2)
    fine = torch.linspace(-0.4, 0.4, 201, dtype=torch.float64)
    for g in torch.linspace(*made.nominal_range(), 10, dtype=torch.float64):
        state = made.state_of(g.expand(201))
        axes.plot(fine, 1e6 * made.current(state, fine), color=COLOURS[0], linewidth=0.7)
    axes.plot(volts, 1e6 * currents.T, ".", markersize=4, color=COLOURS[1])
    axes.set(xlabel="voltage (V)", ylabel="current (µA)", title="4 states, and 10 in between")


def finite_states(figure: Any) -> None:
    """Eight levels uniform in conductance and in resistance."""
    axes = figure.subplots()
    low, high = 1e-6, 1e-4
    levels = {
        "uniform in conductance": torch.linspace(low, high, 8),
        "uniform in resistance": 1 / torch.linspace(1 / low, 1 / high, 8),
    }
    for row, ((label, values), colour) in enumerate(zip(levels.items(), COLOURS, strict=False)):
        axes.eventplot(values * 1e6, lineoffsets=-row, linelengths=0.6, colors=colour, label=label)
    axes.set_yticks([0, -1], list(levels))
    axes.set_xlabel("conductance (µS)")
    axes.set_title("eight states between 1 µS and 100 µS")


def mapping(figure: Any) -> None:
    """Target conductances against the weight, for each mapper."""
    device = memcore.devices["ideal"](r_on=1e4, r_off=1e5)
    weight = torch.linspace(-1, 1, 201)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("differential", "offset"), strict=True):
        ctx = Context(random=Stream(0))
        mapped = memcore.mappers[name]().map(weight.reshape(1, -1, 1).repeat(1, 1, 2), device, ctx)
        for part, (target, colour) in enumerate(zip(mapped.targets, COLOURS, strict=False)):
            label = "reference column" if target.shape[-1] == 1 else f"part {part + 1}"
            axes.plot(weight, target[0, :, 0] * 1e6, color=colour, label=label)
        axes.set_title(name)
        axes.set_xlabel("weight / largest weight")
        axes.legend(frameon=False, fontsize="small")
    panels[0].set_ylabel("target conductance (µS)")


def programming(figure: Any) -> None:
    """Errors of write-verify with and without a centred stop window; disturbance by half-select."""
    left, right = figure.subplots(1, 2)
    ideal, vteam = memcore.devices["ideal"](), memcore.devices["vteam"]()
    for centred, colour in zip((False, True), COLOURS, strict=False):
        how = memcore.programmers["write_verify"](centred=centred, ramp="none")
        error = _written(how, ideal, (1, 100, 100))
        label = "stops at once" if not centred else "centred"
        left.hist(error.flatten(), bins=50, histtype="step", color=colour, label=label)
    left.set_xlabel("error (% of the window)")
    left.set_ylabel("cells")
    left.set_title("write-verify from below, tolerance 1 %")
    left.legend(frameon=False, fontsize="small")
    for scheme, colour in zip(("V/2", "V/3"), COLOURS, strict=False):
        how = memcore.programmers["sequential_half_select"](scheme=scheme, set_voltage=1.0)
        right.plot(_written(how, vteam, (1, 32, 32)).mean((0, 2)), color=colour, label=scheme)
    right.set_xlabel("row, in the order of writing")
    right.set_ylabel("mean error (% of the window)")
    right.set_title("half-select, vteam, SET at -1 V")
    right.legend(frameon=False, fontsize="small")


def _written(how: Any, device: Memristor, shape: tuple[int, int, int]) -> Tensor:
    """Errors in percent of the window; targets evenly spread over its middle."""
    ctx, (low, high) = Context(random=Stream(0)), device.nominal_range()
    arrays, rows, cols = shape
    array = memcore.ArrayInfo(arrays=arrays, rows=rows, cols=cols, device=device, nominal=device)
    target = low + (high - low) * (0.1 + 0.8 * ctx.random.child("targets").uniform(shape))
    error: Tensor = how.program(array, target, ctx).error
    return 100 * error / (high - low)


def crossbar(figure: Any) -> None:
    """Cell currents while one cell is written, and what wires lose in a read."""
    left, right = figure.subplots(1, 2)
    drive = Drive.select(16, 16, 5, 3, 1.0, "v/2")
    wires = memcore.Wires(word_line=2.0, bit_line=2.0, driver=50.0)
    written = solve(_spread(16, 1e-6, 1e-4), wires, drive)
    memcore.plot.crossbar(written, "current", drive=drive, ax=left)
    drive = Drive.read(torch.full((64,), 0.2, dtype=torch.float64))
    read = solve(_spread(64, 1e-5, 1e-4), wires, drive)
    memcore.plot.crossbar(read, "loss", drive=drive, ax=right)


def _spread(lines: int, low: float, high: float) -> Tensor:
    """Conductances [lines, lines] in S, uniform in their logarithm."""
    part = Stream(0).uniform((lines, lines), dtype=torch.float64)
    return low * (part * math.log(high / low)).exp()


FIGURES: dict[str, tuple[Callable[[Any], None], float]] = {
    "linear_ion_drift": (linear_ion_drift, 3.4),
    "vteam": (vteam, 3.4),
    "nonlinear_ion_drift": (nonlinear_ion_drift, 3.0),
    "simmons": (simmons, 3.0),
    "team": (team, 3.0),
    "stanford_pku": (stanford_pku, 3.0),
    "jart_vcm_v1b": (jart_vcm_v1b, 3.4),
    "yakopcic": (yakopcic, 3.0),
    "mms": (mms, 3.0),
    "data_driven": (data_driven, 3.0),
    "pulsed": (pulsed, 3.4),
    "tabular": (tabular, 3.2),
    "finite_states": (finite_states, 1.8),
    "mapping": (mapping, 3.0),
    "programming": (programming, 3.2),
    "crossbar": (crossbar, 3.6),
}


def draw_all(
    folder: Path = FOLDER, figures: dict[str, tuple[Callable[[Any], None], float]] = FIGURES
) -> None:
    """Write every figure as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(
        {"svg.hashsalt": "memcore", "axes.spines.right": False, "axes.spines.top": False}
    ):
        for name, (draw, height) in figures.items():
            figure = Figure(figsize=(8, height), layout="constrained")
            draw(figure)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def setup(app: Any) -> dict[str, Any]:
    """Draw when a build starts."""
    app.connect("builder-inited", lambda _: draw_all())
    return {"version": "1", "parallel_read_safe": True}
