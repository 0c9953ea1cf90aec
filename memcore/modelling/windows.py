"""Window functions of the ion drift models, and the motion under them at a constant voltage.

The motion solves dx/dp = f(x) / R(x), R(x) = r_on x + r_off (1 - x), where the push p is the
drift constant times the flux. A plain integrator in x overshoots the zeros of f; here the
integration variable is chosen such that its rate stays finite, so any push is safe.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from memcore.contracts.parameters import Parameter
from memcore.errors import ConfigError

WindowName = Literal["none", "joglekar", "biolek", "prodromakis"]
WINDOWS: Final[tuple[str, ...]] = get_args(WindowName)

#: Joglekar's and Prodromakis' windows vanish at both ends, where a cell would stay for ever, also
#: if only rounding took it there. They are evaluated no closer to an end than this.
EDGE: Final = 1e-6

#: Below this product of x and 1 - x a window is its slope.
_TINY: Final = 1e-30

#: Newton's method advances by one unit of the logit while the slope falls from r_off to r_on.
_NEWTON: Final = 24


def joglekar(x: Tensor, p: float) -> Tensor:
    """`1 - (2x - 1)^2p`; Joglekar and Wolf, Eur. J. Phys. 30:661 (2009)."""
    return 1 - ((2 * x - 1) ** 2) ** p


def biolek(x: Tensor, current: Tensor, p: float) -> Tensor:
    """`1 - (x - step(-i))^2p`, step(0) = 1; Biolek et al., Radioengineering 18:210 (2009)."""
    return 1 - ((x - (current <= 0).to(x.dtype)) ** 2) ** p


def prodromakis(x: Tensor, p: float, j: float) -> Tensor:
    """`j (1 - [(x - 1/2)^2 + 3/4]^p)`; Prodromakis et al., IEEE TED 58:3099 (2011)."""
    return j * (1 - ((x - 0.5) ** 2 + 0.75) ** p)


def require_vanishing(window: str, ends: str) -> None:
    """Refuse published ends of windows that do not vanish there.

    Raises:
        ConfigError: with both.
    """
    if ends == "published" and window not in ("joglekar", "prodromakis"):
        raise ConfigError(
            f"ends={ends!r} with window={window!r}, where it has no effect; expected window="
            "'joglekar' or 'prodromakis', which vanish at both ends: set one, or leave ends out"
        )


@dataclass(frozen=True)
class Window:
    """A window by name, with its parameters, ready to move cells.

    For example::

        window = Window("joglekar", p=2.0, j=1.0, substeps=8)
        x = (x + window.travel(x, push, r_on, r_off)).clamp(0, 1)

    Args:
        name: one of `WINDOWS`; none means that the state stops at its ends.
        p: exponent.
        j: height of Prodromakis' window.
        substeps: number of Runge-Kutta steps for each push where there is no closed form.
    """

    name: WindowName
    p: float
    j: float
    substeps: int

    def travel(self, x: Tensor, push: Tensor, r_on: Parameter, r_off: Parameter) -> Tensor:
        """The displacement of cells under a push, not yet clipped to [0, 1].

        Args:
            x: state, [*cells].
            push: drift constant times flux, ohm, [*cells]; its sign is the direction.
            r_on: resistance at x = 1, ohm; 1 if the resistance plays no part.
            r_off: resistance at x = 0, ohm; likewise.
        """
        if self.name == "none":
            return _free(x, push, r_on, r_off)
        if self.name == "biolek":
            return self._one_sided(x, push, r_on, r_off)
        inside = x.clamp(EDGE, 1 - EDGE)
        return _from_logit(inside, self._shift(inside, 1 - inside, push, r_on, r_off))

    def carried(
        self, x: Tensor, rest: Tensor, push: Tensor, r_on: Parameter, r_off: Parameter
    ) -> tuple[Tensor, Tensor]:
        """Where a push takes cells under Joglekar's or Prodromakis' window, as published.

        Cells keep both x and 1 - x, so that near an end neither is rounded away: what a charge
        took there, the opposite charge takes back. A cell at an end stays for ever.

        Args:
            x: state, [*cells].
            rest: 1 - x, [*cells].
            push: as for `travel`.
            r_on: as for `travel`.
            r_off: as for `travel`.

        Returns:
            x and 1 - x afterwards.
        """
        ends = (x <= 0) | (rest <= 0)
        inner = torch.where(ends, 0.5, x), torch.where(ends, 0.5, rest)
        moved = _shifted(*inner, self._shift(*inner, push, r_on, r_off))
        return torch.where(ends, x, moved[0]), torch.where(ends, rest, moved[1])

    def _shift(
        self, x: Tensor, rest: Tensor, push: Tensor, r_on: Parameter, r_off: Parameter
    ) -> Tensor:
        """How far the logit of x moves under a window that vanishes at both ends."""
        if self.p == 1:
            return _logistic_shift(x, rest, self._height * push, r_on, r_off)
        return self._two_sided(x, rest, push, r_on, r_off)

    @property
    def _height(self) -> float:
        """`c j` of the common form `j (1 - [1 - c x (1 - x)]^p)`, c = 4 (Joglekar) or 1."""
        return 4.0 if self.name == "joglekar" else self.j

    def _two_sided(
        self, x: Tensor, rest: Tensor, push: Tensor, r_on: Parameter, r_off: Parameter
    ) -> Tensor:
        c, j = (4.0, 1.0) if self.name == "joglekar" else (1.0, self.j)

        def rate(shift: Tensor) -> Tensor:
            now, left = _shifted(x, rest, shift)
            s = (now * left).clamp(min=_TINY)
            ohm = r_on * now + r_off * left
            return -j * torch.expm1(self.p * torch.log1p(-c * s)) / s / ohm

        return self._integrate(rate, push)

    def _one_sided(self, x: Tensor, push: Tensor, r_on: Parameter, r_off: Parameter) -> Tensor:
        # By symmetry the cell travels from a wall at 0, where f = 1, to one at 1.
        rising = push > 0
        start = torch.where(rising, x, 1 - x)

        def rate(shift: Tensor) -> Tensor:
            left = (1 - start) * torch.exp(-shift)
            now = torch.where(rising, 1 - left, left)
            left = left.clamp(min=EDGE)
            return -torch.expm1(2 * self.p * torch.log1p(-left)) / left / _ohm(now, r_on, r_off)

        gone = -(1 - start) * torch.expm1(-self._integrate(rate, push.abs()))
        return torch.where(rising, gone, -gone)

    def _integrate(self, rate: Callable[[Tensor], Tensor], push: Tensor) -> Tensor:
        """Classical Runge-Kutta from 0; the push is the independent variable."""
        h = push / self.substeps
        y = torch.zeros_like(push)
        for _ in range(self.substeps):
            a = rate(y)
            b = rate(y + h / 2 * a)
            c = rate(y + h / 2 * b)
            y = y + h / 6 * (a + 2 * b + 2 * c + rate(y + h * c))
        return y


def _ohm(x: Tensor, r_on: Parameter, r_off: Parameter) -> Tensor:
    return r_on * x + r_off * (1 - x)


def _free(x: Tensor, push: Tensor, r_on: Parameter, r_off: Parameter) -> Tensor:
    # R^2 = R0^2 - 2 (r_off - r_on) p, as a difference without cancellation.
    before = _ohm(x, r_on, r_off)
    after = (before**2 - 2 * (r_off - r_on) * push).clamp(min=0).sqrt()
    return 2 * push / (before + after)


def _logistic_shift(
    x: Tensor, rest: Tensor, push: Tensor, r_on: Parameter, r_off: Parameter
) -> Tensor:
    """The shift u of the logit with r_on u + (r_off - r_on) ln(x(u) / x) = push, by Newton.

    The left side is concave and rises with slope R, so the iterates approach from below.
    """
    u = torch.zeros_like(push)
    for _ in range(_NEWTON):
        part, other = torch.where(u >= 0, rest, x), torch.where(u >= 0, x, rest)
        fall = part * torch.expm1(-u.abs())
        far = (other + part * torch.exp(-u.abs())).log()  # where 1 + fall would be rounded to 0
        log_ratio = u.clamp(max=0) - torch.where(fall < -0.5, far, torch.log1p(fall))
        now, left = _shifted(x, rest, u)
        ohm = r_on * now + r_off * left
        u = u + (push - r_on * u - (r_off - r_on) * log_ratio) / ohm
    return u


def _shifted(x: Tensor, rest: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The x and 1 - x, both above 0, when the logit of x moves by `shift`."""
    decay = torch.exp(-shift.abs())
    up = torch.where(shift >= 0, x, x * decay)
    down = torch.where(shift >= 0, rest * decay, rest)
    return up / (up + down), down / (up + down)


def _from_logit(x: Tensor, shift: Tensor) -> Tensor:
    """The displacement of x when its logit moves by `shift`; exact for tiny shifts as well."""
    near = torch.where(shift >= 0, x, 1 - x)
    rest = near + (1 - near) * torch.exp(-shift.abs())
    return -shift.sign() * x * (1 - x) * torch.expm1(-shift.abs()) / rest
