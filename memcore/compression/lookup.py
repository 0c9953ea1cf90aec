"""Layers whose products are looked up: codes of weights and inputs, and a table of products."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore import _check
from memcore.compression.books import nearest
from memcore.compression.rows import LookupActivation, activations
from memcore.crossbar.states import require_values
from memcore.errors import ConfigError
from memcore.nn.packed import PackedCodes
from memcore.nn.walk import replace_module

#: Numbers of a gathered product that are in memory at once.
_CHUNK = 1 << 22


class _Codebook(nn.Module):
    """Base of layers with a codebook of weights, one of inputs, and a table of their products.

    While it has a parameter `weight` it is trained: codes follow it, and gradients go straight
    through the rounding. `freeze` leaves the codes alone.
    """

    codes: Tensor
    weight_book: Tensor
    input_book: Tensor
    table: Tensor
    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self, shape: tuple[int, ...], bias: bool, weights: int, inputs: int, product_bytes: int
    ) -> None:
        super().__init__()
        if not 1 <= _check.integer("weights", weights) <= 256:
            raise ConfigError(f"weights={weights}; expected 1 to 256 entries, as a byte can count")
        if not 1 <= _check.integer("inputs", inputs) <= 65536:
            raise ConfigError(f"inputs={inputs}; expected 1 to 65536 entries")
        if not 1 <= _check.integer("product_bytes", product_bytes) <= 6:
            raise ConfigError(f"product_bytes={product_bytes}; expected 1 to 6 bytes of a product")
        shape = tuple(_check.integer("a size of the layer", size, at_least=0) for size in shape)
        self.product_bytes = product_bytes
        self.register_buffer("codes", torch.zeros(shape, dtype=torch.uint8, device="cpu"))
        self.register_buffer("weight_book", torch.zeros(weights, dtype=torch.float64, device="cpu"))
        self.register_buffer("input_book", torch.zeros(inputs, dtype=torch.float64, device="cpu"))
        self.register_buffer(
            "table", torch.zeros(weights, inputs, dtype=torch.float64, device="cpu")
        )
        self.register_parameter("weight", None)
        self.register_parameter(
            "bias", nn.Parameter(torch.zeros(shape[0], device="cpu")) if bias else None
        )
        #: What frozen codes are multiplied with, where no gradient is asked for.
        self.packed: PackedCodes | None
        self.register_module("packed", None)
        self.register_load_state_dict_pre_hook(_require_codes)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_pack_loaded)  # type: ignore[no-untyped-call]

    def take(self, weight: Tensor, weight_book: Tensor, input_book: Tensor) -> Self:
        """Take weights and codebooks, and train them from now on."""
        self.input_book = input_book.to(self.input_book)
        self.packed = None
        self.weight = nn.Parameter(weight.detach().clone())
        self.recode(weight_book)
        return self

    @torch.no_grad()
    def recode(self, weight_book: Tensor | None = None) -> None:
        """Codes and products for the present weights, with another codebook if there is one."""
        if weight_book is not None:
            self.weight_book = weight_book.to(self.weight_book)
        if self.weight is not None:
            self.codes = nearest(self.weight_book, self.weight).to(torch.uint8)
        products = torch.outer(self.weight_book, self.input_book)
        self.table = _fixed_point(products, 8 * self.product_bytes)
        if self.packed is not None:
            self.pack()

    def freeze(self) -> None:
        """Keep the codes and drop the weights that were trained."""
        self.recode()
        self.weight = None
        self.pack()

    def pack(self) -> None:
        """Pack the codes, once they are frozen, for the kernel that multiplies them."""
        frozen = self.weight is None
        self.packed = (
            PackedCodes.of(self.codes, self.weight_book, self.input_book) if frozen else None
        )

    @property
    def size(self) -> "TableSize":
        """What the layer stores."""
        weights, inputs = self.table.shape
        bits = math.ceil(math.log2(weights)) if weights > 1 else 0
        return TableSize(
            weights=self.codes.numel(),
            code_bytes=math.ceil(self.codes.numel() * bits / 8),
            table_bytes=weights * inputs * self.product_bytes,
            products=weights * inputs,
        )

    def _encoded(self, x: Tensor) -> Tensor:
        """The nearest entries of the inputs; gradients go straight through."""
        entries = self.input_book[nearest(self.input_book, x)].to(x.dtype)
        return x + (entries - x).detach() if x.requires_grad else entries

    def _decoded(self, dtype: torch.dtype) -> Tensor:
        """The weights that the codes stand for."""
        if self.weight is None:
            codes = self.codes.flatten().int()
            return self.weight_book.to(dtype).index_select(0, codes).view(self.codes.shape)
        entries = self.weight_book[nearest(self.weight_book, self.weight)].to(self.weight.dtype)
        return self.weight + (entries - self.weight).detach()

    def _gathered(self, codes: Tensor) -> Tensor:
        """Sums of products that are looked up one by one, float64 [n, outputs].

        Args:
            codes: of the inputs, [n, inputs], one more than the codebook has for no input.
        """
        table = F.pad(self.table, (0, 1))
        weights = self.codes.flatten(1).long()
        size = max(1, _CHUNK // weights.numel())
        pieces = [table[weights, some.unsqueeze(1)].sum(2) for some in torch.split(codes, size)]
        return torch.cat(pieces) if pieces else table.new_zeros(0, len(weights))

    def _counted(self, codes: Tensor) -> Tensor:
        """As `_gathered`: how often each pair of codes occurs, times its product."""
        weights = self.codes.flatten(1).long()
        total = self.table.new_zeros(len(codes), len(weights))
        for a, products in enumerate(self.table):
            is_a = (weights == a).double().t()
            for b, product in enumerate(products):
                total += ((codes == b).double() @ is_a) * product
        return total

    def extra_repr(self) -> str:
        """The sizes of the codebooks."""
        weights, inputs = self.table.shape
        return f"{list(self.codes.shape)}, weights={weights}, inputs={inputs}"


def _require_codes(layer: _Codebook, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Refuse a state whose codes no codebook has, before anything of it is taken."""
    del rest
    ends = -_check.LARGEST, _check.LARGEST
    for name in ("weight_book", "input_book", "table"):
        require_values(f"{prefix}{name}", state.get(f"{prefix}{name}"), *ends, "finite numbers")
    most = len(layer.weight_book) - 1
    expected = f"codes from 0 to {most}, as the codebook has"
    require_values(f"{prefix}codes", state.get(f"{prefix}codes"), 0, most, expected)


def _pack_loaded(layer: _Codebook, keys: Any) -> None:
    del keys
    layer.pack()


class CodebookLinear(_Codebook):
    """`torch.nn.Linear` with products that are looked up.

    Args:
        in_features: inputs.
        out_features: outputs.
        bias: whether a bias is added.
        weights: entries of the codebook of weights, at most 256.
        inputs: entries of the codebook of inputs.
        product_bytes: bytes of one product in the table.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weights: int = 16,
        inputs: int = 16,
        product_bytes: int = 4,
    ) -> None:
        super().__init__((out_features, in_features), bias, weights, inputs, product_bytes)

    @classmethod
    def like(cls, module: nn.Linear, **sizes: int) -> Self:
        """The layer of the same shape, its codebooks still empty."""
        bias = module.bias is not None
        layer = cls(module.in_features, module.out_features, bias, **sizes)
        layer.register_parameter("bias", cast(nn.Parameter | None, module.bias))
        return layer

    def forward(self, input: Tensor) -> Tensor:
        """Outputs [..., out_features] of inputs [..., in_features], in floating point."""
        if self.packed is not None and self.packed.serves(input, self.bias):
            y: Tensor = self.packed(input, self.bias)
            return y
        return F.linear(self._encoded(input), self._decoded(input.dtype), self.bias)

    def looked_up(self, input: Tensor, *, counters: bool = False) -> Tensor:
        """As `forward`, from the table: product by product, or counting pairs first; the same."""
        codes = nearest(self.input_book, input).flatten(0, -2)
        y = self._counted(codes) if counters else self._gathered(codes)
        y = y.view(*input.shape[:-1], -1)
        return (y if self.bias is None else y + self.bias.double()).to(input.dtype)


class CodebookConv2d(_Codebook):
    """`torch.nn.Conv2d` without groups, with products that are looked up.

    Positions outside the image have no product. Other paddings than zeros are not there.

    Args:
        in_channels: channels of the inputs.
        out_channels: filters.
        kernel_size: of the kernel.
        bias: whether a bias is added.
        stride: of the positions.
        padding: of the image on each side.
        dilation: of the kernel.
        weights: entries of the codebook of weights, at most 256.
        inputs: entries of the codebook of inputs.
        product_bytes: bytes of one product in the table.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        bias: bool = True,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        weights: int = 16,
        inputs: int = 16,
        product_bytes: int = 4,
    ) -> None:
        shape = (out_channels, in_channels, *kernel_size)
        super().__init__(shape, bias, weights, inputs, product_bytes)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    @classmethod
    def like(cls, module: nn.Conv2d, **sizes: int) -> Self:
        """The layer of the same shape, its codebooks still empty."""
        high, wide = module.kernel_size
        layer = cls(
            module.in_channels,
            module.out_channels,
            (high, wide),
            module.bias is not None,
            stride=module.stride,  # type: ignore[arg-type]
            padding=module.padding,  # type: ignore[arg-type]
            dilation=module.dilation,  # type: ignore[arg-type]
            **sizes,
        )
        layer.register_parameter("bias", cast(nn.Parameter | None, module.bias))
        return layer

    def forward(self, input: Tensor) -> Tensor:
        """Outputs [n, out_channels, *positions] of images [n, channels, *space]."""
        if self.packed is not None and self.packed.serves(input, self.bias):
            x = self.packed.nearest(input)
        else:
            x = self._encoded(input)
        weight = self._decoded(input.dtype)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation)

    def looked_up(self, input: Tensor, *, counters: bool = False) -> Tensor:
        """As `forward`, from the table: product by product, or counting pairs first; the same."""
        none = len(self.input_book)
        codes = nearest(self.input_book, input).double()
        high, wide = self.padding
        codes = F.pad(codes, (wide, wide, high, high), value=float(none))
        windows = F.unfold(codes, self.codes.shape[2:], self.dilation, 0, self.stride)
        n, _, positions = windows.shape
        flat = windows.transpose(1, 2).flatten(0, 1).long()
        y = self._counted(flat) if counters else self._gathered(flat)
        y = y.view(n, positions, -1).transpose(1, 2)
        if self.bias is not None:
            y = y + self.bias.double().unsqueeze(1)
        return y.reshape(n, -1, *self._space(input)).to(input.dtype)

    def _space(self, input: Tensor) -> list[int]:
        sides = zip(
            input.shape[-2:],
            self.codes.shape[2:],
            self.stride,
            self.padding,
            self.dilation,
            strict=True,
        )
        return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sides]


@dataclass(frozen=True, kw_only=True)
class TableSize:
    """What a layer with codebooks stores.

    Args:
        weights: number of weights.
        code_bytes: bytes of their codes.
        table_bytes: bytes of the table of products.
        products: number of products in the table, and of counters of an output.
    """

    weights: int
    code_bytes: int
    table_bytes: int
    products: int

    @property
    def bytes(self) -> int:
        """Codes and table together."""
        return self.code_bytes + self.table_bytes


def table_sizes(model: nn.Module) -> dict[str, TableSize]:
    """What each layer with codebooks of a network stores, by qualified name."""
    return {name: m.size for name, m in model.named_modules() if isinstance(m, _Codebook)}


def replaced(model: nn.Module, name: str, module: nn.Module, sizes: dict[str, int]) -> _Codebook:
    """Put a layer with empty codebooks in the place of a linear layer or a convolution."""
    layer: _Codebook
    if isinstance(module, nn.Conv2d):
        layer = CodebookConv2d.like(module, **sizes)
    else:
        assert isinstance(module, nn.Linear)
        layer = CodebookLinear.like(module, **sizes)
    layer.train(module.training)
    replace_module(model, name, layer)
    return layer


def refuses_codebook(module: nn.Module) -> str:
    """Why a layer cannot have codebooks; "" if it can."""
    if type(module) is nn.Linear:
        return ""
    if type(module) is not nn.Conv2d:
        return f"a {type(module).__name__} has no table; Linear and Conv2d have"
    if module.groups != 1:
        return "a convolution with groups has no table"
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        return "only zero padding, given as numbers, has no products"
    return ""


def with_codebooks(
    model: nn.Module,
    *,
    weights: int = 16,
    inputs: int = 16,
    activation_rows: int = 0,
    product_bytes: int = 4,
    names: Iterable[str] | None = None,
) -> nn.Module:
    """Give a network empty codebooks, in place, so that it can load the state of one that has them.

    Args:
        model: a digital network of the same structure.
        weights: entries of each codebook of weights.
        inputs: entries of each codebook of inputs.
        activation_rows: rows of each activation; 0 leaves activations as they are.
        product_bytes: bytes of one product.
        names: the layers that have codebooks; all that can by default.
    """
    sizes = {"weights": weights, "inputs": inputs, "product_bytes": product_bytes}
    chosen = None if names is None else set(names)
    for name, module in list(model.named_modules()):
        is_layer = type(module) in (nn.Linear, nn.Conv2d)
        if is_layer and not refuses_codebook(module) and (chosen is None or name in chosen):
            if not name:
                raise ConfigError(
                    f"a {type(module).__name__} cannot replace itself in place; expected a network "
                    "that contains it: torch.nn.Sequential(layer)"
                )
            replaced(model, name, module, sizes)
    if activation_rows:
        for name, module in activations(model).items():
            replace_module(model, name, LookupActivation(activation_rows, module))
    return model


def _fixed_point(values: Tensor, bits: int) -> Tensor:
    """Values rounded to integers of so many bits times a power of 2, so that sums are exact."""
    largest: Any = float(values.abs().max())
    if largest == 0 or not math.isfinite(largest):
        return values
    _, exponent = math.frexp(largest)
    step = 2.0 ** (exponent - (bits - 1))
    return (values / step).round().clamp(max=2.0 ** (bits - 1) - 1) * step
