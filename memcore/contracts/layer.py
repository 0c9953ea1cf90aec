"""`Layer`: the contract of a layer whose matrices are on crossbars."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, Self, cast

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from memcore.contracts.computed import COMPUTE_WEIGHTS, computing_as, follow
from memcore.errors import StaleCellsWarning, warn

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


class Operand(NamedTuple):
    """What one matrix of a layer should hold.

    Args:
        weight: [groups, outputs, inputs], a view of a parameter or something computed from
            parameters.
        bias: [groups * outputs], added to the product; None for none.
    """

    weight: Tensor
    bias: Tensor | None = None


class MatrixModule(Protocol):
    """A matrix on crossbars, as `memcore.nn.Matrix` is."""

    def __call__(self, x: Tensor, operand: Operand) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs]."""

    def prepared(self, operand: Operand) -> Callable[[Tensor], Tensor]:
        """The same as a function of the inputs, with one operand for several reads."""


#: From the name of a matrix, what it holds, and its `input_parts`, to the matrix on crossbars.
Build = Callable[..., nn.Module]
#: A digital module, and the arguments of a call of it: tensors, or tuples of tensors.
Trial = tuple[nn.Module, tuple[Any, ...]]


class Layer(nn.Module):
    """A layer with named matrices on crossbars; everything else stays digital.

    A subclass says which modules it `replaces`, which `operands` its matrices hold, and how its
    `forward` uses them: `self.read("weight", x)` for a matrix of that name. Writing, ageing,
    calibrating, summaries, diagnoses, costs and the way back are the same for all layers. The
    parameters are those of the digital module, shared, not copied.

    Examples:
        >>> class Linear(memcore.Layer):
        ...     replaces = (torch.nn.Linear,)
        ...
        ...     def operands(self):
        ...         return {"weight": memcore.Operand(self.weight.unsqueeze(0), self.bias)}
        ...
        ...     def forward(self, input):
        ...         return self.read("weight", input.unsqueeze(1)).squeeze(1)
    """

    kind: ClassVar[str] = "layers"
    api: ClassVar[int] = 1  #: the version of the contract that a plugin was written for
    #: The digital modules that it takes the place of: classes, or qualified names such as
    #: "transformers.pytorch_utils.Conv1D", so that no foreign package is imported.
    replaces: ClassVar[tuple[type[nn.Module] | str, ...]] = ()
    #: Whether it takes their place only where a configuration names it in `layers`.
    on_request: ClassVar[bool] = False
    #: Whether a DAC drives the word lines; False if inputs are 0 and 1 only, which need none.
    needs_dac: ClassVar[bool] = True
    #: Which products of it no array computes, for `memcore.summary`; "" if all are on arrays.
    stays_digital: ClassVar[str] = ""

    matrices: nn.ModuleDict

    @classmethod
    def refuses(cls, module: nn.Module) -> str:
        """Why this module cannot be converted, for the report of what stayed digital; "" if it can.

        Called before `of`; weights that are no parameters, empty or in float16 are refused already.
        """
        del module
        return ""

    @classmethod
    def trials(cls) -> Iterable[Trial]:
        """Digital modules that it replaces, each with the arguments of a call, in float32.

        The conformance kit tries the layer on them: `memcore.testing.checks_for(cls)`.
        """
        return ()

    def __repr__(self) -> str:
        """One line where there are only matrices, so that a chip prints as its network does."""
        if [name for name, _ in self.named_children()] != ["matrices"]:
            return super().__repr__()
        parts = [(name, each.extra_repr()) for name, each in self.matrices.items()]
        arrays = [f"{name}: {text}" if len(parts) > 1 else text for name, text in parts]
        said = "; ".join(filter(None, [self.extra_repr(), *arrays]))
        return f"{type(self).__name__}({said})"

    @classmethod
    def of(cls, module: nn.Module, build: Build) -> Self:
        """The layer that takes the place of a digital module.

        Args:
            module: the digital module.
            build: from the name of a matrix and what it holds to the matrix on crossbars; a third
                argument, which may be left out, is what `input_parts` says of the matrix.
        """
        layer = computing_as(cls, type(module))(module) if is_parametrized(module) else cls(module)
        for name, operand in layer.present().items():
            layer.matrices[name] = build(name, operand, layer.input_parts(name))
        return layer.train(module.training)

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for constant in getattr(module, "__constants__", ()):
            setattr(self, constant, getattr(module, constant))
        for name, parameter in module._parameters.items():
            self.register_parameter(name, parameter)
        for name, buffer in module._buffers.items():
            self.register_buffer(name, buffer, name not in module._non_persistent_buffers_set)
        for name, value in vars(module).items():
            if isinstance(value, Tensor):  # computed from parameters, as a pruned weight is
                setattr(self, name, value)
        if is_parametrized(module):
            self.parametrizations = module.parametrizations
        self.matrices = nn.ModuleDict()
        self.train(module.training)
        for hooks in _HOOKS:  # shared, so that a handle from before still removes its hook
            object.__setattr__(self, hooks, getattr(module, hooks))
        # Not a submodule: its parameters are ours. It only serves to go back.
        object.__setattr__(self, "_digital", module)
        self.register_load_state_dict_pre_hook(_names_of_before)  # type: ignore[no-untyped-call]

    @abstractmethod
    def operands(self) -> Mapping[str, Operand]:
        """What each matrix should hold now, by the name of the matrix.

        The only matrix of a layer is best called "weight": it then bears the name of the layer.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say which matrices it has")

    def input_parts(self, name: str) -> tuple[int, ...]:
        """Sizes of the parts, one behind the other, of the inputs of a matrix.

        Each part has a DAC range of its own, as the input and the state of a recurrent cell that
        share an array; () for one range.
        """
        del name
        return ()

    def present(self) -> Mapping[str, Operand]:
        """What each matrix should hold now, weights that hooks compute before a call included.

        As in evaluation: looking does not move what a spectral norm iterates in training.
        """
        if not self._computes:
            return self.operands()
        training = {module: module.training for module in self.modules()}
        self.eval()
        try:
            for hook in list(self._forward_pre_hooks.values()):
                if isinstance(hook, COMPUTE_WEIGHTS):
                    hook(self, ())
            return self.operands()
        finally:
            for module, mode in training.items():
                module.training = mode

    @property
    def _computes(self) -> bool:
        """Whether weights may be computed from parameters, here or in a module of the layer."""
        hooks = self._forward_pre_hooks.values()
        return len(self._modules) > 1 or any(isinstance(hook, COMPUTE_WEIGHTS) for hook in hooks)

    def read(self, name: str, x: Tensor) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs] of a matrix, with its bias."""
        matrix = cast(MatrixModule, self.matrices[name])
        return matrix(x, self.operands()[name])

    def product(self, name: str) -> Callable[[Tensor], Tensor]:
        """`read` of a matrix as a function of the inputs, for several reads in one forward pass.

        What the matrix should hold is computed once, so it must not change between the reads.
        """
        matrix = cast(MatrixModule, self.matrices[name])
        return matrix.prepared(self.operands()[name])

    def digital(self) -> nn.Module:
        """The digital module with the present parameters."""
        module: nn.Module = self.__dict__["_digital"]
        for name in [name for name in module._parameters if name not in self._parameters]:
            del module._parameters[name]  # computed from others by now, as a pruned weight is
        module._parameters.update(self._parameters)
        module._buffers.update(self._buffers)
        follow(module, self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(module, name, value)
        return module.train(self.training)

    @property
    def crossbar(self) -> Any:
        """The arrays of a layer that has one matrix."""
        if len(self.matrices) != 1:
            names = ", ".join(self.matrices) or "none"
            raise AttributeError(
                f"{type(self).__name__} has {len(self.matrices)} matrices ({names}); expected "
                "layer.matrices[name].crossbar"
            )
        (matrix,) = self.matrices.values()
        return matrix.crossbar


def prepare_state(layer: Layer, state: dict[str, Tensor], prefix: str) -> None:
    """Bring a state of a layer into the form of its matrices, before anything of it is taken.

    Args:
        layer: whose matrices are to have it.
        state: names and tensors, which change.
        prefix: of the names of this layer.

    Raises:
        ConfigError: its matrices cannot have it.
    """
    # The arrays of the only matrix were under `crossbar`.
    old = f"{prefix}crossbar."
    for key in [key for key in state if key.startswith(old)]:
        new = f"{prefix}matrices.weight.crossbar.{key.removeprefix(old)}"
        state[new] = state.pop(key)
    for name, matrix in layer.matrices.items():
        prepare = getattr(matrix, "prepare", None)
        if prepare is not None:
            prepare(state, f"{prefix}matrices.{name}.")


def _names_of_before(
    layer: Layer,
    state_dict: dict[str, Tensor],
    prefix: str,
    local_metadata: Mapping[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Take a state of before, and say what a state of a digital network does to a chip."""
    del local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    prepare_state(layer, state_dict, prefix)  # one that is refused leaves the layer as it is
    parameters = any(f"{prefix}{name}" in state_dict for name in layer._parameters)
    cells = any(key.startswith(f"{prefix}matrices.") for key in state_dict)
    if not parameters or cells:
        return
    warn(
        f"the state has parameters of {prefix[:-1] or 'the layer'}, but not its cells: it is that "
        "of a digital network; expected the state of a chip, or load_state_dict(state, "
        "strict=False) and then memcore.program(model), to write them",
        StaleCellsWarning,
    )
