"""Natural constants in SI units (exact since 2019)."""

from typing import Final

BOLTZMANN: Final = 1.380649e-23  #: J/K
CHARGE: Final = 1.602176634e-19  #: C, of the electron
VOLT_PER_KELVIN: Final = BOLTZMANN / CHARGE  #: V/K; also eV/K
