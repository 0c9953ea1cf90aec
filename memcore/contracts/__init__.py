"""The contracts: what a device, a non-ideality, a mapper, a programmer, a converter must offer."""

from memcore.contracts.compression import CompressionPass
from memcore.contracts.contract import Contract
from memcore.contracts.converter import Converter
from memcore.contracts.cost import CostModel
from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.contracts.executor import Executor
from memcore.contracts.layer import Layer
from memcore.contracts.mapper import Mapper
from memcore.contracts.programmer import Programmer
from memcore.contracts.update import UpdateRule

#: The contracts whose plugins are frozen dataclasses of parameters.
CONTRACTS: dict[str, type[Contract]] = {
    contract.kind: contract
    for contract in (
        *(Memristor, NonIdeality, Mapper, Programmer, Converter, CostModel),
        *(CompressionPass, UpdateRule, Executor),
    )
}
#: Every base class by kind; a layer is a module.
BASES: dict[str, type[Contract] | type[Layer]] = {**CONTRACTS, Layer.kind: Layer}
