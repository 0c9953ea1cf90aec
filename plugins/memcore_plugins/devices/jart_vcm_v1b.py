"""JART VCM v1b: oxygen vacancies in a disc below an electrode, moved by field and heat."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import as_state, filled, log
from memcore_plugins._tensor import as_tensor
from memcore_plugins.devices._jart import HIGHEST, LOWEST, Response, Table, illinois, travel

#: Natural constants, rounded as the reference calculations have them: a hundred-thousandth in e/k
#: is a thousandth in the rates.
E: Final = 1.602e-19
VOLT_PER_KELVIN: Final = 1.3807e-23 / E
H: Final = 6.626e-34
EPS0: Final = 8.854e-12
M0: Final = 9.1093837e-31
UNIT: Final = 1e26  #: 1/m^3, in which concentrations are counted inside: their powers overflow
_TINY: Final = 1e-12
_HALVINGS: Final = 50


@dataclass(frozen=True, kw_only=True)
class JartVcmV1b(Memristor):
    """A Schottky contact in series with the disc, a plug and lines.

        v = v_s + i (R_disc + R_plug + R_series)
        R_disc = l / (N z e mu_n pi r^2),  R_plug = (l_cell - l) / (N_plug z e mu_n pi r^2)
        R_series = R_tiox + R0 (1 + R0 alpha_line R_th_line i^2)
        phi = phi_bn0 - (e^3 z N (phi_bn0 - phi_n - v_s) / (8 pi^2 eps_phi^3))^(1/4), >= 0
        v < 0:  i = -pi r^2 A_r T/k sqrt(pi W00 e (|v_s| + phi/cosh^2(W00/kT))) e^(-phi/W0)
                    (e^(|v_s|/eps') - 1)
                W00 = e h/(4 pi) sqrt(z N/(m0 eps)),  W0 = W00 / tanh(W00/kT),
                eps' = W00 / (W00/kT - tanh(W00/kT))
        v > 0:  i = pi r^2 A_r T^2 e^(-phi/kT) (e^(v_s/kT) - 1)
        T = T0 + i (v - i R_series) R_th,  R_th = R_th0 (r_det/r)^2, for v > 0 times reset_heat
        dN/dt = -sign(v) c a nu0/l (e^(-W_min/kT) - e^(-W_max/kT)) F,  c = (N_plug + N)/2
        W_min,max = dW_A (sqrt(1 - g^2) -+ g pi/2 + g asin g),  g = z a E/(pi dW_A)
        E = i R_disc/l (v < 0),  (v - i R_series)/l_cell (v > 0)
        F = 1 - (N/N_max)^10 (v < 0),  1 - (N_min/N)^10 (v > 0)

    SET at negative voltages. Bengel et al., IEEE TCAS-I 67:4618 (2020); Hardtdegen et al., IEEE
    TED 65:3229 (2018); constants read in public code of the model.

    The state is ln(N/N_min) / ln(N_max/N_min), 1 at the most conductive end. The current is
    implicit. For v > 0 there are up to three solutions, of which the one that is connected to
    v_s = 0, with the largest current, is taken. `tabulated`, I and dN/dt at (v, ln N) are
    interpolated in a table that is made when first needed, one for each set of parameters. In
    `simulate`, and where parameters differ from cell to cell, the equation is solved for every
    cell, by bracketed secants of a fixed number: that has more arithmetic, but runs natively.

    Conductance is the slope at v = 0 on the side of RESET, where reads do not disturb; up to
    0.5 V the chord is within 2 %. A constant voltage is integrated in pieces of the way that
    is left, whose rates are exponential in ln N; any time may pass. Cells differ in l, r, N_min
    and N_max; the variability from cycle to cycle of Bengel, eqs 21 to 24, is left out.
    """

    polarity: ClassVar[int] = -1

    feels_temperature: ClassVar[bool | None] = False  #: but for its own parameter, T0

    N_min: Parameter = parameter(
        8e23, "1/m^3", "least concentration; Bengel 2020", above=0, below="N_max"
    )
    N_max: Parameter = parameter(2e27, "1/m^3", "highest concentration; Bengel 2020", above=0)
    N_plug: Parameter = parameter(2e27, "1/m^3", "concentration in the plug; Bengel 2020", above=0)
    l: Parameter = parameter(  # noqa: E741
        0.4e-9, "m", "length of the disc; Bengel 2020", above=0, below="l_cell"
    )
    l_cell: Parameter = parameter(3e-9, "m", "length of disc and plug; Bengel 2020", above=0)
    r: Parameter = parameter(45e-9, "m", "radius of the filament; Bengel 2020", above=0)
    r_det: Parameter = parameter(45e-9, "m", "radius for which R_th0 holds; Bengel 2020", above=0)
    z: Parameter = parameter(2.0, "1", "charge of a vacancy; Bengel 2020", above=0)
    mu_n: Parameter = parameter(4e-6, "m^2/(V s)", "mobility of electrons; Bengel 2020", above=0)
    A_r: Parameter = parameter(6.01e5, "A/(m^2 K^2)", "Richardson constant; Bengel 2020", above=0)
    phi_bn0: Parameter = parameter(
        0.18, "eV", "height of the Schottky barrier; Bengel 2020", above=0
    )
    phi_n: Parameter = parameter(
        0.1, "eV", "Fermi level below the band; Bengel 2020", at_least=0, below="phi_bn0"
    )
    eps_r: Parameter = parameter(17.0, "1", "static permittivity; Bengel 2020", above=0)
    eps_phi: Parameter = parameter(5.5, "1", "permittivity of the barrier; Bengel 2020", above=0)
    a: Parameter = parameter(0.25e-9, "m", "hopping distance; Bengel 2020", above=0)
    nu0: Parameter = parameter(2e13, "Hz", "attempt frequency; Bengel 2020", above=0)
    dW_A: Parameter = parameter(
        1.35, "eV", "activation energy of ion hopping; Bengel 2020", above=0
    )
    T0: Parameter = parameter(293.0, "K", "ambient temperature; Bengel 2020", above=0)
    R_th0: Parameter = parameter(15.72e6, "K/W", "thermal resistance; Bengel 2020", at_least=0)
    reset_heat: Parameter = parameter(
        0.27, "1", "share of the thermal resistance that acts in RESET; Bengel 2020", at_least=0
    )
    R_tiox: Parameter = parameter(
        650.0, "ohm", "resistance of the oxide in series; Bengel 2020", above=0
    )
    R0: Parameter = parameter(
        719.2437, "ohm", "resistance of the cold lines; Bengel 2020", at_least=0
    )
    R_th_line: Parameter = parameter(
        90471.47, "K/W", "thermal resistance of lines; Bengel 2020", at_least=0
    )
    alpha_line: Parameter = parameter(
        3.92e-3, "1/K", "temperature coefficient of the lines; Bengel 2020", at_least=0
    )
    s0: Parameter = parameter(
        0.0, "1", "state of fresh cells, 0 at N_min and 1 at N_max", within=(0, 1)
    )
    pieces: int = parameter(
        16, "1", "number of pieces into which a step cuts the way that is left", above=0
    )
    tabulated: bool = parameter(
        True, "1", "whether a table is interpolated where all cells are the same"
    )

    # -- the window --------------------------------------------------------------------------------

    @property
    def _lowest(self) -> float | Tensor:
        return log(self.N_min / UNIT)

    @property
    def _span(self) -> float | Tensor:
        span = log(self.N_max / self.N_min)
        return span.clamp(min=1e-6) if isinstance(span, Tensor) else span

    def concentration(self, s: Tensor) -> Tensor:
        """N in 1/m^3 of a normalised state."""
        return UNIT * torch.exp(self._lowest + s * self._span)

    # -- the current -------------------------------------------------------------------------------

    def ohmic(self, n: Tensor) -> tuple[Tensor, Parameter]:
        """R_disc and R_plug; n in 1e26 per m^3."""
        per_length = 1 / (self.z * E * self.mu_n * UNIT * math.pi * self.r**2)
        return per_length * self.l / n, per_length * (self.l_cell - self.l) / (self.N_plug / UNIT)

    def series(self, i: Tensor) -> Tensor:
        """R_series at a current, hot lines included."""
        return self.R_tiox + self.R0 * (1 + self.R0 * self.alpha_line * self.R_th_line * i**2)

    def cold(self, n: Tensor) -> Tensor:
        """All resistances at no current."""
        disc, plug = self.ohmic(n)
        return disc + plug + self.R_tiox + self.R0

    def _through_resistances(self, u: Tensor, n: Tensor) -> Tensor:
        """The current at which all resistances together drop u; the root of a cubic."""
        cold = self.cold(n)
        bent = (3 * self.R0**2 * self.alpha_line * self.R_th_line / cold).sqrt() + _TINY
        return 2 / bent * torch.sinh(torch.asinh(1.5 * bent * u / cold) / 3)

    def _heated(self, i: Tensor, v: Tensor, reset: Tensor) -> Tensor:
        """T in K at |i| and |v|."""
        heat = self.R_th0 * (self.r_det / self.r) ** 2 * i * (v - i * self.series(i))
        return self.T0 + torch.where(reset, self.reset_heat * heat, heat)

    def barrier(self, n: Tensor, v_s: Tensor) -> Tensor:
        """Phi in eV; n in 1e26 per m^3, v_s with its sign."""
        field = (self.phi_bn0 - self.phi_n - v_s).clamp(min=_TINY)
        strength = E**3 * UNIT / (8 * math.pi**2 * EPS0**3) * self.z / self.eps_phi**3
        return (self.phi_bn0 - (strength * n * field).sqrt().sqrt()).clamp(min=0)

    def _log_emission(self, v_s: Tensor, n: Tensor, thermal: Tensor, reset: Tensor) -> Tensor:
        """Ln of the current across the contact at |v_s|; thermal is kT/e."""
        phi = self.barrier(n, torch.where(reset, v_s, -v_s))
        over = 2 * thermal.log() - phi / thermal + _log_expm1(v_s / thermal)
        w00 = H / (4 * math.pi) * (self.z * UNIT / (M0 * EPS0)) ** 0.5 * (n / self.eps_r).sqrt()
        x = (w00 / thermal).clamp(max=40.0)
        through = 0.5 * (math.pi * w00 * (v_s + phi / torch.cosh(x) ** 2)).log()
        through = through + thermal.log() - phi * torch.tanh(x) / w00
        through = through + _log_expm1(v_s * _tanh_deficit(x) / thermal)
        scale = log(math.pi * self.r**2 * self.A_r / VOLT_PER_KELVIN**2)
        return torch.where(reset, over, through) + scale

    def solve(self, voltage: Tensor, n: Tensor) -> Tensor:
        """|i| in A, exactly; n in 1e26 per m^3.

        The unknown is y = ln(|v_s|/(|v| - |v_s|)). For v > 0, v_s lies below 0.05 V, where the
        lowering of the barrier has not yet ended and the branch that begins at 0 is alone.
        """
        v, reset = voltage.abs() + torch.zeros_like(n), voltage > 0
        n = n + torch.zeros_like(v)

        def mismatch(y: Tensor) -> Tensor:
            i = self._through_resistances(v * torch.sigmoid(-y), n)
            thermal = VOLT_PER_KELVIN * self._heated(i, v, reset)
            return self._log_emission(v * torch.sigmoid(y), n, thermal, reset) - i.log()

        highest = torch.where(reset, -(v / 0.05 - 1).clamp(min=1.0).log(), 9.0)
        y = illinois(mismatch, torch.full_like(v, -14.0), highest)
        return self._through_resistances(v * torch.sigmoid(-y), n)

    # -- the motion --------------------------------------------------------------------------------

    def log_speed(self, i: Tensor, voltage: Tensor, n: Tensor) -> Tensor:
        """Ln |d ln N/dt| in 1/s at |i|, but for F."""
        v, reset = voltage.abs(), voltage > 0
        disc = i * self.ohmic(n)[0] / self.l
        field = torch.where(reset, (v - i * self.series(i)) / self.l_cell, disc)
        barrier = self.dW_A / (VOLT_PER_KELVIN * self._heated(i, v, reset))
        g = (self.z * self.a / (math.pi * self.dW_A) * field).clamp(_TINY, 0.999999)
        root = (1 - g * g).sqrt()
        lower = barrier * (root + 2 * g * torch.atan(g / (1 + root)) - g * math.pi / 2)
        back = (-torch.expm1(-math.pi * barrier * g)).log()
        attempts = (self.N_plug / UNIT + n) / (2 * n) * self.a * self.nu0 / self.l
        return attempts.log() - lower + back

    @property
    def _looks_up(self) -> bool:
        """Whether there is a table: of cells that are all the same."""
        return self.tabulated and not any(isinstance(x, Tensor) for x in vars(self).values())

    def respond(self, voltage: Tensor, log_n: Tensor) -> Response:
        """The response by the equations, for |v| from LOWEST to HIGHEST."""
        n = log_n.exp()
        i = self.solve(voltage, n)
        log_v = voltage.abs().log()
        return Response(i.log() - log_v, self.log_speed(i, voltage, n) - log_v)

    def _response(self, voltage: Tensor, log_n: Tensor, which: int) -> Tensor:
        """From the table if there is one, at a voltage inside its range."""
        v = voltage.abs().clamp(LOWEST, HIGHEST)
        if self._looks_up and not log_n.is_meta:  # recorded steps are arithmetic only
            table = self.table(log_n.dtype, log_n.device)
            found: Tensor = table.look_up(which, v, voltage > 0, log_n)
            return found
        return self.respond(torch.where(voltage > 0, v, -v), log_n)[which]

    # Otherwise torch.compile would trace how the table is made, not what is in it.
    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def table(self, dtype: torch.dtype, where: torch.device) -> Table:
        """The responses of cells that are all the same, made when first needed."""
        return _made(self, dtype, where)

    # -- the contract ------------------------------------------------------------------------------

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        log_n = self._lowest + state[0] * self._span
        return voltage * self._response(voltage, log_n, 0).exp()

    def temperature(self, state: Tensor, voltage: Tensor) -> Tensor:
        """T in K of the filament."""
        return self._heated(self.current(state, voltage).abs(), voltage.abs(), voltage > 0)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        s, reset = state[0], voltage > 0

        def log_speed(y: Tensor) -> Tensor:
            log_n = self._lowest + torch.where(reset, y, -y + self._span)
            return self._response(voltage, log_n, 1)

        y = torch.where(reset, s, 1 - s) * self._span
        path = travel(log_speed, y, dt * voltage.abs(), self.pieces) / self._span
        moved = (s + torch.where(reset, -path, path)).clamp(0, 1)
        return as_state(torch.where(voltage == 0, s, moved))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.s0, ctx)

    def conductance(self, state: Tensor) -> Tensor:
        return self._conductance(torch.exp(self._lowest + state[0] * self._span))

    def _conductance(self, n: Tensor) -> Tensor:
        thermal = VOLT_PER_KELVIN * self.T0
        slope = math.pi * self.r**2 * self.A_r * self.T0**2 / thermal
        contact = torch.exp(self.barrier(n, torch.zeros_like(n)) / thermal) / slope
        return (contact + self.cold(n)).reciprocal()

    def state_of(self, conductance: Tensor) -> Tensor:
        low, high = torch.zeros_like(conductance), torch.ones_like(conductance)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            above = self.conductance(as_state(middle)) > conductance
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return as_state(torch.where(high == 1, high, low))

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        ends = (as_tensor(n / UNIT, dtype=torch.float64) for n in (self.N_min, self.N_max))
        low, high = (self._conductance(n) for n in ends)
        return (low, high) if low.ndim or high.ndim else (low.item(), high.item())


@lru_cache(maxsize=16)
def _made(device: JartVcmV1b, dtype: torch.dtype, where: torch.device) -> Table:
    return Table.of(device.respond, float(device._lowest), float(device._span)).to(dtype, where)


def _log_expm1(x: Tensor) -> Tensor:
    return x + (-torch.expm1(-x)).log()


def _tanh_deficit(x: Tensor) -> Tensor:
    """1 - tanh(x)/x, without the cancellation at small x."""
    q = x * x
    series = q / 3 * (1 - q * (2 / 5 - q * (17 / 105 - q * (62 / 945 - q * 1382 / 51975))))
    return torch.where(x < 0.2, series, 1 - torch.tanh(x) / x)
