"""`Linear` and `Conv` on crossbars: they differ only in how inputs reach the word lines."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.records import Programmed
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.crossbar import Crossbar
from memcore.ops.surrogate import straight_through, through_product
from memcore.random import Stream

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)

#: Where a module keeps its hooks.
_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)


class CrossbarLayer(nn.Module):
    """A layer whose weights are conductances.

    `weight` and `bias` are what the layer was asked to hold, `crossbar` is what its cells hold.
    The forward pass uses the cells; gradients go straight through to `weight` and `bias`, and
    `memcore.program(model)` writes these into the cells again.

    Args:
        layer: the digital layer; its parameters are shared, not copied.
        config: how the arrays are built and read.
        random: the layer's stream.
        name: the layer's qualified name.
    """

    bias: nn.Parameter | None
    groups: int = 1

    def __init__(self, layer: nn.Module, config: CrossbarConfig, random: Stream, name: str) -> None:
        super().__init__()
        for constant in layer.__constants__:  # type: ignore[union-attr]
            setattr(self, constant, getattr(layer, constant))
        self.weight: nn.Parameter = layer.weight  # type: ignore[assignment]
        self.bias = layer.bias  # type: ignore[assignment]
        self.train(layer.training)
        for hooks in _HOOKS:  # shared, so that a handle from before still removes its hook
            object.__setattr__(self, hooks, getattr(layer, hooks))
        # Not a submodule: its parameters are ours. It only serves to go back.
        object.__setattr__(self, "_digital", layer)
        self.maps_bias = self.bias is not None and config.bias == "mapped"
        self.crossbar = Crossbar.of_weight(
            self._matrix().transpose(1, 2), config, random, name=name, constant=self.maps_bias
        )
        self.crossbar.register_forward_pre_hook(_no_shortcut)

    def program(self) -> Programmed:
        """Write `weight` and `bias` into the cells again."""
        return self.crossbar.write(self._matrix().transpose(1, 2))

    def digital(self) -> nn.Module:
        """The digital layer with the present `weight` and `bias`."""
        layer: nn.Module = self.__dict__["_digital"]
        layer.weight = self.weight
        layer.bias = self.bias  # type: ignore[assignment]
        return layer.train(self.training)

    def reconfigured(self, config: CrossbarConfig) -> Self:
        """The same layer of the same chip, built and read as another config says."""
        old = self.crossbar
        layer = type(self)(self.digital(), config, old.random, old.name)
        new = layer.crossbar
        if config.dac is not None:
            new.input.range.copy_(old.input.range)
        if config.adc is not None:
            new.output.range.copy_(old.output.range)
            new.output.rescale(new.input_scale / old.input_scale)
        if old.writes:
            new.repeat(old, layer._matrix().transpose(1, 2))
        new.clock.segments = old.clock.segments.clone()
        new.refresh()
        return layer

    @property
    def effective_weight(self) -> Tensor:
        """The weights that the cells stand for, in the shape of `weight`."""
        folded = self.crossbar.folded
        return (folded[..., :-1] if self.maps_bias else folded).reshape(self.weight.shape)

    @property
    def effective_bias(self) -> Tensor | None:
        """The bias that is added: the cells' if it is mapped, else `bias`."""
        return self.crossbar.folded[..., -1].flatten() if self.maps_bias else self.bias

    def _matrix(self) -> Tensor:
        """What the cells should hold, [groups, outputs, inputs]."""
        weight = self.weight.reshape(self.groups, len(self.weight) // self.groups, -1)
        if not self.maps_bias or self.bias is None:
            return weight
        return torch.cat([weight, self.bias.view(self.groups, -1, 1)], dim=2)

    def _exact(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the one product that an exact read is."""
        weight, bias = self.effective_weight, self.effective_bias
        if not torch.is_grad_enabled():
            return weight, bias
        weight = straight_through(weight, self.weight)
        if bias is None or self.bias is None or not self.maps_bias:
            return weight, bias
        return weight, straight_through(bias, self.bias)

    def _read(self, x: Tensor) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs]."""
        crossbar = self.crossbar
        with torch.no_grad():
            y: Tensor = crossbar(x)
        matrix = self._matrix()
        if torch.is_grad_enabled() and (x.requires_grad or matrix.requires_grad):
            y = through_product(y, crossbar.driven(crossbar.input(x)), matrix, crossbar.folded)
        if self.bias is None or self.maps_bias:
            return y
        return y + self.bias.view(self.groups, -1)


class Linear(CrossbarLayer):
    """`torch.nn.Linear` on crossbars."""

    in_features: int
    out_features: int

    def forward(self, input: Tensor) -> Tensor:
        """Outputs [..., out_features] of inputs [..., in_features]."""
        if self.crossbar.reads_exactly:
            return F.linear(self.crossbar.input(input), *self._exact())
        if input.is_nested:  # as nn.TransformerEncoder passes on, to leave out padding
            rows = [self.forward(row) for row in input.unbind()]
            return torch.nested.as_nested_tensor(rows)
        if not input.dim() or input.shape[-1] != self.in_features:
            raise ValueError(
                f"input has shape {list(input.shape)}, expected [..., {self.in_features}]"
            )
        y = self._read(input.reshape(-1, 1, self.in_features))
        return y.view(*input.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """As the digital layer prints."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


class Conv(CrossbarLayer):
    """`torch.nn.Conv1d`, `Conv2d` and `Conv3d` on crossbars.

    Each output position is one read: the inputs under the kernel drive the word lines.
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    padding_mode: str

    def __init__(self, layer: nn.Module, *args: Any) -> None:
        super().__init__(layer, *args)
        self._padding: list[int] = layer._reversed_padding_repeated_twice  # type: ignore[assignment]

    def forward(self, input: Tensor) -> Tensor:
        """[n, in_channels, *space] to [n, out_channels, *positions], or the same without n."""
        dims = len(self.kernel_size)
        if self.crossbar.reads_exactly:
            return self._convolve(self.crossbar.input(input))
        if input.dim() not in (dims + 1, dims + 2) or input.shape[-dims - 1] != self.in_channels:
            raise ValueError(
                f"input has shape {list(input.shape)}, expected [n, {self.in_channels}, *space] or "
                f"[{self.in_channels}, *space] with {dims} dimension(s) of space"
            )
        batched = input if input.dim() == dims + 2 else input.unsqueeze(0)
        windows = self._windows(self._padded(batched))
        y = self._read(windows.flatten(0, dims))
        y = y.reshape(*windows.shape[: dims + 1], self.out_channels).movedim(-1, 1)
        return y if input.dim() == dims + 2 else y.squeeze(0)

    def _convolve(self, x: Tensor) -> Tensor:
        convolve = _CONVOLUTIONS[len(self.kernel_size) - 1]
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = self._padded(x), (0,) * len(self.kernel_size)
        return convolve(x, *self._exact(), self.stride, padding, self.dilation, self.groups)

    def _padded(self, x: Tensor) -> Tensor:
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        return F.pad(x, self._padding, mode=mode) if any(self._padding) else x

    def _windows(self, x: Tensor) -> Tensor:
        """[n, channels, *space] to the inputs of each position, [n, *positions, groups, rows]."""
        dims = len(self.kernel_size)
        shape = zip(self.kernel_size, self.stride, self.dilation, strict=True)
        for dim, (size, stride, dilation) in enumerate(shape):
            x = x.unfold(dim + 2, dilation * (size - 1) + 1, stride)[..., ::dilation]
        x = x.reshape(len(x), self.groups, self.in_channels // self.groups, *x.shape[2:])
        return x.movedim((1, 2), (dims + 1, dims + 2)).flatten(dims + 2)

    def extra_repr(self) -> str:
        """As the digital layer prints."""
        digital: nn.Module = self.__dict__["_digital"]
        return digital.extra_repr()


def _no_shortcut(crossbar: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Make torch call the layer: `nn.TransformerEncoderLayer` reads `weight` past it otherwise.

    The fused path that it takes in evaluation is open to modules without hooks only.
    """
    del crossbar, inputs
