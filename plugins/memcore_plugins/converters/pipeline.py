"""A pipeline ADC of stages with one and a half bits, or a cyclic one that uses one stage again."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import Transfer, parameter
from memcore_plugins.converters._circuit import Circuit, Instances


@dataclass(frozen=True, kw_only=True)
class Pipeline(Circuit):
    """Each stage decides C = -1, 0 or 1 and passes on what is left, twice as large.

    With the range as [-1, 1] and c = C2 / C1, a stage compares with -1/4 and 1/4 and amplifies,
    `v <- ((1 + c) v - c C) / (1 + 1 / (A beta))`, `beta = C1 / (C1 + C2 + Cp)`. After bits - 2
    stages, a flash of two bits takes what is left. An offset of a stage's comparators up to a
    quarter costs nothing, as the next stages make up for it. As in Spear et al., IEEE JxCDC 2023.
    Without errors it is `uniform`.
    """

    capacitor_std: float = parameter(
        0.0,
        "1",
        "standard deviation of the capacitors C1 and C2 of a stage, relative to their size",
        within=(0, 0.25),
    )
    amplifier_gain: float | None = parameter(
        None, "dB", "open-loop gain A of the amplifiers; None for ideal ones", above=0, at_most=300
    )
    parasitic: float = parameter(
        0.0, "1", "parasitic capacitor Cp at the amplifier's input, relative to C1", at_least=0
    )
    comparator_std: float = parameter(
        0.0,
        "1",
        "standard deviation of the offset of a comparator, as a share of the full range",
        within=(0, 1),
    )
    cyclic: bool = parameter(False, "1", "whether one stage is used again for all bits")

    @property
    def is_bent(self) -> bool:
        return any((self.capacitor_std, self.comparator_std, self.amplifier_gain is not None))

    def circuit(self, adcs: Instances) -> nn.Module:
        stages, count = self.bits - 2, adcs.count
        kinds = 1 if self.cyclic else max(stages, 1)
        c1, c2 = (1 + self.capacitor_std * adcs.normal(name, count, kinds) for name in ("c1", "c2"))
        inverse = 0.0 if self.amplifier_gain is None else 10 ** (-self.amplifier_gain / 20)
        loss = 1 + inverse * (c1 + c2 + self.parasitic) / c1
        offsets = 2 * self.comparator_std * adcs.normal("stage", count, kinds, 2)
        flash = 2 * self.comparator_std * adcs.normal("flash", count, 3)
        every = [k if k < kinds else 0 for k in range(stages)]
        return Stages(
            adcs,
            ratio=(c2 / c1)[:, every],
            loss=loss[:, every],
            thresholds=(offsets + torch.tensor([-0.25, 0.25], device="cpu").double())[:, every],
            flash=(flash + torch.tensor([-0.5, 0.0, 0.5], device="cpu").double()).sort(1).values,
        )


class Stages(Transfer):
    """The codes of pipeline converters, stage by stage.

    Args:
        adcs: the converters.
        ratio: c of each stage, [instances, stages].
        loss: by which the residue of each stage is divided, [instances, stages].
        thresholds: of the two comparators of each stage, [instances, stages, 2].
        flash: thresholds of the last two bits, [instances, 3].
    """

    ratio: Tensor
    loss: Tensor
    thresholds: Tensor
    flash: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(
        self, adcs: Instances, *, ratio: Tensor, loss: Tensor, thresholds: Tensor, flash: Tensor
    ) -> None:
        super().__init__(adcs.values, adcs.count, adcs.instance, adcs.noise)
        self.stages = ratio.shape[1]
        half = 2.0 ** (self.stages + 1) * adcs.step  # of the full range
        # From values to [-1, 1], offset and gain of the converter included.
        tensors = {
            "scale": adcs.gain / half,
            "shift": (adcs.offset - adcs.bottom) / half - 1,
            "ratio": ratio,
            "loss": loss,
            "thresholds": thresholds,
            "flash": flash,
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.to(adcs.values))

    def code(self, x: Tensor, instance: Tensor) -> Tensor:
        v = x * self.scale[instance] + self.shift[instance]
        code = torch.full_like(instance, 2 ** (self.stages + 1)).expand(v.shape)
        for stage in range(self.stages):
            ratio, loss = self.ratio[instance, stage], self.loss[instance, stage]
            low, high = self.thresholds[instance, stage].unbind(-1)
            decided = (v > high).to(v.dtype) - (v < low).to(v.dtype)
            v = ((1 + ratio) * v - ratio * decided) / loss
            code = code + decided.long() * 2 ** (self.stages - stage)
        last = sum((v > edge).long() for edge in self.flash[instance].unbind(-1))
        return (code + last - 2).clamp(0, len(self.values) - 1)
