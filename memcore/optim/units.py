"""Rules count in equal pulses: weights of outputs whose cells have gains of their own."""

from torch import Tensor

from memcore.crossbar.cells import Cells
from memcore.errors import ConfigError


def units_of(cells: Cells) -> Tensor | None:
    """What a pulse changes the weights of each output by, over the mean one, [outputs].

    Errors and reads that are divided by it make a rule send each output the pulses that its own
    gain asks for. None where all are alike.

    Raises:
        ConfigError: gains differ between the inputs of an output, so that no such number exists.
    """
    scale = cells.scale
    if scale.dim() == 3:
        if bool((scale != scale[:, :1]).any()):
            raise ConfigError(
                f"the tiles of {cells.name or 'the layer'} have gains of their own, with which one "
                "pulse changes the weights of an output by different amounts; expected one gain "
                'for all inputs: scale="matrix" or "column" of the mapper'
            )
        scale = scale[:, 0]
    return None if scale.dim() == 1 else scale[0] / scale[0].mean()
