"""The largest values that chips have: beyond them, another unit or another thing is meant."""

from typing import Final

#: S of a cell.
MOST_SIEMENS: Final = 1.0
#: S of a cell that was drawn around a window that ends at `MOST_SIEMENS`, however widely.
MOST_DRAWN_SIEMENS: Final = 1e3
#: V at a line of an array.
MOST_VOLTS: Final = 1e3
#: V of a pulse that writes.
MOST_PULSE_VOLTS: Final = 100.0
#: V of a read.
MOST_READ_VOLTS: Final = 10.0
#: s of a pulse.
MOST_PULSE_SECONDS: Final = 10.0
#: K, at which no chip is solid.
MOST_KELVIN: Final = 5e3
#: Cells of one array, beyond which no memory holds it.
MOST_CELLS: Final = 2**27

VOLTS: Final = "give volts, 200 mV is 0.2"
SECONDS: Final = "give seconds, 100 ns is 1e-7"
KELVIN: Final = "give kelvin, 85 degrees Celsius is 358.15"


def too_conductive(name: str, highest: float) -> str:
    """What to say of conductances above `MOST_SIEMENS`: most are resistances, or the reverse."""
    return (
        f"{name} is up to {highest:.3g}; expected siemens, at most {MOST_SIEMENS:g} in a cell: "
        "for resistances in ohm give 1 / R, for ohm where siemens came 1 / G, for microsiemens "
        "1e-6 * G"
    )
