"""What mappers share that cut integer codes into digits, which lie in cells of their own."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import ConfigError, Mapped, Mapper, Memristor, Part, Reference, parameter


@dataclass(frozen=True, kw_only=True)
class Sliced(Mapper):
    """Base of mappers that keep each digit of a code in a lane with an ADC of its own."""

    weight_bits: int = parameter(8, "1", "bits B of a weight, its sign among them", within=(2, 24))
    slice_bits: int | tuple[int, ...] = parameter(
        2,
        "1",
        "bits c of a slice: one number for as many slices as the weight needs, or the bits of each "
        "slice, the lowest place first",
        within=(1, 8),
    )
    encoding: Literal["differential", "offset", "midpoint", "twos_complement"] = parameter(
        "differential",
        "1",
        "how the sign is kept: differential, the magnitude in B - 1 bits on two columns; offset, "
        "code + 2^(B-1) beside reference columns that hold 2^(B-1); midpoint, codes 0 to 2^B - 1 "
        "beside reference columns in the middle of the window, so that zero is half a step off; "
        "twos_complement, the top bit counting negative",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.slice_bits, int) and sum(self.slice_bits) < self._bits:
            raise ConfigError(
                f"{type(self).__name__}: slice_bits={self.slice_bits!r} hold "
                f"{sum(self.slice_bits)} bits; expected at least {self._bits} for "
                f"weight_bits={self.weight_bits} with encoding={self.encoding!r}"
            )

    @property
    def _bits(self) -> int:
        """Bits that the slices of one column hold."""
        return self.weight_bits - (self.encoding == "differential")

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of each slice, the lowest place first."""
        if isinstance(self.slice_bits, int):
            return (self.slice_bits,) * -(-self._bits // self.slice_bits)
        return tuple(self.slice_bits)

    def slices(self, code: Tensor, step: Tensor, device: Memristor) -> Mapped:
        """The digits of codes as conductances.

        Args:
            code: integers, [groups, rows, cols].
            step: weight of one step, [], [cols] or [rows, cols].
            device: the nominal device.
        """
        g_min, g_max = device.nominal_range()
        parts, gain = [], []
        for lane, (width, place) in enumerate(_places(self.widths)):
            one = (g_max - g_min) / (2**width - 1)
            columns, counts = self._columns(code, lane, width, place)
            parts += [
                kind(target=g_min + one * digit, lane=lane, sign=sign)
                for kind, digit, sign in columns
            ]
            gain.append(step * (counts * place / one))
        return Mapped(parts=tuple(parts), gain=torch.stack(gain), step=step)

    @property
    def _lowest(self) -> int:
        """The lowest code; only a fixed `w_max` leaves weights below the symmetric one."""
        top: int = 2 ** (self.weight_bits - 1)
        return 1 - top if self.encoding == "differential" else -top

    def _columns(
        self, code: Tensor, lane: int, width: int, place: int
    ) -> tuple[list[tuple[type[Part], Tensor, float]], int]:
        """The columns of a slice: kind, digits and sign of each; and -1 if they count negative."""
        if self.encoding == "differential":
            positive, negative = code.clamp(min=0), (-code).clamp_(min=0)
            digits = [_digit(each, width, place) for each in (positive, negative)]
            return [(Part, digits[0], 1.0), (Part, digits[1], -1.0)], 1
        bits, counts = self.weight_bits, 1
        if self.encoding == "offset":
            zero = float((1 << bits - 1) // place % 2**width)
            digit = _digit(code + 2 ** (bits - 1), width, place)
        elif self.encoding == "midpoint":
            # Of the middle of all codes; the last slice may have bits to spare.
            zero = (2 ** max(0, min(width, bits - (place.bit_length() - 1))) - 1) / 2
            digit = _digit(code, width, place)
        else:
            zero = 0.0
            digit = torch.div(code, place, rounding_mode="floor")
            if lane == len(self.widths) - 1:
                # Signed; turned round, so that the sign bit alone is 1 in a slice of one bit.
                zero, counts = 2.0 ** (width - 1) - 1, -1
                digit = zero - digit
            else:
                digit = digit.remainder(2**width)
        reference = code.new_full((*code.shape[:2], 1), zero)
        return [(Part, digit, 1.0), (Reference, reference, -1.0)], counts


def _places(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Bits and place value of each slice."""
    places, below = [], 0
    for width in widths:
        places.append((width, 1 << below))
        below += width
    return places


def _digit(code: Tensor, width: int, place: int) -> Tensor:
    """The digit of `width` bits that counts for `place`, of codes >= 0."""
    return torch.div(code, place, rounding_mode="floor").remainder(2**width)
