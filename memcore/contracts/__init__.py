"""The contracts: what a device, a non-ideality, a mapper, a programmer, a converter must offer."""

from memcore.contracts.contract import Contract
from memcore.contracts.converter import Converter
from memcore.contracts.cost import CostModel
from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.contracts.mapper import Mapper
from memcore.contracts.programmer import Programmer

CONTRACTS: dict[str, type[Contract]] = {
    contract.kind: contract
    for contract in (Memristor, NonIdeality, Mapper, Programmer, Converter, CostModel)
}
