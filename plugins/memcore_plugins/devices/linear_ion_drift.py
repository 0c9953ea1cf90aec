"""Linear ion drift: the model of the first memristor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, Preset, parameter
from memcore_plugins.devices._parameters import (
    as_state,
    filled,
    fraction,
    positive,
    published,
    require,
    require_ascending,
    require_choice,
    unit_interval,
)
from memcore_plugins.devices._windows import WINDOWS, Window, WindowName


@dataclass(frozen=True, kw_only=True)
class LinearIonDrift(Memristor):
    """Dopants drift through a film of thickness D and move the border x = w/D of the doped part.

        v = [r_on x + r_off (1 - x)] i,      dx/dt = (mobility r_on / D^2) i f(x, i)

    Strukov, Snider, Stewart, Williams, Nature 453:80 (2008), doi 10.1038/nature06932, eqs 5-7;
    the defaults are its figure 2b. Windows f: `none` (1 inside, the state stops at its ends),
    `joglekar`, `biolek`, `prodromakis` (p = 1 and j = 1 is Strukov's x (1 - x)).

    A constant voltage is integrated exactly without a window and for p = 1 of Joglekar and
    Prodromakis; otherwise by `substeps` Runge-Kutta steps in a variable that no push overshoots.

    Valid as an illustration: real devices are exponential in the voltage. There is no threshold,
    so every read moves the state. Joglekar's and Prodromakis' windows vanish at both ends, where
    the published model stays for ever; here an end counts as 1e-6 away from itself, and a cell
    driven there takes long to come back.
    """

    r_on: Parameter = parameter(100.0, "ohm", "fully doped; Strukov fig 2b")
    r_off: Parameter = parameter(16e3, "ohm", "undoped; Strukov fig 2b, ratio 160")
    thickness: Parameter = parameter(1e-8, "m", "D of the film; Strukov fig 2")
    mobility: Parameter = parameter(1e-14, "m^2/(V s)", "of the dopants; Strukov fig 2")
    x0: Parameter = parameter(0.1, "1", "w/D of fresh cells, 1 at r_on")
    window: WindowName = parameter("none", "1", f"one of {', '.join(WINDOWS)}")
    p: float = parameter(1.0, "1", "exponent of the window")
    j: float = parameter(1.0, "1", "height of Prodromakis' window")
    substeps: int = parameter(8, "1", "Runge-Kutta steps per call where no closed form exists")

    def __post_init__(self) -> None:
        names = ["r_on", "r_off", "thickness", "mobility", "p", "j", "substeps"]
        require(self, positive, "a number > 0", names)
        require(self, unit_interval, "a number in [0, 1]", ["x0"])
        require_ascending(self, "r_on", "r_off")
        require_choice(self, "window", WINDOWS)

    def conductance(self, state: Tensor) -> Tensor:
        x = state[0]
        return torch.reciprocal(self.r_on * x + self.r_off * (1 - x))

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        x = state[0]
        push = self.mobility * self.r_on / self.thickness**2 * dt * voltage
        window = Window(self.window, self.p, self.j, self.substeps)
        moved = x + window.travel(x, push, self.r_on, self.r_off)
        return as_state(moved.clamp(0, 1))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.x0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        return as_state(fraction(1 / conductance.clamp(min=0), self.r_off, self.r_on))

    presets: ClassVar[Mapping[str, Preset]] = {
        "strukov_2b": published(
            "Strukov 2008, fig 2b, read in the paper (x0 is ours)", "1 V sine; illustration"
        ),
        "strukov_2c": published(
            "Strukov 2008, fig 2c, read in the paper (x0 is ours)",
            "sin^2 pulses; illustration",
            r_off=38e3,
        ),
        "strukov_3c": published(
            "Strukov 2008, fig 3c, window read in the paper (ratio of fig 2c and x0 are ours)",
            "illustration",
            r_off=38e3,
            window="prodromakis",
        ),
        "biolek_5a": published(
            "Biolek, Radioengineering 18:210 (2009), fig 5a, read in the paper; R0 = 11 kohm",
            "1.2 V sine, 1 Hz",
            x0=5 / 15.9,
            window="joglekar",
            p=10.0,
        ),
        "biolek_5b": published(
            "Biolek 2009, fig 5b, read in the paper; R0 = 28 kohm",
            "1.5 V sin^2 pulses",
            r_off=38e3,
            x0=10 / 37.9,
            window="joglekar",
            p=10.0,
        ),
        "biolek_5c": published(
            "Biolek 2009, fig 5c, read in the paper; R0 = 1 kohm (window as in fig 5a: assumed)",
            "2 V",
            r_off=5e3,
            x0=4 / 4.9,
            window="joglekar",
            p=10.0,
        ),
        "biolek_netlist": published(
            "Biolek 2009, SPICE listing, read in the paper; R0 = 80 kohm (window: assumed)",
            r_on=1e3,
            r_off=100e3,
            x0=20 / 99,
            window="joglekar",
        ),
        "benchmark_r1": published(
            "Biolek, Di Ventra, Pershin, Radioengineering 22:945 (2013), R.1, read in the paper; "
            "R0 = 5 kohm",
            r_off=10e3,
            x0=5 / 9.9,
            window="joglekar",
        ),
        "memtorch": published(
            "constants of a public simulator's default, without its added +-0.55 V threshold",
            "5 V, 2.5 Hz demonstration",
            window="joglekar",
        ),
        "technion": published(
            "Kvatinsky et al., CCIT report, Verilog-A listing, read there (window: one of several)",
            r_off=200e3,
            thickness=3e-9,
            mobility=1e-15,
            x0=0.5,
            window="joglekar",
            p=2.0,
        ),
        "tutorial_a": published(
            "constants of the public Memristor-Models collection, first set",
            "1 V, 1 Hz",
            r_on=10e3,
            r_off=100e3,
            thickness=27e-9,
            window="joglekar",
            p=7.0,
        ),
        "tutorial_b": published(
            "constants of the public Memristor-Models collection, second set (window: assumed)",
            r_on=1e3,
            r_off=10e3,
            thickness=85e-9,
            mobility=2e-14,
            window="joglekar",
            p=2.0,
        ),
        "knowm_a": published(
            "constants of the public Memristor-Models-4-All collection",
            r_off=1e3,
            thickness=16e-9,
            mobility=4e-14,
            x0=0.076,
            window="biolek",
            p=7.0,
        ),
        "knowm_b": published(
            "constants of the public Memristor-Models-4-All collection",
            r_off=10e3,
            thickness=12e-9,
            mobility=5e-14,
            x0=0.56,
            window="joglekar",
            p=7.0,
        ),
    }
