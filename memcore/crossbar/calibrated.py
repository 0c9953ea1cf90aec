"""`Port`: a converter together with the range that it was calibrated to."""

import warnings

import torch
from torch import Tensor, nn

from memcore.contracts.converter import Converter
from memcore.contracts.forms import UniformLevels
from memcore.contracts.records import Context
from memcore.errors import CalibrationWarning, ConversionError


class Port(nn.Module):
    """The inputs or the outputs of arrays; without a converter it passes values unchanged.

    Args:
        converter: DAC or ADC, None for none.
        ctx: handed to `Converter.bind`.
        like: gives dtype and device.
    """

    range: Tensor

    def __init__(self, converter: Converter | None, ctx: Context, like: Tensor) -> None:
        super().__init__()
        self.converter = converter
        self._context = ctx
        self.form: nn.Module | None = None
        self.register_buffer("range", like.new_full((2,), torch.nan))
        self.reset()

    @property
    def is_ready(self) -> bool:
        """Whether values can be converted: there is a range, or nothing to convert."""
        return self.converter is None or self.form is not None

    @property
    def levels(self) -> UniformLevels | None:
        """The form if it is uniform with one step, which kernels can fuse."""
        uniform = isinstance(self.form, UniformLevels) and self.form.step.numel() == 1
        return self.form if uniform else None  # type: ignore[return-value]

    def forward(self, values: Tensor) -> Tensor:
        """What the converter makes of the values."""
        return values if self.form is None else self.form(values)

    def reset(self) -> None:
        """Forget the range, unless the converter has a fixed one."""
        self.range.fill_(torch.nan)
        self.observe(self.range.new_zeros(0))
        self.bind()

    @property
    def is_fixed(self) -> bool:
        """Whether the range does not depend on values."""
        nothing = self.range.new_zeros(0)
        return self.converter is not None and self.converter.observe(nothing) is not None

    def rescale(self, factor: float) -> None:
        """Express a range that was observed in another unit."""
        if not self.is_fixed:
            self.range.mul_(factor)

    def observe(self, values: Tensor) -> None:
        """Widen the range to what the converter wants for these values too; `bind` uses it."""
        seen = None if self.converter is None else self.converter.observe(values)
        if seen is not None:
            self.range[0] = torch.fmin(self.range[0], seen[0])
            self.range[1] = torch.fmax(self.range[1], seen[1])

    def bind(self) -> None:
        """Derive the form from the range."""
        self.form = None
        if self.converter is None or not self.range.isfinite().all():
            return
        form = self.converter.bind(self.range.clone(), self._context).to(self.range.device)
        for module in form.modules():  # derived from the range, so no part of the state
            for name, value in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, value, persistent=False)
        self.form = form

    def extra_repr(self) -> str:
        """The converter and its range."""
        return f"{self.converter}, range={self.range.tolist()}"


def warn_uncalibrated(n: int) -> None:
    """Say that `n` reads, which nobody chose, set the ranges."""
    if torch.compiler.is_compiling():
        raise ConversionError(
            "converters have no range yet; call memcore.calibrate(model, inputs) before "
            "torch.compile"
        )
    warnings.warn(
        f"converters take their ranges from the first batch ({n} reads); to choose the inputs, "
        "pass calibration= to memcore.convert or call memcore.calibrate",
        CalibrationWarning,
        stacklevel=4,
    )
