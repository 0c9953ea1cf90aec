"""Forms of converters that differ from each other: which code each of them gives to a value."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from memcore.errors import ConfigError


class Transfer(nn.Module):
    """Base of the forms of converters of which each has errors of its own.

    A subclass says in `code` which code an instance gives; what the digital side takes the code for
    is the same for all instances.

    Args:
        values: what each code stands for, ascending and evenly spaced, [codes].
        instances: how many converters there are.
        instance: converter of each value, int64 [groups, groups of word lines, columns], as
            `Lines.shared` gives it; None if there is one for all values.
        noise: standard deviation of the noise of a conversion in the unit of the values, drawn anew
            for each and added before it; [] or [instances].
    """

    values: Tensor
    instance: Tensor
    noise: Tensor

    def __init__(
        self,
        values: Tensor,
        instances: int = 1,
        instance: Tensor | None = None,
        noise: Tensor | float = 0.0,
    ) -> None:
        super().__init__()
        self.instances = instances
        where = torch.zeros(1, dtype=torch.int64, device="cpu") if instance is None else instance
        self.register_buffer("values", values)
        self.register_buffer("instance", where.to(values.device))
        spread = noise if isinstance(noise, Tensor) else values.new_tensor(noise)
        self.register_buffer("noise", spread.to(values))
        #: Whether conversions draw noise.
        self.is_noisy = not values.is_meta and bool((spread > 0).any())

    @abstractmethod
    def code(self, x: Tensor, instance: Tensor) -> Tensor:
        """Codes of x, int64, from 0 to the number of codes less one.

        Args:
            x: values of any shape.
            instance: converter of each, int64; the two broadcast against each other.
        """

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of the noise of a conversion, [] or of each value."""
        return self.noise[self.instance] if self.noise.dim() else self.noise

    def forward(self, x: Tensor) -> Tensor:
        """What each value is taken for, without noise; the gradient passes straight through."""
        level = self.values[self.code(x.detach(), self.instance)].to(x.dtype)
        return level + (x - x.detach())


class Thresholds(Transfer):
    """Codes by thresholds: code k above the k-th threshold of the instance.

    Args:
        edges: thresholds of each converter, ascending, [instances, codes - 1] in the unit of the
            values.
        values: what each code stands for, [codes].
        instance: as of `Transfer`.
        noise: as of `Transfer`.
    """

    edges: Tensor

    def __init__(
        self,
        edges: Tensor,
        values: Tensor,
        instance: Tensor | None = None,
        noise: Tensor | float = 0.0,
    ) -> None:
        super().__init__(values, len(edges), instance, noise)
        if edges.dim() != 2 or edges.shape[1] + 1 != values.numel():
            raise ConfigError(
                f"thresholds of shape {tuple(edges.shape)} for {values.numel()} codes; expected "
                "[instances, codes - 1]"
            )
        self.register_buffer("edges", edges)

    def code(self, x: Tensor, instance: Tensor) -> Tensor:
        count = self.edges.shape[1]
        flat, first = self.edges.flatten(), instance * count - 1
        code = torch.zeros_like(first)
        for bit in reversed(range(count.bit_length())):
            tried = code + (1 << bit)
            edge = flat[first + tried.clamp(max=count)]
            code = torch.where((x > edge) & (tried <= count), tried, code)
        return code
