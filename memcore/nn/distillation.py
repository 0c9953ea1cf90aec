"""`distillation_loss`: what a network loses against one that it should imitate."""

import torch
from torch import Tensor
from torch.nn import functional

from memcore import _check
from memcore.errors import ConfigError, ShapeError


def distillation_loss(
    outputs: Tensor,
    teacher: Tensor,
    *,
    temperature: float = 1.0,
    targets: Tensor | None = None,
    share: float = 1.0,
) -> Tensor:
    """The divergence from the outputs of a teacher, in training mostly the digital network.

    `T^2 KL(softmax(teacher / T) || softmax(outputs / T))`, the mean over all predictions. Hinton
    et al., "Distilling the Knowledge in a Neural Network", arXiv:1503.02531 (2015). With targets,
    `share` of it and the rest of the cross entropy.

    Args:
        outputs: logits of the network that is trained, [..., classes].
        teacher: logits of the teacher for the same inputs; no gradient reaches them.
        temperature: T; a higher one lets small logits count.
        targets: labels, int64 [...].
        share: share of the divergence, from 0 to 1; 1 needs no targets.

    Raises:
        ConfigError: a share below 1 without targets, or what should be a tensor is none.
        ShapeError: the two have different shapes, or targets are no classes of theirs.

    Examples:
        >>> logits = torch.tensor([[1.0, 2.0], [0.0, 3.0]])
        >>> distillation_loss(logits, logits)
        tensor(0.)
    """
    temperature = _check.number("temperature", temperature, above=0)
    share = _check.number("share", share, at_least=0, largest=1)
    for name, logits in (("outputs", outputs), ("teacher", teacher)):
        _check.tensor(name, logits, "[..., classes]", "logits")
    if outputs.shape != teacher.shape or not outputs.dim():
        raise ShapeError(
            f"outputs have shape {tuple(outputs.shape)} and those of the teacher "
            f"{tuple(teacher.shape)}; expected [..., classes], the same for both"
        )
    if share < 1 and targets is None:
        raise ConfigError(f"share={share} without targets; expected targets, or share=1")
    classes = outputs.shape[-1]
    ours = functional.log_softmax(outputs.reshape(-1, classes) / temperature, dim=1)
    theirs = functional.log_softmax(teacher.detach().reshape(-1, classes) / temperature, dim=1)
    loss = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    loss = temperature**2 * loss
    if targets is None or share == 1:
        return loss
    _require_labels(targets, outputs)
    truth = functional.cross_entropy(outputs.reshape(-1, classes), targets.reshape(-1))
    return torch.lerp(truth, loss, share)


def _require_labels(targets: object, outputs: Tensor) -> None:
    shape = tuple(outputs.shape[:-1])
    expected = f"expected labels as an int64 tensor of shape {shape}, one for each prediction"
    if not isinstance(targets, Tensor):
        raise ConfigError(f"targets are a {type(targets).__name__}; {expected}: use torch.tensor")
    if targets.dtype != torch.int64 or targets.shape != shape:
        raise ShapeError(f"targets are {targets.dtype} of shape {tuple(targets.shape)}; {expected}")
