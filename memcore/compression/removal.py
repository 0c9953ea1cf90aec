"""Removing channels that carry nothing, without changing what a network computes."""

import copy

import torch
from torch import Tensor, nn

from memcore.compression.channels import Group, Reader, groups_of
from memcore.nn.verbs import evaluating


@torch.no_grad()
def without_unused(
    model: nn.Module, *, fold_borders: bool = False
) -> tuple[nn.Module, dict[str, str]]:
    """A copy of a network without channels that are constant or that nothing reads.

    A channel is constant if all weights of its filters are zero; what it holds then, the bias after
    batch norm and activations, goes into the biases of the layers that read it. Outputs in
    evaluation are the same up to rounding.

    Args:
        model: a digital network that torch.fx can trace.
        fold_borders: whether constants in front of zero padding are folded too, as if there were
            no border.

    Returns:
        The smaller network, and for each layer what was removed or why its channels stayed.

    Raises:
        ConversionError: the network cannot be traced.
    """
    smaller = copy.deepcopy(model)
    removed: dict[str, int] = {}
    with evaluating(smaller):
        while _pass(smaller, fold_borders, removed):
            pass
        notes = {name: f"{count} filters are removed" for name, count in removed.items()}
        for group in groups_of(smaller):
            text = _left(smaller, group, fold_borders)
            notes.update({name: text for name in group.makers if text and name not in notes})
    return smaller, notes


def _pass(model: nn.Module, fold_borders: bool, removed: dict[str, int]) -> bool:
    """Remove what can be removed of the first group in which there is something."""
    for group in groups_of(model):
        gone = _removable(model, group, fold_borders)
        if bool(gone.any()):
            _remove(model, group, gone)
            for name in group.makers:
                removed[name] = removed.get(name, 0) + int(gone.sum())
            return True
    return False


def _left(model: nn.Module, group: Group, fold_borders: bool) -> str:
    clear = _clear(model, group)
    if not bool(clear.any()):
        return ""
    if group.open:
        return f"{int(clear.sum())} clear filters stay: {group.open}"
    if not fold_borders and any(_has_border(model, r) for r in group.readers):
        return f"{int(clear.sum())} clear filters stay: constants in front of zero padding"
    return f"{int(clear.sum())} clear filters stay: a layer needs one"


def _removable(model: nn.Module, group: Group, fold_borders: bool) -> Tensor:
    """Which channels may go, [width]; one always stays."""
    none = torch.zeros(group.width, dtype=torch.bool, device="cpu")
    if group.open or not group.readers:
        return none
    clear = _clear(model, group)
    unread = ~none
    foldable = ~none
    for reader in group.readers:
        reads = _channels(model, reader.name, group.width).ne(0).any(2).any(0)
        unread &= ~reads
        stays = _has_border(model, reader) and not fold_borders
        foldable &= ~reads | (reader.dead == 0 if stays else ~none)
    gone = unread | (clear & foldable)
    if bool(gone.all()):
        gone[0] = False
    return gone


def _clear(model: nn.Module, group: Group) -> Tensor:
    """Channels all of whose filters are zero."""
    clear = torch.ones(group.width, dtype=torch.bool, device="cpu")
    for name in group.makers:
        clear &= (_weight(model, name).flatten(1) == 0).all(1)
    return clear


def _remove(model: nn.Module, group: Group, gone: Tensor) -> None:
    stays = (~gone).nonzero().squeeze(1)
    clear = _clear(model, group)
    for reader in group.readers:
        _fold(model, reader, gone & clear, group.width)
        _keep_inputs(model.get_submodule(reader.name), stays, group.width)
    for name in group.norms:
        _keep_features(model.get_submodule(name), stays)
    for name in group.makers:
        _keep_filters(model.get_submodule(name), stays)


def _fold(model: nn.Module, reader: Reader, gone: Tensor, width: int) -> None:
    """Put what the constant channels add into the bias of a layer that reads them."""
    dead = torch.where(gone, reader.dead, 0.0)
    added = (_channels(model, reader.name, width).double().sum(2) * dead).sum(1)
    if not bool(added.any()):
        return
    module = model.get_submodule(reader.name)
    bias: Tensor | None = module.bias  # type: ignore[assignment]
    whole = added if bias is None else bias.double() + added
    module.bias = nn.Parameter(whole.to(_weight(model, reader.name).dtype))


def _channels(model: nn.Module, name: str, width: int) -> Tensor:
    """The weights of a layer by the channels that it reads, [outputs, width, positions]."""
    weight = _weight(model, name)
    return weight.reshape(len(weight), width, -1)


def _weight(model: nn.Module, name: str) -> Tensor:
    weight: Tensor = model.get_submodule(name).weight  # type: ignore[assignment]
    return weight.detach()


def _has_border(model: nn.Module, reader: Reader) -> bool:
    """Whether a layer sees zeros around its inputs, where a constant channel is not constant."""
    module = model.get_submodule(reader.name)
    if isinstance(module, nn.Linear) or module.padding_mode != "zeros":
        return False
    padding = module.padding
    if isinstance(padding, str):
        return padding == "same" and any(k > 1 for k in module.kernel_size)  # type: ignore[union-attr]
    return any(padding)  # type: ignore[arg-type]


def _keep_inputs(module: nn.Module, stays: Tensor, width: int) -> None:
    weight: Tensor = module.weight  # type: ignore[assignment]
    per = weight.shape[1] // width
    kept = (stays.unsqueeze(1) * per + torch.arange(per, device="cpu")).flatten()
    module.weight = nn.Parameter(weight.detach()[:, kept].clone())
    setattr(module, "in_features" if isinstance(module, nn.Linear) else "in_channels", len(kept))


def _keep_filters(module: nn.Module, stays: Tensor) -> None:
    _keep(module, ("weight", "bias"), stays)
    setattr(module, "out_features" if isinstance(module, nn.Linear) else "out_channels", len(stays))


def _keep_features(module: nn.Module, stays: Tensor) -> None:
    _keep(module, ("weight", "bias"), stays)
    for name in ("running_mean", "running_var"):
        value: Tensor = getattr(module, name)
        setattr(module, name, value[stays].clone())
    module.num_features = len(stays)  # type: ignore[assignment]


def _keep(module: nn.Module, names: tuple[str, ...], stays: Tensor) -> None:
    for name in names:
        parameter: Tensor | None = getattr(module, name)
        if parameter is not None:
            setattr(module, name, nn.Parameter(parameter.detach()[stays].clone()))
