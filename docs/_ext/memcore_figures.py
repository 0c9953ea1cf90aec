"""Draws the figures of the physics pages from the models, before the build reads them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from figures_charge_and_spin import CHARGE_AND_SPIN
from figures_loops import draw_loops, hertz
from figures_pulsed import PULSED
from figures_smaller import SMALLER
from figures_statistical import STATISTICAL
from figures_style import COLOURS, CROSSES, DOTS, table
from figures_trajectories import ideal, sky130_reram, stanford_pku, team
from torch import Tensor

import memcore
from memcore import Context, Memristor, Stream
from memcore.circuit import Drive, solve

FOLDER = Path(__file__).parent.parent / "reference" / "_generated"


def linear_ion_drift(figure: Any) -> None:
    """Hysteresis at three frequencies, and under three windows."""
    cls = memcore.devices["linear_ion_drift"]
    left, right = figure.subplots(1, 2)
    loops = [(hertz(f), cls(), 1.0, f) for f in (1.0, 2.0, 10.0)]
    draw_loops(left, loops, 1e6, ("lid_nowindow_sine_1V_1Hz.csv",))
    left.set_title("no window, 1 V")
    windows = {"joglekar": 0.1, "biolek": 0.1, "prodromakis": 0.5}
    loops = [(f"{w}, $x_0$ = {x}", cls(window=w, x0=x), 1.0, 1.0) for w, x in windows.items()]
    known = tuple(f"lid_{w}_p1_sine_1V_1Hz.csv" for w in ("joglekar", "prodromakis"))
    draw_loops(right, loops, 1e6, known)
    right.set_title("windows with p = 1, 1 V, 1 Hz")


def vteam(figure: Any) -> None:
    """Hysteresis at three frequencies, and the rate against the voltage."""
    cls = memcore.devices["vteam"]
    left, right = figure.subplots(1, 2)
    loops = [(hertz(f), cls(s0=0.0), 1.0, f) for f in (5e6, 50e6, 500e6)]
    draw_loops(left, loops, 1e3, ("vteam_default_sine_1V_50MHz_x0_0.csv",), "I_linear_A")
    left.set_title("1 V sine")
    voltage = torch.linspace(-0.5, 0.5, 1001, dtype=torch.float64)
    rate = cls().rate(voltage).abs()
    right.semilogy(voltage, rate.where(rate > 0, math.nan), color=COLOURS[0])
    right.set_xlabel("voltage (V)")
    right.set_ylabel("speed of the state, |dx/dt| (m/s)")
    right.set_title("at rest between the thresholds")


def nonlinear_ion_drift(figure: Any) -> None:
    """Hysteresis at three frequencies."""
    cls = memcore.devices["nonlinear_ion_drift"]
    axes = figure.subplots()
    draw_loops(axes, [(hertz(f), cls(), 1.5, f) for f in (2.0, 5.0, 50.0)], 1e6)
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
    known = (2.881138e-4, 6.926620e-5, 1.339803e-5, 2.401298e-6)
    axes.plot([0.5] * 4, known, label="reference", **CROSSES)
    axes.set_xlabel("voltage (V)")
    axes.set_ylabel("|current| (A)")
    axes.set_ylim(1e-8, 3e-3)
    axes.legend(title="barrier", frameon=False, fontsize="small")


def jart_vcm_v1b(figure: Any) -> None:
    """The triangle of the reference calculation, and cells that differ."""
    cls, ctx = memcore.devices["jart_vcm_v1b"], Context(random=Stream(0))
    expected = table("jart_v1b_triangular_1p3V_1Vps.csv")
    t, v = expected["t_s"], expected["V_V"]
    middle, dt = 0.5 * (v[1:] + v[:-1]), float(t[1] - t[0])
    left, right = figure.subplots(1, 2, sharey=True)
    start = math.log(0.01 / 0.008) / math.log(20 / 0.008)
    _triangle(left, cls(s0=start), v, middle, dt, colour=COLOURS[0], label="memcore")
    left.semilogy(v[::4], expected["I_A"][::4].abs() * 1e3, label="reference", **DOTS)
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


def yakopcic(figure: Any) -> None:
    """Hysteresis at three frequencies."""
    cls = memcore.devices["yakopcic"]
    axes = figure.subplots()
    loops = [(hertz(f), cls(), 0.45, f) for f in (50.0, 100.0, 1000.0)]
    draw_loops(axes, loops, 1e3, ("yakopcic_oblea_sine.csv",))
    axes.set_title("0.45 V sine")


def mms(figure: Any) -> None:
    """Hysteresis at three frequencies."""
    cls = memcore.devices["mms"]
    axes = figure.subplots()
    loops = [(hertz(f), cls(), 0.5, f) for f in (100.0, 1e3, 1e4)]
    draw_loops(axes, loops, 1e3, ("mms_sine_0p5V_100Hz.csv",))
    axes.set_title("0.5 V sine")


def data_driven(figure: Any) -> None:
    """Resistance under a train of positive and then of negative pulses."""
    axes = figure.subplots()
    ctx = Context(random=Stream(0))
    device = memcore.devices["data_driven"]()
    start = (11.5e3 - device.r_on) / (device.r_off - device.r_on)
    for voltage, colour in zip((0.8, 1.0, 1.2), COLOURS, strict=False):
        state = torch.tensor([[start]], dtype=torch.float64)
        resistance = [11.5]
        for pulse in range(398):
            v = torch.tensor([voltage if pulse < 199 else -voltage], dtype=torch.float64)
            state = device.step(state, v, 1e-4, ctx)
            resistance.append(1e-3 * float(device.resistance(state)))
        axes.plot(resistance, color=colour, label=f"{voltage} V")
    expected = table("datadriven2018_DUT2_pulses_0p8V_100us.csv")
    axes.plot(expected["pulse"][::6], expected["R_ohm"][::6] * 1e-3, label="reference", **DOTS)
    axes.set_xlabel("pulse of 100 µs, positive up to 199, then negative")
    axes.set_ylabel("resistance R (kΩ)")
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
    low, high = made.nominal_range()
    for g in torch.linspace(low, high, 10, dtype=torch.float64):
        state = made.state_of(g.expand(201))
        axes.plot(fine, 1e6 * made.current(state, fine), color=COLOURS[0], linewidth=0.7)
    axes.plot(volts, 1e6 * currents.T, ".", markersize=4, color=COLOURS[1])
    axes.set(xlabel="voltage (V)", ylabel="current (µA)", title="4 states, and 10 in between")


def on_off(figure: Any) -> None:
    """A table of both states as if measured, and the distributions of cells made of it."""
    random, writes = Stream(4), (12, 40)
    spreads = {"off": (2e-6, 0.5, 0.25), "on": (8e-5, 0.12, 0.06)}
    parts = {
        state: g
        * (
            between * random.child(state).normal((writes[0], 1)).double()
            + within * random.child(state, "writes").normal(writes).double()
        ).exp()
        for state, (g, between, within) in spreads.items()
    }
    rows = zip(parts["on"], parts["off"], strict=True)
    table = [
        memcore.fitting.OnOffData(on=on, off=off, label=str(k)) for k, (on, off) in enumerate(rows)
    ]
    made: Any = memcore.fit("on_off", table).device
    share = (torch.arange(writes[0] * writes[1]) + 0.5) / (writes[0] * writes[1])
    for axes, state in zip(figure.subplots(1, 2), spreads, strict=True):
        g = made.g_on if state == "on" else made.g_off
        cells = memcore.Crossbar(torch.full((200, 200), g), device=made).conductance.flatten()
        axes.plot(1e6 * parts[state].flatten().sort().values, share, ".", ms=2, color=COLOURS[1])
        axes.plot(1e6 * torch.quantile(cells, share), share, color=COLOURS[0])
        axes.set(xlabel="conductance (µS)", ylabel="cumulative probability", xscale="log")
        axes.set_title(f"{state}: {writes[0]} devices, {writes[1]} writes each")


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
        for number, (part, colour) in enumerate(zip(mapped.parts, COLOURS, strict=False), start=1):
            target = part.target
            label = "reference column" if target.shape[-1] == 1 else f"part {number}"
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
    drive = Drive.select(16, 16, 5, 3, 1.0, "V/2")
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


def gallery(figure: Any) -> None:
    """Figures of the cost models over published ones."""
    memcore.plot.comparison(memcore.gallery(), ax=figure.subplots())


FIGURES: dict[str, tuple[Callable[[Any], None], float]] = {
    **STATISTICAL,
    **CHARGE_AND_SPIN,
    **PULSED,
    **SMALLER,
    "ideal": (ideal, 2.6),
    "linear_ion_drift": (linear_ion_drift, 3.4),
    "vteam": (vteam, 3.4),
    "nonlinear_ion_drift": (nonlinear_ion_drift, 3.0),
    "simmons": (simmons, 3.0),
    "team": (team, 3.2),
    "sky130_reram": (sky130_reram, 3.2),
    "stanford_pku": (stanford_pku, 3.2),
    "jart_vcm_v1b": (jart_vcm_v1b, 3.4),
    "yakopcic": (yakopcic, 3.0),
    "mms": (mms, 3.0),
    "data_driven": (data_driven, 3.0),
    "pulsed": (pulsed, 3.4),
    "tabular": (tabular, 3.2),
    "on_off": (on_off, 2.8),
    "finite_states": (finite_states, 1.8),
    "mapping": (mapping, 3.0),
    "programming": (programming, 3.2),
    "crossbar": (crossbar, 3.6),
    "gallery": (gallery, 8.5),
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
