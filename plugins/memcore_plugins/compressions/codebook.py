"""Products that are looked up: few values of weights and inputs, and a table of their products."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from memcore import ArraySettings, Compressed, CompressionPass, ConfigError, parameter
from memcore.compression import (
    CodebookConv2d,
    CodebookLinear,
    LookupActivation,
    activations,
    inputs_of_layers,
    kmeans,
    prunable,
    refuses_codebook,
    table_sizes,
    with_codebooks,
)


@dataclass(frozen=True, kw_only=True)
class Codebook(CompressionPass):
    """Weights and inputs of each layer take few values, and their products come from a table.

    `C_w` and `C_u` are one-dimensional k-means of the weights and of the inputs of a layer, the
    table holds `T[a, b] = C_w[a] C_u[b]`, and `y_j = sum_i T[code_w(W_ji), code_u(x_i)]`.
    Activations become tables of rows at quantiles of their arguments. Imani et al., "RAPIDNN",
    arXiv 1806.05794. The arrays of a configuration play no part: everything is digital.
    """

    weights: int = parameter(
        16, "1", "entries of the codebook of weights of each layer", within=(1, 256)
    )
    inputs: int = parameter(
        16, "1", "entries of the codebook of inputs of each layer", within=(1, 65536)
    )
    activation_rows: int = parameter(
        0, "1", "rows of the table of each activation; 0 leaves activations as they are", at_least=0
    )
    product_bytes: int = parameter(4, "B", "bytes of one product in a table", within=(1, 6))
    epochs: int = parameter(
        0,
        "1",
        "epochs of training straight through the rounding; weights are clustered anew after each",
        at_least=0,
    )

    def prepare(
        self, model: nn.Module, config: ArraySettings, inputs: Iterable[Any] | None
    ) -> nn.Module:
        del config
        layers = prunable(model)
        if "" in layers:
            raise ConfigError(
                f"a {type(model).__name__} cannot have a codebook as a whole network; expected a "
                "network that contains it: torch.nn.Sequential(layer)"
            )
        fit = [name for name, module in layers.items() if not refuses_codebook(module)]
        tables = list(activations(model)) if self.activation_rows else []
        samples = inputs_of_layers(model, [*fit, *tables], inputs)
        with_codebooks(
            model,
            weights=self.weights,
            inputs=self.inputs,
            activation_rows=self.activation_rows,
            product_bytes=self.product_bytes,
        )
        for name in fit:
            weight: Tensor = layers[name].weight  # type: ignore[assignment]
            books = kmeans(weight, self.weights), kmeans(samples[name], self.inputs)
            _layer(model, name).take(weight, *books)
        for name in tables:
            table = model.get_submodule(name)
            assert isinstance(table, LookupActivation)
            table.take(samples[name])
        return _State({n: refuses_codebook(m) for n, m in layers.items() if n not in fit})

    def update(self, model: nn.Module, state: nn.Module) -> dict[str, float]:
        del state
        for name in table_sizes(model):
            layer = _layer(model, name)
            if layer.weight is not None:
                layer.recode(kmeans(layer.weight, self.weights))
        return {}

    def finalize(self, model: nn.Module, state: nn.Module) -> Compressed:
        notes = dict(cast(_State, state).left)
        for name, size in table_sizes(model).items():
            _layer(model, name).freeze()
            notes[name] = (
                f"{size.code_bytes} bytes of codes and {size.table_bytes} bytes of products"
            )
        for module in model.modules():
            if isinstance(module, LookupActivation):
                module.activation = None
        return Compressed(model=model, notes=notes)


class _State(nn.Module):
    """Why layers have no codebook; all that changes is in the layers themselves."""

    def __init__(self, left: dict[str, str]) -> None:
        super().__init__()
        self.left = left


def _layer(model: nn.Module, name: str) -> CodebookLinear | CodebookConv2d:
    return cast(CodebookLinear | CodebookConv2d, model.get_submodule(name))
