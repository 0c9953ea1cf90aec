"""Spikes instead of a DAC: a slot of time for each bit of an input."""

from dataclasses import dataclass
from typing import Literal

from memcore import parameter
from memcore_plugins.converters.bit_serial import BitSerial


@dataclass(frozen=True, kw_only=True)
class SpikeCode(BitSerial):
    """Weighted spikes: a spike in the slot of each bit that is set, the slot of bit k counts 2^k.

    What multiplies is that of `bit_serial` with one bit in a step, bit for bit; a driver that is on
    or off takes the place of the DAC. Spikes have no sign: negative inputs have slots of their own.
    Song et al., HPCA 2017.
    """

    bits: int = parameter(16, "1", "slots of an input: bits, with the sign", within=(1, 24))
    bits_per_step: int = parameter(1, "1", "bits of a slot: a spike is there or not", within=(1, 1))
    signed: Literal["split", "twos_complement"] = parameter(
        "split",
        "1",
        "how negative inputs are applied: split, in slots behind those of positive ones; "
        "twos_complement, the sign bit in a slot of its own, which counts negative",
    )
